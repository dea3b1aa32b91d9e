"""Receiving rows: frames of the connector's `db.stream` are rewritten and loaded with LOAD DATA.

Each transaction holds the rows and the cursor behind them (`CURSOR_TABLE`), so whatever dies, the next attempt goes on
exactly there: no row is lost, none is loaded twice. The rows of tables that can not roll back (MyISAM, Aria) are
loaded again from the table's start.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zlib import crc32

import pymysql
from pymysql.connections import Connection

from shared.wordpress.connector.protocol import Frame
from shared.wordpress.rewrite import unescape
from shared.wordpress.transfer.ddl import COUNT, parametrised, quote, transactional
from shared.wordpress.transfer.errors import TargetDatabaseDown, TargetRefused, target_errors
from shared.wordpress.transfer.fitting import Limit, column_limit
from shared.wordpress.transfer.load import PIPE_NAME, WARNINGS, PipeLoad, column_of
from shared.wordpress.transfer.sums import stored_sum

CURSOR_TABLE = "_siteferry_cursor"
COMMIT_BYTES = 16 * 1024 * 1024
"""Rows loaded before a commit; also the most that is loaded twice after a crash."""
KEYS_AT_ONCE = 500
"""Rows removed by one statement."""

SESSION = (
    "SET NAMES binary",
    "SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'",
    f"SET SESSION max_error_count={WARNINGS}",
    "SET SESSION time_zone='+00:00'",  # TIMESTAMP values travel in UTC
    "SET SESSION foreign_key_checks=0",
    "SET SESSION unique_checks=0",
    "SET SESSION check_constraint_checks=0",  # rows may be older than a check
    "SET SESSION innodb_lock_wait_timeout=20",
)


@dataclass(frozen=True)
class Column:
    """A column as it is loaded."""

    name: str
    type_class: str
    """How the connector sends it: int, decimal, double, date, bit, json, geometry, blob, text, cast (as text, for types
    we do not know)."""
    rewrite: bool
    charset: str | None = None
    type: str = ""
    """The type as the server writes it, like `varchar(200)`; empty: not known."""

    @property
    def limit(self) -> Limit | None:
        """How much it holds."""
        return column_limit(self.type, self.charset)


@dataclass(frozen=True)
class Table:
    """A table as it is loaded; `create` is the source's definition, already fit for the target."""

    name: str
    engine: str
    create: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    where: tuple[dict[str, Any], ...] = ()
    with_rows: bool = True
    """False: only the structure is made."""
    unique: tuple[tuple[tuple[str, int | None], ...], ...] = ()
    """Unique keys with values that may be rewritten: two addresses that become one would be there twice."""
    uncounted: bool = False
    """Made so that the server takes no statistics of it before it is full."""
    simpler: tuple[str, ...] = ()
    """Definitions with the same columns and less around them, for a server that refuses `create`."""
    first_id: int | None = None
    """Where new rows begin; None: where they do on the source."""

    def load_statement(self) -> str:
        """LOAD DATA for this table. BIT columns arrive as numbers, columns of types we do not know as text; both go
        through a variable."""
        fields, assign = [], []
        for index, column in enumerate(self.columns):
            if column.type_class == "bit":
                fields.append(f"@b{index}")
                assign.append(f"{quote(column.name)}=CAST(@b{index} AS UNSIGNED)")
            elif column.type_class == "cast":
                fields.append(f"@b{index}")
                assign.append(f"{quote(column.name)}=CONVERT(@b{index} USING utf8mb4)")
            else:
                fields.append(quote(column.name))
        tail = f" SET {', '.join(assign)}" if assign else ""
        return (
            f"LOAD DATA LOCAL INFILE '{PIPE_NAME}' INTO TABLE {quote(self.name)} CHARACTER SET binary"
            f" ({', '.join(fields)}){tail}"
        )


class RowRewriter(Protocol):
    """What turns source rows into clone rows."""

    def __call__(self, table: Table, rows: bytes) -> bytes:
        """Whole rows in, whole rows out."""


