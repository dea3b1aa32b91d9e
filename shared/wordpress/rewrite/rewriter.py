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
from .report import Kind, Place, Reason, RewriteReport
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
        data, columns, width = self._data, self._columns, len(self._columns)
        line_end = cell_end = 0
        line_start = cell_start = 0
        kinds: list[Kind] = []
        left: list[Reason] = []
        rewriting = False
        place: tuple[int, int] | None = None
        for at, anchor in self._candidates():
            if at >= cell_end:
                if place is not None:
                    self._note(place, kinds, left)
                    place, kinds, left = None, [], []
                if at >= line_end:
                    line_start = data.rfind(b"\n", line_end, at) + 1 or line_end
                    line_end = data.find(b"\n", at)
                    line_end = len(data) if line_end < 0 else line_end
                    index, cell_start = 0, line_start
                cell_start = data.rfind(b"\t", cell_start, at) + 1 or cell_start
                index = data.count(b"\t", line_start, cell_start)
                cell_end = data.find(b"\t", at, line_end)
                cell_end = line_end if cell_end < 0 else cell_end
                rewriting = index < width and columns[index].mode is Mode.REWRITE
                if rewriting and self._is_special(cell_start, cell_end):
                    self._special(cell_start, cell_end, line_start, index)
                    rewriting = False
            if not rewriting:
                continue
            found = anchor.locate(data, at, cell_start, cell_end)
            if found is None or found.start < self._copied:
                continue
            if found.replacement is None:
                left.append(found.reason or Reason.SCHEME)
            elif data[found.start : found.end] != found.replacement:
                self._replace(found.start, found.end, found.replacement)
                kinds.append(found.kind)
            else:
                continue
            place = (index, line_start)
        if place is not None:
            self._note(place, kinds, left)
        if not self._copied:
            return data
        self._out.append(memoryview(data)[self._copied :])
        return b"".join(self._out)

    def _replace(self, start: int, end: int, replacement: bytes) -> None:
        self._out.append(memoryview(self._data)[self._copied : start])
        self._out.append(replacement)
        self._copied = end

    def _note(self, place: tuple[int, int], kinds: list[Kind], left: list[Reason]) -> None:
        index, line_start = place
        self._owner.report.note(self._place(index, line_start, bool(left)), kinds, left, changed=bool(kinds))

    def _place(self, index: int, line_start: int, with_row: bool = True) -> Place:
        row = ""
        if with_row:
            first = _ROW_KEY.match(self._data, line_start)
            row = first[1].decode() if first else ""
        return Place(self._table, self._columns[index].name, row)

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
