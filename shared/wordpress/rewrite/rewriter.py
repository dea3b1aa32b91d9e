"""The rewriter: values one by one, or whole chunks of rows in LOAD DATA format."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .leftovers import Leftover, scan
from .mapping import PathMapping, UrlMapping
from .matcher import Candidate, Cursor, HintAnchor, Matcher, WrapperAnchor
from .report import Place, RewriteReport, Tally
from .signs import holds_head
from .spelling import RAW_LIMIT, TSV_LIMIT
from .tsv import Fields, escape, unescape
from .value import ValueRewriter

_BLOCK = 1 << 21
_HEAD = re.compile(rb'(?:[ \x0b\t\r\n\0]|\\[tnr0])*+(?:s:[0-9]{1,10}:"|a:[0-9]{1,10}:\{|[OCE]:[0-9]{1,10}:")')
_ALWAYS_DECODED = (HintAnchor, WrapperAnchor)
_SERIALIZED_HEADS = frozenset(b"saOCE \x0b\\\r\0")
_ROW_KEY = re.compile(rb"([0-9A-Za-z_-]{1,64})\t")


class Mode(StrEnum):
    """What to do with a column."""

    REWRITE = "rewrite"
    KEEP = "keep"


@dataclass(frozen=True)
class ColumnRule:
    """One column of a table's rows, in the order the rows have. KEEP: guid, numbers, dates, binary."""

    name: str
    mode: Mode = Mode.REWRITE


class Rewriter:
    """Replaces a site's URLs and paths in database values; one instance per thread, `report` tells what it did.

    Raises ValueError for mappings that are no base URLs or absolute paths; never for a value.
    """

    def __init__(
        self,
        urls: Sequence[UrlMapping],
        paths: Sequence[PathMapping] = (),
        *,
        rewrite_bare_domains: bool = False,
    ) -> None:
        self._raw = Matcher(urls, paths, RAW_LIMIT, bare_domains=rewrite_bare_domains)
        self._escaped = Matcher(urls, paths, TSV_LIMIT, bare_domains=rewrite_bare_domains)
        self.report = RewriteReport()

    @property
    def pattern(self) -> bytes:
        """What bytes must match to hold anything of the source in any spelling or in base64; PCRE reads it too."""
        return self._raw.pattern()

    def may_match(self, data: bytes) -> bool:
        """Whether a value, or rows, can hold anything of the source; False is certain."""
        return self._raw.may_match(self._raw.lower(data))

    def rewrite(self, value: bytes, place: Place = Place()) -> bytes:  # noqa: B008 - frozen
        """One column value with every source URL and path replaced; the same object when nothing changed."""
        work = ValueRewriter(self._raw, value)
        result = work.run()
        if work.kinds or work.left:
            self.report.note(place, work.kinds, work.left, changed=result is not value)
        return result

    def rewrite_tsv(self, chunk: bytes, columns: Sequence[ColumnRule], table: str = "") -> bytes:
        """Rows (whole lines, each ended by a newline) rewritten; counts go to `table` and the columns' names.

        Rows without a candidate are passed through in bulk. Raises nothing on malformed rows: fields beyond
        `columns` are kept.
        """
        self.report.rows[table] += chunk.count(b"\n")
        out = [_Block(self, block, columns, table).run() for block in _blocks(chunk)]
        return out[0] if len(out) == 1 else b"".join(out)

    def leftovers(self, value: bytes) -> list[Leftover]:
        """What of the source is still in a value, in any spelling or encoding; e-mail addresses are not counted."""
        return scan(self._raw, value)

    def count_leftovers_tsv(
        self, chunk: bytes, columns: Sequence[ColumnRule], table: str = ""
    ) -> dict[tuple[str, str], int]:
        """Leftovers in rows, per (table, column), in REWRITE columns only; columns without any are not listed."""
        counts: dict[tuple[str, str], int] = {}
        for block in _blocks(chunk):
            fields, done = Fields(block), -1
            for at in self._suspects(block):
                if at >= fields.end:
                    fields.move(at)
                if fields.start == done or fields.index >= len(columns):
                    continue
                done, column = fields.start, columns[fields.index]
                if column.mode is Mode.REWRITE:
                    found = len(scan(self._raw, unescape(block[fields.start : fields.end])))
                    if found:
                        counts[table, column.name] = counts.get((table, column.name), 0) + found
        return counts

    def _suspects(self, block: bytes) -> list[int]:
        """Positions, in order, at which a leftover may begin or lie."""
        found = [at for at, _ in self._escaped.candidates(self._escaped.lower(block))]
        for needle in self._raw.base64_needles:
            at = block.find(needle)
            while at >= 0:
                found.append(at)
                at = block.find(needle, at + len(needle))
        found.sort()
        return found


