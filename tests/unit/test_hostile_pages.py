"""Pages made to cost time: everything that reads one takes time linear in its length."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wordpress.challenge import recognise_challenge
from shared.wordpress.install import _asks_for_ftp, is_network_page
from shared.wordpress.markup import tags, words
from shared.wordpress.outline import outline
from shared.wordpress.page import Page, absolute_urls, refuse_gatekeepers
from shared.wordpress.probe import examine, is_login_page
from shared.wordpress.signin import LOCKED, wants_captcha, wants_second_factor

SIZE = 1_200_000
SECONDS = 5.0
"""For a machine that is busy; alone none takes one. What is not linear takes minutes."""


def much(piece: str, size: int = SIZE) -> str:
    return piece * (size // len(piece) + 1)


PIECES = [
    '<', '<a ', '<a', '<a href="', "<a href='x", '<a b=', '<!--', '<!-->', '<![CDATA[', '<!DOCTYPE ', '<?', '&',
    '&#x', '&#9', '\x00', '<script', '<script>', '<style>', '<title>', '<title', '<textarea>', '<iframe>', '<div>',
    '<b>', '<p>', '<div><p>', '<form>', '<input', '<input ', '<input name="', '<body class="', '<div class="',
    '<div class="wp-die-message">', '<div id="login_error">', '<div class="error">', '<div class="notice-error" ',
    '<div class="wrap">', "<div class='error'>x", '</div>', '</p></b>', '<body id="error-page">',
    "<link rel='https://api.w.org/' href='", '<link rel="EditURI" ', '<meta name=generator content=WordPress',
    'http://', 'https:\\/\\/', 'http://x/wp-includes/ ', '/_Incapsula_Resource?SWJIYLWA', 'g-recaptcha',
    'wordfence ', 'Fatal error: ', 'There has been a critical error', ' ', '\t\n', '"', "'", '=', '/', '<a/',
    '<a =', '<a \'"', 'password ', 'locked ', 'class=g-recaptcha-', '<div\x0c', '<A HREF=x>', '</', '</>',
    '<a></b>', 'a=1 ', '--', '<!--->', '<noscript>', '<select name=x>', '<svg><a>',
]  # fmt: skip
ENDS = [">", "x", "</script>", "-->", "</title>", "name=log>"]
WHOLE = [
    "<a " + much("a=1 "),
    "<a " + " ".join(f"a{number}" for number in range(150_000)) + ">",
    "<input name=" + "x" * SIZE + ">",
    '<div class="' + much("wp ") + '">',
    much("<div>", SIZE // 2) + much("</span>", SIZE // 2),
    much("<b><div>", SIZE // 2) + much("</b>", SIZE // 2),
    "&#" + "9" * SIZE + ";",
    "<title>" + "x" * SIZE,
    "<p " + '"' * SIZE,
    "<p a=" + "'" * SIZE,
    "<script>" + much("</scrip"),
    "<!--" + much("-- >"),
    '<div class="wp-die-message">' + much("<div>"),
    much('<div id="login_error">x</div>'),
    much("<form><input name=log><input name=pwd></form>"),
]
PAGES = [much(piece) for piece in PIECES] + WHOLE


def page(text: str, headers: dict[str, str] | None = None, status: int = 200) -> Page:
    return Page(httpx2.URL("http://shop.test/"), status, httpx2.Headers(headers or {}), text)


def within(seconds: float, work: Callable[[], object]) -> None:
    began = time.thread_time()
    work()
    assert time.thread_time() - began < seconds


def read_everything(text: str) -> None:
    seen = page(text)
    seen.message(), seen.title, seen.died, seen.login_error
    examine(seen), is_login_page(seen)
    wants_captcha(seen), wants_second_factor(seen), _asks_for_ftp(seen), is_network_page(seen)
    LOCKED.search(seen.message() or seen.title)


@pytest.mark.parametrize("text", PAGES, ids=lambda text: repr(text[:24]))
def test_reading_a_page_is_linear(text: str) -> None:
    within(SECONDS, lambda: read_everything(text))
    within(SECONDS, lambda: words(text))
    within(SECONDS, lambda: [*absolute_urls(text)])


@pytest.mark.parametrize("status", [200, 403, 503])
def test_looking_for_bot_checks_is_linear(status: int) -> None:
    for text in (page[:300_000] for page in PAGES):
        within(SECONDS, lambda text=text: recognise_challenge(status, {"server": "cloudflare"}, text))  # type: ignore[misc]


@pytest.mark.parametrize("header", ["<" * 60_000, "<x>; " * 12_000, ', <x>; rel="https://api.w.org/"' * 2_000])
def test_reading_a_header_is_linear(header: str) -> None:
    within(SECONDS, lambda: examine(page("", {"link": header, "x-pingback": header})))


def test_what_an_ordinary_page_holds() -> None:
    seen = outline(
        '<!DOCTYPE html><html><head><title>A &amp; B</title><!-- <a href="/no"> -->'
        '<script>if (a<b) "<a href=/no>"</script>'
        '<meta name="generator" content="WordPress 6.1"></head><body class="wp-admin multisite">'
        "<p title='it''s > that'>it's <a HREF=/plain>x</a> <a href='/q?a=1&amp;b=2' class=\"one two\">y</a></p>"
        '<form action="options.php"><input type=hidden name="_wpnonce" value="ab&quot;c"/>'
        "<select name=s></select></form>"
        '<input name=outside><div class="wp-die-message"><div>Not</div> <b>you</b></div>'
        '<tr data-plugin="a/a.php"></body></html>'
    )
    assert seen.links == ["/plain", "/q?a=1&b=2"]
    assert [(form.action, form.fields) for form in seen.forms] == [("options.php", {"_wpnonce": 'ab"c', "s": ""})]
    assert seen.names == {"_wpnonce", "s", "outside"}
    assert {"one", "two"} <= seen.classes
    assert seen.body_classes == ["wp-admin", "multisite"]
    assert seen.kept["died"] == ["<div>Not</div> <b>you</b>"]
    assert seen.kept["title"] == ["A &amp; B"]
    assert seen.plugins == {"a/a.php"}
    assert seen.ends


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>a</p><p>b</p>", "a b"),
        ("a<script>x<b>y</script>c", "a c"),
        ("a<style>b{}</style><!-- no <b> -->c &lt;d&gt; &eacute;", "a c <d> é"),
        ("1 < 2 and 3 <4", "1 < 2 and 3 <4"),
        ("x<br/>y\n\n z<unfinished", "x y z"),
        ("<title>A &amp; B</title>", "A & B"),
        ("&#99999999999999999999;", "�"),
        ("", ""),
    ],
)
def test_words_of_markup(markup: str, text: str) -> None:
    assert words(markup) == text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*PIECES, ">", "x", "</script>", "-->", "</title>", "name=log>"]), max_size=60).map(
        "".join
    )
)
def test_any_page_is_read(text: str) -> None:
    seen = page(text, status=403)
    read_everything(text)
    refuse_gatekeepers(page(text))
    assert words(text) is not None
    ends = [tag.end for tag in tags(text)]
    assert ends == sorted(ends), "a tag ends before the next begins"
    assert all(inside in text for kept in seen.outline.kept.values() for inside in kept)
