"""The rewriter: values one by one, or whole chunks of rows in LOAD DATA format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .embedded import holds_fragments
from .leftovers import Leftover, scan
from .mapping import PathMapping, UrlMapping
from .matcher import Candidate, Cursor, Matcher
from .report import Place, RewriteReport, Tally
from .spelling import RAW_LIMIT, TSV_LIMIT
from .tsv import escape, unescape
from .value import ValueRewriter

_BLOCK = 1 << 20
_HEAD = re.compile(rb'(?:[ \x0b\t\r\n\0]|\\[tnr0])*+(?:s:[0-9]{1,10}:"|a:[0-9]{1,10}:\{|[OCE]:[0-9]{1,10}:")')
_SERIALIZED_HEADS = frozenset(b"saOCE \x0b\\\r\0")
_FRAGMENT_NEEDLES = tuple(b":" + b"\\" * (2 * depth) + b'"' for depth in (1, 3, 7, 15, 31))
_ROW_KEY = re.compile(rb"([0-9A-Za-z_-]{1,64})\t")
_LARGE = 1 << 22


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
    def needles(self) -> tuple[bytes, ...]:
        """What a lower-cased value must contain, one of them at least, to hold anything of the source in clear."""
        return tuple({anchor.needle for anchor in self._raw.anchors})

    @property
    def base64_needles(self) -> tuple[bytes, ...]:
        """The same for values in base64, whose case counts."""
        return self._raw.base64_needles

    def may_match(self, data: bytes) -> bool:
        """Whether a value, or rows, can hold anything of the source; False is certain."""
        return self._raw.may_match(data.lower())

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
        out: list[bytes] = []
        start = 0
        while start < len(chunk):
            stop = len(chunk)
            if stop - start > _BLOCK:
                stop = chunk.rfind(b"\n", start, start + _BLOCK) + 1 or chunk.find(b"\n", start + _BLOCK) + 1 or stop
            block = chunk if stop - start == len(chunk) else chunk[start:stop]
            out.append(_Block(self, block, columns, table).run())
            start = stop
        return out[0] if len(out) == 1 else b"".join(out)

    def leftovers(self, value: bytes) -> list[Leftover]:
        """What of the source is still in a value, in any spelling or encoding; e-mail addresses are not counted."""
        return scan(self._raw, value)

    def count_leftovers_tsv(
        self, chunk: bytes, columns: Sequence[ColumnRule], table: str = ""
    ) -> dict[tuple[str, str], int]:
        """Leftovers in rows, per (table, column), in REWRITE columns only; columns without any are not listed."""
        counts: dict[tuple[str, str], int] = {}
        for line in chunk.split(b"\n"):
            if not line or not self._may_leave(line):
                continue
            for cell, column in zip(line.split(b"\t"), columns, strict=False):
                if column.mode is Mode.REWRITE and cell != b"\\N":
                    found = len(scan(self._raw, unescape(cell)))
                    if found:
                        counts[table, column.name] = counts.get((table, column.name), 0) + found
        return counts

    def _may_leave(self, data: bytes) -> bool:
        return self.may_match(data) or any(needle in data for needle in self._raw.base64_needles)


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

    def _candidates(self) -> Iterator[Candidate]:
        matcher = self._owner._escaped
        if len(self._data) <= _LARGE:
            lowered = self._data.lower()
            yield from matcher.candidates(lowered)
            return
        cursor = Cursor(matcher, self._data)
        while cursor.peek() < len(self._data):
            yield cursor.take()

    def run(self) -> bytes:
        data, width = self._data, len(self._columns)
        keep = [column.mode is not Mode.REWRITE for column in self._columns]
        tallies = [Tally() for _ in self._columns]
        tally = Tally()
        index = line_start = line_end = cell_start = cell_end = 0
        skip = True
        for at, anchor in self._candidates():
            if at >= cell_end:
                if at >= line_end:
                    line_start = data.rfind(b"\n", line_end, at) + 1 or line_end
                    line_end = data.find(b"\n", at)
                    line_end = len(data) if line_end < 0 else line_end
                    cell_start = line_start
                cell_start = data.rfind(b"\t", cell_start, at) + 1 or cell_start
                index = data.count(b"\t", line_start, cell_start)
                cell_end = data.find(b"\t", at, line_end)
                cell_end = line_end if cell_end < 0 else cell_end
                skip = index >= width or keep[index]
                if not skip:
                    tally = tallies[index]
                    if self._is_special(cell_start, cell_end):
                        self._special(cell_start, cell_end, line_start, index)
                        skip = True
            if skip:
                continue
            found = anchor.locate(data, at, cell_start, cell_end)
            if found is None or found[0] < self._copied:
                continue
            start, end, replacement, label = found
            tally.seen(cell_start, label, changed=replacement is not None)
            if replacement is None:
                self._owner.report.sample(self._place(index, line_start), label)
            else:
                self._replace(start, end, replacement)
        for column, tally in zip(self._columns, tallies, strict=True):
            if tally.matched:
                self._owner.report.add(self._table, column.name, tally)
        if not self._copied:
            return data
        self._out.append(self._view[self._copied :])
        return b"".join(self._out)

    def _replace(self, start: int, end: int, replacement: bytes) -> None:
        self._out += (self._view[self._copied : start], replacement)
        self._copied = end

    def _place(self, index: int, line_start: int) -> Place:
        first = _ROW_KEY.match(self._data, line_start)
        return Place(self._table, self._columns[index].name, first[1].decode() if first else "")

    def _is_special(self, start: int, end: int) -> bool:
        """Whether a field must be unescaped before it can be read: serialized PHP, or a block in base64."""
        data = self._data
        if data[start] in _SERIALIZED_HEADS and _HEAD.match(data, start, end):
            return True
        if data.find(b"[vc_raw_", start, end) >= 0:
            return True
        if data.find(b"%", start, end) >= 0 and holds_fragments(data, start, end):
            return True
        return any(data.find(needle, start, end) >= 0 for needle in _FRAGMENT_NEEDLES)

    def _special(self, start: int, end: int, line_start: int, index: int) -> None:
        value = unescape(self._data[start:end])
        result = self._owner.rewrite(value, self._place(index, line_start))
        if result is not value:
            self._replace(start, end, escape(result))
