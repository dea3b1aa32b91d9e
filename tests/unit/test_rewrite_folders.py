"""Root-relative addresses of a site in a folder, and what comes back to a site whose two addresses differ."""

from __future__ import annotations

import pytest

from services.cloner.domain import _paths
from services.restorer.domain.addresses import url_mappings
from shared.wordpress.rewrite import PathMapping, Rewriter, UrlMapping
from tests.unit.php_values import serialize

BELOW = {
    b'<img src="/blog/wp-content/uploads/x.png">': b'<img src="/wp-content/uploads/x.png">',
    b"<a href='/blog'> <a href=\"/blog/\"> <a href=/blog/x>": b"<a href='/'> <a href=\"/\"> <a href=/x>",
    b'<a href="/blog?p=1"> <a href="/blog#top">': b'<a href="/?p=1"> <a href="/#top">',
    b"background:url(/blog/a.png)": b"background:url(/a.png)",
    b'srcset="/blog/a.jpg 300w, /blog/b.jpg 2x"': b'srcset="/a.jpg 300w, /b.jpg 2x"',
    rb'{"u":"\/blog\/wp-content\/x"}': rb'{"u":"\/wp-content\/x"}',
    rb'<!-- wp:x {"h":"\u003ca href=\u0022/blog/x\u0022\u003e"} /-->': (
        rb'<!-- wp:x {"h":"\u003ca href=\u0022/x\u0022\u003e"} /-->'
    ),
    b"?redirect_to=%2Fblog%2Fwp-admin%2F": b"?redirect_to=%2Fwp-admin%2F",
    b"%7B%22u%22%3A%22%5C%2Fblog%5C%2Fx%22%7D": b"%7B%22u%22%3A%22%5C%2Fx%22%7D",
    b"<i data-x='{&quot;u&quot;:&quot;/blog/x&quot;}'>": b"<i data-x='{&quot;u&quot;:&quot;/x&quot;}'>",
    b"/blog/about/": b"/about/",
    b"/blog/cart/\n/blog/checkout/\r\n/blog/(.*)/feed\n/other": b"/cart/\n/checkout/\r\n/(.*)/feed\n/other",
    rb'{"never":"\/blog\/cart\n\/blog\/checkout"}': rb'{"never":"\/cart\n\/checkout"}',
    serialize({b"p": b"/blog/x"}): serialize({b"p": b"/x"}),
    serialize([b'<a href="/blog/x">']): serialize([b'<a href="/x">']),
}


@pytest.mark.parametrize("value", BELOW, ids=bytes.decode)
def test_root_relative(value: bytes) -> None:
    own = Rewriter([UrlMapping(("https://example.com/blog",), "http://clone.localhost:8080")])
    assert own.rewrite(value) == BELOW[value]
    assert own.leftovers(value)
    assert own.leftovers(BELOW[value]) == []


@pytest.mark.parametrize(
    "value",
    [b'"/blogger/x"', b'"/my/blog/x"', b"x/blog/y and/or /blog/ or", b'"//blog/x"', b'"/blog.html"', b'"/blog-2/"',
     b'"https://other.test/blog/x"', b"</blog>", b'"/Blog/x"'],
)  # fmt: skip
def test_not_root_relative(value: bytes) -> None:
    own = Rewriter([UrlMapping(("https://example.com/blog",), "http://clone.localhost:8080")])
    assert own.rewrite(value) is value


def test_back_into_the_folder() -> None:
    own = Rewriter([UrlMapping(("http://clone.localhost:8080",), "https://example.com/blog")])
    value = rb'<img src="/wp-content/x.png"> "\/wp-json\/x" "/about/" "/blog/wp-content/y.png"'
    once = rb'<img src="/blog/wp-content/x.png"> "\/blog\/wp-json\/x" "/about/" "/blog/wp-content/y.png"'
    assert own.rewrite(value) == once
    assert own.rewrite(once) == once


def test_home_and_siteurl_on_different_hosts_come_back_each_to_its_own() -> None:
    clone = {"home": "http://c.localhost:8080", "siteurl": "http://c.localhost:8080"}
    clone |= {"content": "http://c.localhost:8080/wp-content"}
    site = {"home": "https://example.com", "siteurl": "https://cms.example.com"}
    site |= {"content": "https://cms.example.com/wp-content"}
    there = Rewriter(
        [
            UrlMapping(("https://example.com",), "http://c.localhost:8080"),
            UrlMapping(("https://cms.example.com",), "http://c.localhost:8080"),
        ]
    )
    back = Rewriter(url_mappings(clone, site))
    for path in (
        "https://example.com/", "https://example.com/about/", "https://example.com/?p=1",
        "https://example.com/wp-json/wp/v2/posts", "https://cms.example.com/wp-admin/",
        "https://cms.example.com/wp-login.php?action=x", "https://cms.example.com/wp-content/uploads/a.png",
        "https://cms.example.com/wp-includes/js/x.js", "https://cms.example.com/xmlrpc.php",
    ):  # fmt: skip
        for value in (path.encode(), path.replace("/", "\\/").encode(), serialize([path.encode()])):
            assert back.rewrite(there.rewrite(value)) == value


def _root(name: str, path: str, target: str = "") -> dict[str, str]:
    return {"id": name, "path": path, "target": target}


@pytest.mark.parametrize(
    ("facts", "stored"),
    [
        ({"document_root": "/srv/site", "document_root_real": "/srv/releases/7"}, "/srv/site/wp-content/x.php"),
        ({"abspath_real": "/srv/releases/7"}, "/srv/releases/7/wp-content/x.php"),
    ],
)
def test_directories_by_the_names_that_links_give_them(facts: dict[str, str], stored: str) -> None:
    path = "/srv/releases/7" if "document_root" in facts else "/srv/site"
    own = Rewriter([], _paths([_root("abspath", path)], facts, "/clones/1/site"))
    assert own.rewrite(stored.encode()) == b"/clones/1/site/wp-content/x.php"
    assert own.rewrite(serialize([stored.encode()])) == serialize([b"/clones/1/site/wp-content/x.php"])
    assert own.rewrite(f"{path}/a".encode()) == b"/clones/1/site/a"


def test_a_link_above_the_installation() -> None:
    facts = {"document_root": "/srv/current", "document_root_real": "/srv/releases/7"}
    found = _paths([_root("abspath", "/srv/releases/7/wp", "wp")], facts, "/clones/1/site")
    assert PathMapping("/srv/current/wp", "/clones/1/site/wp") in found
