"""All spellings of one host: dashes that WordPress escapes in blocks, names beyond ASCII, paths beyond ASCII."""

from __future__ import annotations

import json
import re

import pytest

from shared.wordpress.rewrite import ColumnRule, Rewriter, UrlMapping
from tests.unit.php_values import serialize

T = "http://clone-1.localhost:8080"

DASHES = {
    rb'<!-- wp:navigation-link {"url":"https://main\u002d\u002dshop.example/a"} /-->': (
        b'<!-- wp:navigation-link {"url":"http://clone-1.localhost:8080/a"} /-->'
    ),
    rb'<!-- wp:x {"u":"https://main\u002d\u002dshop.example","v":"https://main--shop.example/b"} -->': (
        b'<!-- wp:x {"u":"http://clone-1.localhost:8080","v":"http://clone-1.localhost:8080/b"} -->'
    ),
    rb'"{\"url\":\"https:\\/\\/main\\u002d\\u002dshop.example\\/a\"}"': (
        rb'"{\"url\":\"http:\\/\\/clone-1.localhost:8080\\/a\"}"'
    ),
    rb'<!-- wp:x {"s":"s:26:\u0022https://main\u002d\u002dshop.example\u0022;"} /-->': (
        rb'<!-- wp:x {"s":"s:29:\u0022http://clone-1.localhost:8080\u0022;"} /-->'
    ),
    rb'"https:\/\/main\u002D-shop\u002eexample\/a"': rb'"http:\/\/clone-1.localhost:8080\/a"',
    rb'"\/\/main\u002d\u002dshop.example\/a"': rb'"\/\/clone-1.localhost:8080\/a"',
    b"https%3A%2F%2Fmain%2D%2Dshop.example%2Fa": b"http%3A%2F%2Fclone-1.localhost%3A8080%2Fa",
    b"https://main&#45;&#x2d;shop.example/": b"http://clone-1.localhost:8080/",
}


@pytest.mark.parametrize("value", DASHES, ids=bytes.decode)
def test_dashes_escaped(value: bytes) -> None:
    own = Rewriter([UrlMapping(("https://main--shop.example",), T)])
    assert own.may_match(value)
    assert own.leftovers(value)
    assert own.rewrite(value) == DASHES[value]
    assert own.leftovers(DASHES[value]) == []


@pytest.mark.parametrize(
    "value",
    [
        rb'{"style":"var(\u002d\u002dwp--preset)","class":"main\u002d\u002dshopping"}',
        rb'"https://x.main\u002d\u002dshop.example/"',
        rb'"https://main\u002d\u002dshop.example.evil.test/"',
        rb'"me@main\u002d\u002dshop.example"',
        rb'"https://main\u002dshop.example/"',
    ],
)
def test_other_dashes(value: bytes) -> None:
    own = Rewriter([UrlMapping(("https://main--shop.example",), T)])
    assert own.rewrite(value) is value
    assert own.leftovers(value) == []


@pytest.mark.parametrize("host", ["www.example.com", "a-b.example", "xn--mnchen-3ya.de"])
def test_every_escaping_of_every_character(host: str) -> None:
    own = Rewriter([UrlMapping((f"https://{host}",), T)])
    for index, character in enumerate(host):
        for spelled in (f"\\u{ord(character):04x}", f"\\u{ord(character):04X}", f"\\u{ord(character.upper()):04x}"):
            value = f'"https:\\/\\/{host[:index]}{spelled}{host[index + 1 :]}\\/a"'.encode()
            assert json.loads(own.rewrite(value)) == T + "/a", value
            assert len(own.leftovers(value)) == 1, value
            row = b"1\t" + value.replace(b"\\", b"\\\\") + b"\n"
            assert own.count_leftovers_tsv(row, [ColumnRule("id"), ColumnRule("text")], "t") == {("t", "text"): 1}
            assert re.search(own.pattern, value), value


IDN = [
    "https://münchen.de/a", "https://MÜNCHEN.de/a", "http://www.München.DE/a", "https://mu\u0308nchen.de/a",
    "https://xn--mnchen-3ya.de/a", "HTTPS://XN--MNCHEN-3YA.DE/a", "https://m%C3%BCnchen.de/a",
    "https://m%c3%9cnchen.de/a", "https://m&uuml;nchen.de/a", "https://m&#252;nchen.de/a", "https://m&#xFC;nchen.de/a",
]  # fmt: skip


@pytest.mark.parametrize("source", ["https://xn--mnchen-3ya.de", "https://münchen.de", "https://www.MÜNCHEN.de"])
def test_spellings_of_an_international_name(source: str) -> None:
    own = Rewriter([UrlMapping((source,), T)])
    for url in IDN:
        assert own.rewrite(url.encode()).decode() == T + "/a", url
        value = serialize({b"u": url.encode(), b"v": [b"x"]})
        assert own.rewrite(value) == serialize({b"u": f"{T}/a".encode(), b"v": [b"x"]}), url
        assert own.leftovers(url.encode()), url
    for slashes in (True, False):
        for url in IDN[:6]:
            text = json.dumps({"u": url})
            text = text.replace("/", "\\/") if slashes else text
            assert json.loads(own.rewrite(text.encode())) == {"u": T + "/a"}, text
    assert own.rewrite(b"%2F%2Fm%C3%BCnchen.de%2Fa") == b"%2F%2Fclone-1.localhost%3A8080%2Fa"
    assert own.rewrite(b"%252F%252Fm%25C3%25BCnchen.de%252Fa") == b"%252F%252Fclone-1.localhost%253A8080%252Fa"


@pytest.mark.parametrize(
    "text",
    ["post@münchen.de", "https://xmünchen.de", "https://münchen.de.evil", "https://münchen.dé", "https://münchën.de",
     "https://munchen.de", r"https:\/\/m\u00fcnchen.de.evil.test"],
)  # fmt: skip
def test_other_international_names(text: str) -> None:
    own = Rewriter([UrlMapping(("https://münchen.de",), T)])
    assert own.rewrite(text.encode()).decode() == text


@pytest.mark.parametrize("name", ["straße.de", "пример.рф", "例え.jp", "☕.us", "ÅÄÖ.se"])
def test_names_of_all_kinds(name: str) -> None:
    labels = [
        label if label.isascii() else "xn--" + label.lower().encode("punycode").decode() for label in name.split(".")
    ]
    wire = ".".join(labels)
    for source in (name, wire):
        own = Rewriter([UrlMapping((f"https://{source}/wp",), T)])
        for text in (
            f"https://{name}/wp/a",
            f"https://{wire}/wp/a",
            f"//{name}/wp",
            json.dumps(f"https://{name}/wp/a"),
        ):
            assert T.removeprefix("http:") in own.rewrite(text.encode()).decode(), text


@pytest.mark.parametrize("path", ["bücher", "b%C3%BCcher"])
def test_a_path_beyond_ascii(path: str) -> None:
    own = Rewriter([UrlMapping((f"https://example.com/{path}",), T)])
    for text in ("bücher", "b%C3%BCcher", "b%c3%bccher", r"b\u00fccher", r"b\u00FCcher"):
        assert own.rewrite(f"https://example.com/{text}/x".encode()).decode() == f"{T}/x"
    assert (
        own.rewrite(b"https%3A%2F%2Fexample.com%2Fb%25C3%25BCcher%2Fx") == b"http%3A%2F%2Fclone-1.localhost%3A8080%2Fx"
    )
    for text in ("bucher", "büch", "büchereien", "b%C3%BCcherei"):
        assert own.rewrite(f"https://example.com/{text}/x".encode()).decode() == f"https://example.com/{text}/x"