class Loader:
    """Loads tables into one database over one connection. Not for concurrent use."""

    def __init__(
        self,
        connect: Callable[[], Connection[Any]],
        tables: Sequence[Table],
        rewrite: RowRewriter,
        facts: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`facts` gives what is stored beside every committed position, JSON-able; `open` returns it again."""
        self._connect = connect
        self.tables = {table.name: table for table in tables}
        self._rewrite = rewrite
        self._facts = facts
        self._connection: Connection[Any] | None = None
        self._load: PipeLoad | None = None
        self._uncommitted = 0
        self._partial: list[bytes] = []
        self.careful = False
        """Whether the server looks at unique keys while it loads: slower, but it says what is there twice."""
        self.rows = 0
        self.simplified: dict[str, str] = {}
        """Tables that were made the simpler way -> why."""
        self.warned: Counter[str] = Counter()
        """Warnings of the server while it took rows, by `table.column`."""
        self.sums: dict[str, list[int]] = {}
        """Rows and checksum of what was sent so far, for each table."""
        self.gone: list[str] = []
        """Tables that had vanished from the source when their turn came."""

    def open(self) -> dict[str, Any] | None:
        """Connect, make the cursor table, and return where an earlier attempt ended (None at the start).

        Raises TargetDatabaseDown, TargetRefused.
        """
        with target_errors("preparing the database"):
            self._connection = self._connect()
            for statement in SESSION:
                self._execute(statement)
            if self.careful:
                self._execute("SET SESSION unique_checks=1")
            self._execute(
                f"CREATE TABLE IF NOT EXISTS {CURSOR_TABLE} (id INT PRIMARY KEY, position LONGTEXT) ENGINE=InnoDB"
            )
            with self._connection.cursor() as cursor:
                cursor.execute(f"SELECT position FROM {CURSOR_TABLE} WHERE id=1")
                row = cursor.fetchone()
        position: dict[str, Any] | None = json.loads(row[0]) if row else None
        self.rows = int(position["rows"]) if position else 0
        self.sums = position.get("sums", {}) if position else {}
        return position

    def create(self, table: Table) -> None:
        """Make a table, empty, whatever was there before; the simpler way where the server refuses it as it is."""
        with target_errors(f"making table {table.name}"):
            self._execute(f"DROP TABLE IF EXISTS {quote(table.name)}")
        refusal: TargetRefused | None = None
        for number, create in enumerate((table.create, *table.simpler)):
            try:
                with target_errors(f"making table {table.name}"):
                    self._execute(create)
            except TargetRefused as error:
                refusal = refusal or error
                continue
            if number and refusal is not None:
                self.simplified[table.name] = refusal.message
            return
        if refusal is not None:
            raise refusal

    def receive(self, frames: Iterable[Frame], *, on_rows: Callable[[], None]) -> dict[str, Any]:
        """Load one response; returns its end statement. `on_rows` reports progress and raises to stop.

        Raises TargetDatabaseDown, TargetRefused, TargetDiskFull, IncompleteLoad, and whatever the stream raises; what
        was not committed by then is rolled back.
        """
        end: dict[str, Any] = {}
        try:
            for frame in frames:
                if frame.type == "R":
                    self._rows(frame)
                    on_rows()
                elif frame.type == "T":
                    self._finish_load()
                    told = frame.json()
                    self._begin_table(self.tables[told["table"]], resumed=bool(told.get("resumed")))
                elif frame.type == "K":
                    self._cursor(frame.json())
                elif frame.type == "W":
                    self.gone.append(frame.json()["table"])
                elif frame.type == "E":
                    end = frame.json()
            if end:
                self._finish_load()
                self.commit_position(end.get("cursor"), done=bool(end.get("done")))
        except BaseException:
            self._abort()
            raise
        return end

    def count(self) -> None:
        """After everything is loaded and committed: the server takes its statistics, and tables are as on the site."""
        for table in self.tables.values():
            if table.uncounted:
                self.execute(f"ALTER TABLE {quote(table.name)} {COUNT}", f"counting table {table.name}")

    def made_otherwise(self) -> list[str]:
        """Columns that the server makes by itself, of longer values now, and can not hold: only its warnings tell."""
        sent = {f"{table.name}.{column.name}" for table in self.tables.values() for column in table.columns}
        made = sorted((name, count) for name, count in self.warned.items() if name not in sent and name[-2:] != ".?")
        return [f"{name}: {count} {'row' if count == 1 else 'rows'}" for name, count in made]

    def forget_cursor(self) -> None:
        """Remove the cursor table; the database then holds the site and nothing of ours."""
        with target_errors("tidying the database"):
            self._execute(f"DROP TABLE IF EXISTS {CURSOR_TABLE}")

    def execute(self, statement: str, what: str) -> None:
        """Run one statement, with typed errors."""
        with target_errors(what):
            self._execute(statement)

    def load(self, table: Table, blocks: Iterable[bytes]) -> int:
        """Load blocks of whole rows that are not there yet, while they are made; how many rows. Nothing is committed.
        Whatever makes them must not use this loader. Raises as `receive`, and what they raise: then nothing stays."""
        before = self.rows
        try:
            for rows in blocks:
                self._write(table, rows)
            self._finish_load()
        except BaseException:
            self._abort()
            raise
        return self.rows - before

    def _write(self, table: Table, rows: bytes) -> None:
        count = rows.count(b"\n")  # a newline inside a value arrives as backslash and the letter n
        if self._load is None:
            self._load = self._begin_load(table)
        self._load.write(rows, count)
        self._sum(table, count, rows_sum(rows))
        self.rows += count

    def remove(self, table: Table, key: Sequence[str], keys: Sequence[bytes]) -> None:
        """Remove rows by the cells of `key`, as they travel. Nothing is committed. Raises as `receive`."""
        numbers = {column.name for column in table.columns if column.type_class in ("int", "bit")}
        row = f"({', '.join(['%s'] * len(key))})"
        columns = ", ".join(parametrised(name) for name in key)
        with target_errors(f"removing rows of table {table.name}"), self._live().cursor() as cursor:
            for start in range(0, len(keys), KEYS_AT_ONCE):
                batch = [
                    int(cell) if name in numbers else unescape(cell)
                    for one in keys[start : start + KEYS_AT_ONCE]
                    for name, cell in zip(key, one.split(b"\t"), strict=True)
                ]
                among = f"WHERE ({columns}) IN ({', '.join([row] * (len(batch) // len(key)))})"
                cursor.execute(f"{stored_sum(table).replace('%', '%%')} {among}", batch)
                count, total = map(int, cursor.fetchone() or (0, 0))
                self._sum(table, -count, -total)
                cursor.execute(f"DELETE FROM {parametrised(table.name)} {among}", batch)
                self.rows -= cursor.rowcount

    def _sum(self, table: Table, rows: int, total: int) -> None:
        sums = self.sums.setdefault(table.name, [0, 0])
        sums[0], sums[1] = sums[0] + rows, sums[1] + total

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back by the server."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                self._connection.close()
            self._connection = None

    def _begin_table(self, table: Table, *, resumed: bool) -> None:
        self._table = table
        if not resumed:
            self.sums[table.name] = [0, 0]

    def _rows(self, frame: Frame) -> None:
        self._partial.append(bytes(frame.payload))
        if frame.continues:
            return
        rows = self._partial[0] if len(self._partial) == 1 else b"".join(self._partial)
        self._partial = []
        self._write(self._table, self._rewrite(self._table, rows))
        self._uncommitted += len(rows)

    def _cursor(self, cursor: dict[str, Any]) -> None:
        if self._uncommitted >= COMMIT_BYTES:
            self._finish_load()
            self.commit_position(cursor)

    def _finish_load(self) -> None:
        if self._load is not None:
            load, self._load = self._load, None
            self._end_load(load)

    def _begin_load(self, table: Table) -> PipeLoad:
        return PipeLoad(self._live(), table.name, table.load_statement())

    def _end_load(self, load: PipeLoad) -> None:
        load.finish()
        for text, count in load.warnings.items():
            self.warned[f"{load.table}.{column_of(text) or '?'}"] += count

    def commit_position(self, cursor: dict[str, Any] | None, *, done: bool = False) -> None:
        """Commit the rows so far together with the cursor behind them."""
        position = json.dumps(
            {"cursor": cursor, "rows": self.rows, "done": done, "facts": self._facts(), "sums": self.sums}
        )
        with target_errors("saving the position"), self._live().cursor() as statement:
            statement.execute(f"REPLACE INTO {CURSOR_TABLE} VALUES (1, %s)", (position,))
            self._live().commit()
        self._uncommitted = 0

    def _abort(self) -> None:
        load, self._load, self._partial = self._load, None, []
        if load is not None:
            load.abort()
        self.close()

    def _live(self) -> Connection[Any]:
        if self._connection is None:
            raise TargetDatabaseDown
        return self._connection

    def _execute(self, statement: str) -> None:
        with self._live().cursor() as cursor:
            cursor.execute(statement)


def rows_sum(rows: bytes) -> int:
    """The checksum of whole rows as they travel: the sum of the CRC32 of each, as its values with tabs between them.
    NULL counts as the letter N."""
    if b"\\" in rows and b"\xfe" not in rows:
        # No byte FE in it (UTF-8 has none), so that byte can end the rows while values get their newlines back.
        lines = unescape(rows.replace(b"\n", b"\xfe")).split(b"\xfe")
    else:
        lines = [unescape(line) for line in rows.split(b"\n")]
    lines.pop()
    return sum(map(crc32, lines))


def restart_point(
    tables: Sequence[Table], position: dict[str, Any] | None
) -> tuple[Sequence[Table], dict[str, Any] | None]:
    """The tables still to load and the cursor to begin with, given the position an earlier attempt committed.

    A table whose engine can not roll back is loaded again from its start; so is one whose rewritten keys must not meet,
    for which of them came before is not remembered.
    """
    if position is None:
        return tables, None
    if position["done"]:
        return [], None
    cursor = position["cursor"]
    names = [table.name for table in tables]
    index = names.index(cursor["table"]) if cursor and cursor.get("table") in names else 0
    if cursor and cursor.get("table_done"):
        return tables[index + 1 :], None
    remaining = tables[index:]
    if remaining and (remaining[0].unique or not transactional(remaining[0].engine)):
        return remaining, None
    return remaining, cursor
