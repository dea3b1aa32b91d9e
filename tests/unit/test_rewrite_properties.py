"""What holds for every value: generated structures, generated text, random bytes, and hostile sizes."""

from __future__ import annotations

import re
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.wordpress.rewrite import ColumnRule, Mode, RewriteReport, escape, unescape
from tests.unit.php_values import PhpObject, serialize, unserialize
from tests.unit.rewrite_cases import CHANGED, UNTOUCHED, S, T, rewriter

_BROTHERS = [S, b"https://example.com", b"http://WWW.example.com", b"//www.example.com"]
_FRAGMENTS = [
    *_BROTHERS, b"http", b"www.", b"example.com", b":", b"/", b"//", b"\\", b"\\/", b"%2F", b"%3A", b"%253A", b"@",
    b"user", b'"', b";", b"s:22:", b"a:1:{", b"}", b"i:0;", b"\n", b"\t", b"\0", b"\r", b"\x1a", b"n", b"0", b"Z", b" ",
    b"\\u002f", b"\\u003a", b"8081", b":80", b"&#x2F;", b"&quot;", b".", b"-", b"_", b"\xff", b"\xc3\xa9",
    b"/var/www/html", b"\\/var\\/www\\/html", b"/wp-content",
    b"[vc_raw_html]", b"[/vc_raw_html]", b"aHR0cDovL2V4YW1wbGUuY29tL3g=",
    b'{"a":"s:22:\\"', b'\\";"}', b"s%3A22%3A%22", b"%22%3B", b"C:3:", b"N;", b"*", S + b'";',
    b'a:1:{i:0;s:22:"', b'";}',
]  # fmt: skip
_messy = st.lists(st.sampled_from(_FRAGMENTS), max_size=14).map(b"".join)
_clean = st.text(alphabet="ab é🚀'{}<>", max_size=8).map(str.encode)
_sited = st.tuples(_clean, st.sampled_from([b"", S + b"/", S]), _clean).map(lambda p: p[0] + p[1] + b" " + p[2])
_PROPERTIES = [b"a", b"\0*\0b", b"\0Acme\\Thing\0c"]
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), _sited)
_keys = st.one_of(st.integers(0, 99), _clean)


def _structures(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(_keys, inner, max_size=4),
            st.builds(
                PhpObject,
                st.sampled_from([b"stdClass", b"Acme\\Thing"]),
                st.lists(st.tuples(st.sampled_from(_PROPERTIES), inner), max_size=3).map(tuple),
            ),
            inner.map(serialize),
        ),
        max_leaves=12,
    )


def _mapped(value: Any) -> Any:
    """The structure with strings mapped; serialized strings inside are read and written like PHP would."""
    match value:
        case bytes():
            try:
                return serialize(_mapped(unserialize(value)))
            except (ValueError, RecursionError):
                return value.replace(S, T)
        case list():
            return [_mapped(item) for item in value]
        case dict():
            return {key: _mapped(item) for key, item in value.items()}
        case PhpObject():
            return PhpObject(value.name, tuple((key, _mapped(item)) for key, item in value.properties))
    return value


def _as_read(value: Any) -> Any:
    return unserialize(serialize(value))


@settings(max_examples=200, deadline=None)
@given(_structures(_scalars).filter(lambda value: not isinstance(value, bytes)))
def test_structures_keep_their_shape(value: Any) -> None:
    rewritten = rewriter().rewrite(serialize(value))
    assert unserialize(rewritten) == _as_read(_mapped(value))


@settings(max_examples=400, deadline=None)
@given(_messy)
@example(b"http://http://www.example.com")
@example(b"\\" * 40 + b"//example.com")
@example(b'"s:22:\\"' + S + b'";{"a":"s:22:\\"' + S)
def test_twice_is_once(value: bytes) -> None:
    own = rewriter()
    once = own.rewrite(value)
    assert own.rewrite(once) == once


@settings(max_examples=300, deadline=None)
@given(_messy.filter(lambda value: not re.search(rb"example\.com|/html|vc_raw|aHR0", value, re.IGNORECASE)))
def test_without_the_source_nothing_is_touched(value: bytes) -> None:
    own = rewriter()
    assert not own.may_match(value)
    assert own.rewrite(value) is value
    assert own.leftovers(value) == []


COLUMNS = [ColumnRule("id", Mode.KEEP), ColumnRule("text"), ColumnRule("guid", Mode.KEEP), ColumnRule("more")]


def _cell(value: bytes | None) -> bytes:
    return b"\\N" if value is None else escape(value)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(*[st.one_of(st.none(), _messy)] * 4), max_size=4))
def test_rows_are_values(rows: list[tuple[bytes | None, ...]]) -> None:
    own = rewriter()
    chunk = b"".join(b"\t".join(map(_cell, row)) + b"\n" for row in rows)
    lines = []
    for row in rows:
        cells = zip(row, COLUMNS, strict=True)
        done = [v if v is None or column.mode is Mode.KEEP else own.rewrite(v) for v, column in cells]
        lines.append(b"\t".join(map(_cell, done)) + b"\n")
    assert rewriter().rewrite_tsv(chunk, COLUMNS, "t") == b"".join(lines)


@pytest.mark.parametrize(("source", "expected"), CHANGED.values(), ids=CHANGED.keys())
def test_rows_with_hard_values(source: bytes, expected: bytes) -> None:
    own = rewriter()
    chunk = b"1\t%s\t%s\t\\N\n" % (escape(source), escape(source))
    assert own.rewrite_tsv(chunk, COLUMNS, "t") == b"1\t%s\t%s\t\\N\n" % (escape(expected), escape(source))
    assert {key: counts.changed for key, counts in own.report.columns.items()} == {("t", "text"): 1}


