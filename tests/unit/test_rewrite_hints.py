"""What must be decoded is looked for in steps: a first one that is cheap, and never finds less than the whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wordpress.rewrite.signs import Hints, _Search

HOSTS = ["www.b-1.at", "www.kö.at"]
HINTS = Hints(HOSTS)
PIECES = [*HOSTS, "://", ":8080/", 's:12:"', "O:8:", "[vc_raw_html]", "&colon;", "%26amp%3B%23", "\\", "%", "&", "u00"]


def spellings(character: str) -> list[str]:
    """One character as escapings write it, one inside another too."""
    code, units = ord(character), character.encode("utf-16-be").hex()
    json = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    numbers = [f"{code:x}", f"{code:06x}", f"0{code:x} "]
    backslashes = ["\\", "\\u005c", "%5c", "%255c"]
    css = [backslash + number for backslash in backslashes for number in numbers]
    entities = [f"&#{code};", f"&#x{code:x};", f"&amp;#0{code};"]
    return [
        character,
        json,
        percent,
        percent.replace("%", "%25"),
        *css,
        *entities,
        *(b + character for b in backslashes),
    ]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Parts of hosts and of what stands around them, each character in any spelling."""
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        piece = draw(st.sampled_from(PIECES))
        start = draw(st.integers(0, len(piece) - 1))
        parts += [draw(st.sampled_from(spellings(character))) for character in piece[start : start + 6]]
    return "".join(parts).lower().encode()


@settings(deadline=None)
@given(texts())
def test_the_first_look_misses_nothing(text: bytes) -> None:
    for search in HINTS._all + HINTS._names:
        assert list(search.starts(text)) == [found.start() for found in search._whole.finditer(text)]


@pytest.mark.parametrize(
    "text",
    [
        rb"[{\"id\":\"a1\",\"url\":\"https:\\/\\/boatyard-example.com\\/a\",\"size\":\"12px\"}]",
        rb'<!-- wp:group {"style":{"color":"var(\u002d\u002dwp)"}} --> &#8217;harbour&nbsp;&amp; pier&#038;',
        rb".icon:before{content:'\\f101'} .x{content:'\\e900'}",
        rb"https%3a%2f%2fexample.org%2f%3fq%3d1&amp;x=2",
        rb"s:5:\"\0*\0ab\";sitemap\\.xml$ feed/(feed|rdf|rss)/?$ .*wp-(atom|rss2)\\.php$",
    ],
)
def test_what_many_sites_hold_needs_no_whole_pattern(text: bytes) -> None:
    """Compiling one takes 0.1 s of each job, three times over."""
    hints = Hints(["www.harbour.example"])
    assert not hints.positions(text.lower())
    assert [search for search in hints._all if "_whole" in vars(search)] == []


def test_a_first_look_is_cheap_to_make() -> None:
    hints = Hints(["www.boatyard-example.com"])
    sources = [
        (search._near_source, search._whole_source) for search in hints._all if len(search._whole_source) > 4_000
    ]
    assert len(sources) == 5
    for near, whole in sources:
        assert re.compile(near)
        assert len(near) * 20 < len(whole)


def test_a_search_goes_on_behind_what_it_found() -> None:
    search = HINTS._backslashed
    assert isinstance(search, _Search)
    assert list(search.starts(rb"\:\:/ \:/")) == [found.start() for found in search._whole.finditer(rb"\:\:/ \:/")]
