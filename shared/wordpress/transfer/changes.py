"""Rows that changed on the source while a copy of several answers was made: found by digests, fetched, loaded again.

One answer of `db.stream` is one snapshot; a copy of several is as old as its first answer behind the cursor and as new
as its last at the end. One more reading, of digests only, says which rows are not what was copied. Afterwards no row is
older than the beginning of that reading. What changes during it may be old still; tables without a key stay as copied.

The same makes what an earlier clone of the source got into what the source has now: then rows that were rewritten for
that clone are fetched again too, however they are (`rewritten_too`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from typing import BinaryIO

from shared.wordpress.base import halves, row_identity
from shared.wordpress.connector.client import ConnectorClient
from shared.wordpress.connector.errors import ConnectorFault, ConnectorRefused
from shared.wordpress.connector.reading import row_blocks, rows_by_key
from shared.wordpress.connector.target import TableRead
from shared.wordpress.transfer.database import Loader, RowRewriter, Table
from shared.wordpress.transfer.digests import digester

BUDGET = 10.0
MAX_ROWS = 1_000_000
"""Rows of a table that are other than remembered, or in another place: held in memory (some 250 MB). A table with more
stays as it was copied."""
CHUNK_BYTES = 1 << 20
DIGEST = slice(2, 34)
"""Of a row's line: the MD5 of the row as the source had it."""


@dataclass
class Changes:
    """What was brought over."""

    changed: int = 0
    """Rows that are new or other than copied."""
    gone: int = 0
    """Rows that are on the source no more."""
    left: list[str] = field(default_factory=list)
    """Tables that could not be looked at again."""
    looked_at: set[str] = field(default_factory=set, compare=False)
    """Tables that hold what the source has."""


class CatchUp:
    """Use once, after every table has been loaded and before anything else writes to the clone."""

    def __init__(
        self,
        client: ConnectorClient,
        loader: Loader,
        rewrite: RowRewriter,
        *,
        prefix: str,
        check: Callable[[], None],
        rewritten_too: bool = False,
        leave: Collection[str] = (),
    ) -> None:
        """`loader` is open and has received every table; `check` raises to stop.

        `rewritten_too`: of tables that can not be looked at, those in `leave` among them, nothing is remembered.
        """
        self._client = client
        self._loader = loader
        self._rewrite = rewrite
        self._prefix = prefix
        self._check = check
        self._rewritten_too = rewritten_too
        self._leave = leave
        self._found = Changes()

    def run(self, remembered: Path, now: Path) -> Changes:
        """`remembered`: lines of rows as `RowDigests` wrote them; `now`: where those go that hold afterwards.

        The loader's transaction is left open: whoever calls commits. Raises what the client, the loader and `check`
        raise.
        """
        with remembered.open("rb") as lines, now.open("wb") as out:
            for name, held in by_table(lines):
                table = self._loader.tables.get(name)
                if self._rewritten_too and (table is None or not table.key or name in self._leave):
                    self._found.left.append(name)
                elif table is None or not table.key:
                    out.writelines(held)
                else:
                    out.write(next(held))
                    moved: dict[bytes, bytes] = {}
                    self._table(table, _rows(held, moved, None if self._rewritten_too else out), moved, out)
        return self._found

    def _table(self, table: Table, lines: Iterator[bytes], moved: dict[bytes, bytes], out: BinaryIO) -> None:
        """`moved` fills with keys that the clone has otherwise, while lines are read."""
        names = [column.name for column in table.columns]
        key, columns = row_identity(table.name.removeprefix(self._prefix), table.key, names)
        held = Held(lines)
        changed: dict[bytes, bytes] = {}
        if not self._compare(table_read(table, key, columns), held, changed, out):
            self._found.left.append(table.name)
            if not self._rewritten_too:
                out.writelines(chain(held.lines.values(), changed.values(), lines))
            return
        gone = held.lines
        self._loader.remove(table, key, [moved.get(one, one) for one in (*changed, *gone)])
        digest = digester([names.index(name) for name in key], [names.index(name) for name in columns])

        def blocks() -> Iterator[bytes]:
            for rows in _chunks(rows_by_key(self._client, table_read(table, key, names), changed, BUDGET)):
                self._check()
                loaded = self._rewrite(table, rows)
                out.write(digest(rows, loaded))
                yield loaded

        self._found.changed += self._loader.load(table, blocks())
        self._found.gone += len(gone)
        self._found.looked_at.add(table.name)

    def _compare(self, read: TableRead, held: Held, changed: dict[bytes, bytes], out: BinaryIO) -> bool:
        """Move lines of rows that are as they were to `out`, of others to `changed` (empty for new ones); what stays
        held is gone. False when the table can not be read, or too much of it is other."""
        params = {"tables": [read.params()], "budget": BUDGET, "digest": True}
        seen = held.nothing
        try:
            for _, block in row_blocks(self._client, "db.stream", params):
                self._check()
                seen = True
                for line in block.split(b"\n")[:-1]:
                    key, _, digest = line.rpartition(b"\t")
                    before = held.take(key)
                    if before[DIGEST] == digest and not (self._rewritten_too and _was_rewritten(before)):
                        out.write(before)
                    else:
                        changed[key] = before
                        held.room = MAX_ROWS - len(changed)
            held.rest()
        except (ConnectorFault, ConnectorRefused, TooMany):
            return False  # it was altered
        return seen  # without a row, it may be gone itself