@pytest.mark.parametrize("value", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_rows_with_untouchable_values(value: bytes) -> None:
    chunk = b"1\t%s\t\\N\t\n" % escape(value)
    assert rewriter().rewrite_tsv(chunk, COLUMNS, "t") == chunk


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | _messy)
def test_nothing_raises(data: bytes) -> None:
    own = rewriter()
    own.rewrite(data)
    own.leftovers(data)
    own.rewrite_tsv(data, COLUMNS, "t")
    own.count_leftovers_tsv(data, COLUMNS, "t")
    own.report.to_dict()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | _messy)
def test_escaping_is_reversible(value: bytes) -> None:
    assert unescape(escape(value)) == value
    assert not re.search(rb"[\t\n]", escape(value))


@settings(max_examples=200, deadline=None)
@given(st.lists(_messy, max_size=6))
def test_reports_add_up(values: list[bytes]) -> None:
    together, apart = rewriter(), RewriteReport()
    for value in values:
        row = b"1\t%s\t\\N\t\\N\n" % escape(value)
        together.rewrite_tsv(row, COLUMNS, "t")
        single = rewriter()
        single.rewrite_tsv(row, COLUMNS, "t")
        apart += single.report
    assert apart.to_dict() == together.report.to_dict()


def test_rows_across_blocks_and_tables() -> None:
    own = rewriter()
    row = b"7\t" + S + b"/" + b"x" * 3000 + b"\t" + S + b"\t" + escape(serialize([S])) + b"\n"
    plain = b"8\t" + b"y" * 900 + b"\t" + S + b"\t\n"
    chunk = (row + plain * 9) * 300
    rows = own.rewrite_tsv(chunk, COLUMNS, "a")
    new = b"7\t" + T + b"/" + b"x" * 3000 + b"\t" + S + b"\t" + escape(serialize([T])) + b"\n"
    assert rows == (new + plain * 9) * 300
    assert own.report.rows == {"a": 3000}
    assert own.report.columns["a", "text"].changed == own.report.columns["a", "more"].changed == 300
    assert own.count_leftovers_tsv(chunk, COLUMNS, "a") == {("a", "text"): 300, ("a", "more"): 300}
    assert own.count_leftovers_tsv(rows, COLUMNS, "a") == {}


def _hostile(size: int) -> dict[str, bytes]:
    """Values built to be slow or to need much memory, about `size` bytes each."""
    return {
        "no host": b"lorem ipsum " * (size // 12),
        "one url": b"x" * size + S,
        "nested": serialize(serialize(serialize([S + b"x" * size]))),
        "dense urls": (S + b" ") * (size // 23),
        "array of urls": serialize([S] * (size // 40)),
        "dense json": (rb'"http:\/\/example.com",') * (size // 24),
        "quotes without an end": b'{"' + rb"\"" * (size // 2) + rb"s:22:\"" + S,
        "backslashes": b"\\" * size + b"//example.com",
        "escaped strings without an end": (rb"s:1:\"" + S) * (size // 29),
        "percent": b"%25" * (size // 3) + b"2F%2Fexample.com",
        "serialized heads": b's:9:"' * (size // 5) + S,
        "deep arrays": b"a:1:{i:0;" * (size // 9) + S,
        "shortcodes": b"[vc_raw_html]" * (size // 13) + S,
        "e-mails": b"a@example.com," * (size // 14),
        "escaped string": b'a:1:{i:0;S:9999999:"' + b'";' * (size // 2) + S,
        "base64 runs": b"ZXhhbXBsZS5jb20" * (size // 15) + S,
        "inner values unreadable after their address": serialize([b'a:2:{i:0;s:22:"' + S + b'";}'] * (size // 55)),
        "shortcodes without an end": b"[vc_raw_html a" * (size // 14) + S,
        "shortcodes without a close": b"[vc_raw_html]QUFB" * (size // 17) + S,
        "classes in classes": _classes(min(size // 25, 9_000)),
    }


def _classes(depth: int) -> bytes:
    value = serialize([S])
    for _ in range(depth):
        value = b'C:1:"A":%d:{%s}' % (len(value), value)
    return value


@pytest.mark.parametrize("name", _hostile(0))
def test_four_times_the_size_takes_four_times_the_work(name: str) -> None:
    """Quadratic work would take sixteen times as long; the best of three tells it from noise."""

    def cost(value: bytes) -> float:
        spent = []
        for _ in range(3):
            began = time.process_time()
            own = rewriter()
            own.rewrite(value)
            own.rewrite_tsv(b"1\t%s\t\\N\t\\N\n" % escape(value), COLUMNS, "t")
            own.leftovers(value)
            spent.append(time.process_time() - began)
        return min(spent)

    small, large = (cost(_hostile(size)[name]) for size in (60_000, 240_000))
    assert large < 10 * small + 0.02


@pytest.mark.parametrize("name", _hostile(0))
def test_a_megabyte_of_malice_takes_seconds(name: str) -> None:
    own, value = rewriter(), _hostile(1_000_000)[name]
    began = time.process_time()
    own.rewrite(value)
    own.rewrite_tsv(b"1\t%s\t\\N\t\\N\n" % escape(value), COLUMNS, "t")
    own.leftovers(value)
    assert time.process_time() - began < 15, "linear work takes a few seconds, quadratic work takes hours"


@pytest.mark.parametrize(
    ("name", "size"),
    [("no host", 40_000_000), ("one url", 40_000_000), ("nested", 40_000_000), ("dense urls", 4_000_000)],
)
def test_memory_of_a_huge_value_is_bounded(name: str, size: int) -> None:
    value, own = _hostile(size)[name], rewriter()
    tracemalloc.start()
    try:
        own.rewrite(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(value)
