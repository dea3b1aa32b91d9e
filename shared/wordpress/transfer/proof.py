"""Proof that a clone's tables hold what was sent: rows and a checksum of each table, and which rows differ.

The checksum is the sum of the CRC32 of all rows, each as its values with tabs between them: what a server can compute
over what it stores, and we over what we send. Rows that are stored otherwise (a server changes what it can not hold)
are named by column, and remembered as they are stored: a restore then takes them for untouched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from shared.wordpress.base import halves, row_identity
from shared.wordpress.connector.client import ConnectorClient
from shared.wordpress.connector.errors import ConnectorFault, ConnectorRefused
from shared.wordpress.connector.reading import rows_by_key
from shared.wordpress.rewrite import escape, unescape
from shared.wordpress.transfer.changes import BUDGET, MAX_ROWS, by_table, table_read
from shared.wordpress.transfer.database import Loader, RowRewriter, Table
from shared.wordpress.transfer.ddl import quote
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.fitting import Kept
from shared.wordpress.transfer.sums import stored, stored_sum

FETCH = 500
MOST = 10_000
"""Rows that differ in one table, and are looked at one by one."""


@dataclass
class Proved:
    """What was found."""

    changed: Kept = field(default_factory=Kept)
    """Values that are stored otherwise than sent, by `table.column`."""
    unnamed: dict[str, str] = field(default_factory=dict)
    """Tables that differ in rows nobody could name -> how."""

    @property
    def same(self) -> bool:
        """Whether everything is stored as it was sent."""
        return not self.changed.count and not self.unnamed


class Proof:
    """Use once, after every table has been loaded and committed, and before anything else writes to the clone."""

    def __init__(
        self, client: ConnectorClient, loader: Loader, rewrite: RowRewriter, *, prefix: str, check: Callable[[], None]
    ) -> None:
        """`loader` is open; `check` raises to stop."""
        self._client = client
        self._loader = loader
        self._rewrite = rewrite
        self._prefix = prefix
        self._check = check
        self._found = Proved()

    def run(self, connection: Connection[Any], remembered: Path | None, proved: Path) -> Proved:
        """Compare every table over a connection to the clone.

        `remembered`: lines of rows as `RowDigests` wrote them, None when they were not kept. Where something differs
        they are written to `proved`, with what is stored. Raises what the client, the target and `check` raise.
        """
        differing = self._differing(connection)
        if not differing:
            return self._found
        if remembered is None:
            self._found.unnamed = {name: "rows are stored otherwise than they were sent" for name in differing}
            return self._found
        with remembered.open("rb") as lines, proved.open("wb") as out:
            for name, held in by_table(lines):
                if name in differing:
                    self._table(connection, self._loader.tables[name], held, out)
                else:
                    out.writelines(held)
        return self._found

    def _differing(self, connection: Connection[Any]) -> set[str]:
        found = set()
        with target_errors("proving the copy"), connection.cursor() as cursor:
            for name, (rows, total) in self._loader.sums.items():
                if (table := self._loader.tables.get(name)) is None or name in self._loader.gone:
                    continue
                self._check()
                cursor.execute(stored_sum(table))
                if tuple(map(int, cursor.fetchone() or (0, 0))) != (rows, total):
                    found.add(name)
        return found

    def _table(self, connection: Connection[Any], table: Table, held: Iterable[bytes], out: BinaryIO) -> None:
        names = [column.name for column in table.columns]
        key, columns = row_identity(table.name.removeprefix(self._prefix), table.key, names)
        places, told = [names.index(name) for name in key], [names.index(name) for name in columns]
        lines = iter(held)
        known = list(islice(lines, MAX_ROWS + 1))
        more = next(lines, None)
        if more is not None or not key:
            self._found.unnamed[table.name] = self._told(table)
            out.writelines(known)
            out.writelines([more] if more is not None else [])
            out.writelines(lines)
            return
        sent: dict[bytes, list[int]] = {}
        for number, line in enumerate(known):
            if line.startswith(b"R\t"):
                sent.setdefault(line.split(b"\t", 2)[1][-32:], []).append(number)
        pairs = [halves(line[2:-1]) for line in known if line.startswith(b"K\t")]
        moved = {ours: theirs for theirs, ours in pairs}
        odd: dict[bytes, bytes] = {}
        for row in self._rows(connection, table):
            cells = row.split(b"\t")
            if same := sent.get(_digest(cells, told)):
                same.pop()
            elif len(odd) < MOST:
                name = b"\t".join([cells[i] for i in places])
                odd[moved.get(name, name)] = row
        missed = {known[n][:-1].split(b"\t", 2)[2]: n for numbers in sent.values() for n in numbers}
        self._name(table, {name: odd[name] for name in missed if name in odd}, missed, known, told)
        out.writelines(known)

    def _name(
        self, table: Table, odd: Mapping[bytes, bytes], missed: Mapping[bytes, int], known: list[bytes], told: list[int]
    ) -> None:
        """Which values differ, as the source has them now."""
        if len(odd) < len(missed):
            self._found.unnamed[table.name] = self._told(table)
        names = [column.name for column in table.columns]
        key, _ = row_identity(table.name.removeprefix(self._prefix), table.key, names)
        places = [names.index(name) for name in key]
        keys = list(odd)
        for start in range(0, len(keys), FETCH):
            self._check()
            try:
                wanted = rows_by_key(self._client, table_read(table, key, names), keys[start : start + FETCH], BUDGET)
                rows = b"".join(line + b"\n" for line in wanted)
            except (ConnectorFault, ConnectorRefused):
                self._found.unnamed[table.name] = self._told(table)
                return
            for was, line in zip(rows.split(b"\n")[:-1], self._rewrite(table, rows).split(b"\n")[:-1], strict=True):
                cells = was.split(b"\t")
                name = b"\t".join([cells[i] for i in places])
                if name in odd:
                    self._compare(table, name, line.split(b"\t"), odd[name].split(b"\t"))
                    source = known[missed[name]].split(b"\t", 2)[1][:32]
                    known[missed[name]] = b"R\t%b%b\t%b\n" % (source, _digest(odd[name].split(b"\t"), told), name)

    def _compare(self, table: Table, key: bytes, sent: Sequence[bytes], stored: Sequence[bytes]) -> None:
        for column, one, other in zip(table.columns, sent, stored, strict=True):
            if one != other and not (column.type_class == "double" and _same_number(one, other)):
                shown = unescape(key).decode("utf-8", "backslashreplace").replace("\t", ", ")
                self._found.changed.add(f"{table.name}.{column.name}", shown[:60])

    def _rows(self, connection: Connection[Any], table: Table) -> Iterator[bytes]:
        """All rows as they travel."""
        cells = ", ".join(f"CAST({stored(column)} AS BINARY)" for column in table.columns)
        with target_errors("proving the copy"), connection.cursor(SSCursor) as cursor:
            cursor.execute(f"SELECT {cells} FROM {quote(table.name)}")
            while rows := cursor.fetchmany(FETCH):
                self._check()
                for row in rows:
                    yield b"\t".join([b"\\N" if cell is None else escape(cell) for cell in row])

    def _told(self, table: Table) -> str:
        """What the server said about a table whose rows can not be told apart."""
        warned = [name for name in self._loader.warned if name.startswith(f"{table.name}.")]
        return f"values of {', '.join(sorted(warned))}" if warned else "rows are stored otherwise than they were sent"


def _digest(cells: Sequence[bytes], told: Sequence[int]) -> bytes:
    return hashlib.md5(b"\t".join([cells[i] for i in told]), usedforsecurity=False).hexdigest().encode()


def _same_number(one: bytes, other: bytes) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False