class TooMany(Exception):
    """More rows are other than can be held."""


class Held:
    """Lines of a table's rows, read on no further than a key that is asked for.

    What is remembered and what is read now are in the same order, so few lines are held at a time however long the
    table is; but for options, which are known by their name and copied in the order of their ids.
    """

    def __init__(self, lines: Iterator[bytes]) -> None:
        """`lines` may be shared: those that were not read on stay in it."""
        self._lines = lines
        self.room = MAX_ROWS
        self.lines = {_key(line): line for line in islice(lines, 1)}
        """By key, those that were passed and nobody has asked for."""
        self.nothing = not self.lines

    def take(self, key: bytes) -> bytes:
        """The line of a row; empty when none is remembered. Raises TooMany."""
        while key not in self.lines and (line := next(self._lines, None)) is not None:
            self._hold(line)
        return self.lines.pop(key, b"")

    def rest(self) -> None:
        """Read to the end. Raises TooMany."""
        for line in self._lines:
            self._hold(line)

    def _hold(self, line: bytes) -> None:
        self.lines[_key(line)] = line
        if len(self.lines) > self.room:
            raise TooMany


def by_table(lines: Iterable[bytes]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and lines of each table, the one that names it first."""
    name = ""

    def named(line: bytes) -> str:
        nonlocal name
        if line.startswith(b"T\t"):
            name = json.loads(line[2:])["name"]
        return name

    yield from groupby(lines, named)


def _rows(lines: Iterable[bytes], moved: dict[bytes, bytes], out: BinaryIO | None) -> Iterator[bytes]:
    """Lines of rows; keys that were rewritten go to `moved` and, as they are, to `out`."""
    for line in lines:
        if line.startswith(b"R\t"):
            yield line
        elif line.startswith(b"K\t"):
            theirs, ours = halves(line[2:-1])
            moved[theirs] = ours
            if out is not None:
                out.write(line)


def _was_rewritten(line: bytes) -> bool:
    """Whether a row's line has the MD5 of what the clone got, too."""
    return line[DIGEST.stop : DIGEST.stop + 1] != b"\t"


def _key(line: bytes) -> bytes:
    """Key of a row's line."""
    return line[:-1].split(b"\t", 2)[2]


def table_read(table: Table, key: Sequence[str], columns: Sequence[str]) -> TableRead:
    kinds = {column.name: column.type_class for column in table.columns}
    wanted = tuple({"name": name, "type_class": kinds[name]} for name in columns)
    return TableRead(table.name, wanted, tuple(key), table.where)


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines."""
    held, size = [], 0
    for line in lines:
        held.append(line + b"\n")
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