def _blocks(chunk: bytes) -> Iterator[bytes]:
    """The chunk in pieces of whole lines, small enough for everything found in one to be held at a time."""
    if len(chunk) <= _BLOCK:
        yield chunk
        return
    start = 0
    while start < len(chunk):
        stop = chunk.rfind(b"\n", start, start + _BLOCK) + 1 or chunk.find(b"\n", start + _BLOCK) + 1 or len(chunk)
        yield chunk[start:stop]
        start = stop


class _Block:
    """One block of rows on its way through."""

    def __init__(self, owner: Rewriter, data: bytes, columns: Sequence[ColumnRule], table: str) -> None:
        self._owner = owner
        self._data = data
        self._columns = columns
        self._table = table
        self._view = memoryview(data)
        self._out: list[bytes | memoryview] = []
        self._copied = 0
        self._hints: list[int] | None = None

    def _candidates(self) -> Iterator[Candidate]:
        matcher = self._owner._escaped
        if len(self._data) <= 2 * _BLOCK:
            found = matcher.candidates(matcher.lower(self._data))
            self._hints = [at for at, anchor in found if type(anchor) in _ALWAYS_DECODED]
            yield from found
            return
        cursor = Cursor(matcher, self._data)
        while cursor.peek() < len(self._data):
            yield cursor.take()

    def run(self) -> bytes:
        fields = Fields(self._data)
        tallies = [Tally() for _ in self._columns]
        skip = True
        for at, anchor in self._candidates():
            if at >= fields.end:
                fields.move(at)
                skip = self._passes(fields)
            if skip:
                continue
            found = anchor.locate(self._data, at, fields.start, fields.end)
            if found is None or found[0] < self._copied:
                continue
            start, end, replacement, label = found
            tallies[fields.index].seen(fields.start, label, changed=replacement is not None)
            if replacement is None:
                self._owner.report.sample(self._place(fields), label)
            else:
                self._out += (self._view[self._copied : start], replacement)
                self._copied = end
        for column, tally in zip(self._columns, tallies, strict=True):
            if tally.matched:
                self._owner.report.add(self._table, column.name, tally)
        if not self._copied:
            return self._data
        self._out.append(self._view[self._copied :])
        return b"".join(self._out)

    def _passes(self, fields: Fields) -> bool:
        """Whether a field needs nothing more: kept as it is, or already rewritten as a value of its own."""
        if fields.index >= len(self._columns) or self._columns[fields.index].mode is not Mode.REWRITE:
            return True
        if not self._is_special(fields.start, fields.end):
            return False
        value = unescape(self._data[fields.start : fields.end])
        result = self._owner.rewrite(value, self._place(fields))
        if result is not value:
            self._out += (self._view[self._copied : fields.start], escape(result))
            self._copied = fields.end
        return True

    def _place(self, fields: Fields) -> Place:
        first = _ROW_KEY.match(self._data, fields.line_start)
        return Place(self._table, self._columns[fields.index].name, first[1].decode() if first else "")

    def _is_special(self, start: int, end: int) -> bool:
        """Whether a field must be unescaped before it can be read: serialized PHP, or a block in base64."""
        data = self._data
        if data[start] in _SERIALIZED_HEADS and _HEAD.match(data, start, end):
            return True
        return self._hinted(start, end) or holds_head(data, start, end)

    def _hinted(self, start: int, end: int) -> bool:
        if self._hints is None:
            matcher = self._owner._escaped
            found = matcher.candidates(matcher.lower(self._data[start:end]))
            return any(type(anchor) in _ALWAYS_DECODED for _, anchor in found)
        return bisect_left(self._hints, start) != bisect_left(self._hints, end)


def warm_patterns() -> None:
    """Compile what is the same for all sites: once, before processes are forked that rewrite one site each."""
    Rewriter([UrlMapping(("https://example.com",), "https://example.org")], [PathMapping("/srv/a", "/srv/b")])
