"""What must be decoded is looked for in steps: a first one that is cheap, and never finds less than the whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wordpress.rewrite.buried import Buried, joints, means
from shared.wordpress.rewrite.searching import Search, single
from shared.wordpress.rewrite.signs import Hints

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
        found, whole = list(search.starts(text)), [found.start() for found in search._whole.finditer(text)]
        assert found == sorted({*found, *whole})
        assert search._buried or found == whole


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
    assert isinstance(search, Search)
    assert list(search.starts(rb"\:\:/ \:/")) == [found.start() for found in search._whole.finditer(rb"\:\:/ \:/")]


MAIN = [Search(sign, b"", single(b"(?!)"), Buried(joints(["www.main--shop.example"]))) for sign in (b"\\", b"%", b"&")]


@pytest.mark.parametrize(
    "text",
    [
        rb"main\x2d\x2dshop.example",
        rb"main\u005cx2d\u005cx2dshop.example",
        b"main%5cu002d%5cu002dshop.example",
        b"main-&#92;x2dshop.example",
        b"main--shop%26amp%3b%2346%3bexample",
        rb"http\x253a\x252f\x252fmain--shop.example",
        b"https&#92;u003a&#92;u002f&#92;u002fwww.main--shop.example",
    ],
)
def test_a_sign_in_encodings_of_each_other_is_seen(text: bytes) -> None:
    assert any(search.any(text) for search in MAIN)


@pytest.mark.parametrize(
    "text",
    [
        b"main--shop.example main-shop main%20shop main&nbsp;&amp;shop shop%2cexample",
        rb"main\n\nshop shop\u002c example http\u003a\u002f\u002fshop.test/main--shop.example",
        rb"http:\/\/main--shop.example https%3a%2f%2fmain--shop.example http&#58;&#47;&#47;www.main--shop.example",
    ],
)
def test_what_means_something_else_or_is_read_anyway_is_not(text: bytes) -> None:
    assert not any(search.any(text) for search in MAIN)


def test_what_may_mean_anything_takes_a_bounded_time() -> None:
    looked_at = means.cache_info().misses
    gaps = (b"%%%02x&#%d;\\x%02x" % (number % 256, number, number % 256) for number in range(5000))
    found = list(MAIN[1].starts(b" ".join(b"shop" + gap + b"example" for gap in gaps)))
    assert means.cache_info().misses - looked_at <= 64
    assert len(found) == 5000 - 64, "the rest is taken for what it looks like: decoding is bounded, too"
