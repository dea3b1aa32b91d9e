"""Tables into a snapshot: tablespaces where that is possible, rows otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from pymysql.connections import Connection
from pymysql.cursors import SSCursor

from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.drivers.host.snapshots import catalogue
from services.cloner.drivers.host.snapshots.catalogue import Found
from services.cloner.drivers.host.snapshots.contents import Copier
from services.cloner.drivers.host.snapshots.errors import SnapshotRefused
from services.cloner.drivers.host.snapshots.manifest import KeptTable, Manifest, Stored
from services.cloner.drivers.host.snapshots.trees import READ, private
from shared.wordpress.rewrite import escape
from shared.wordpress.transfer.database import SESSION, Column, Table
from shared.wordpress.transfer.ddl import quote
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.sums import stored, stored_sum

TABLES = "tables"
FETCH = 500
LOCK_SECONDS = 30
"""So long is waited for a transaction of the clone that holds one of its tables."""
SPACE_FILES = ("ibd", "cfg")


def capture(
    databases: CloneDatabases,
    database: str,
    connect: Callable[[], Connection[Any]],
    folder: Path,
    manifest: Manifest,
    copier: Copier,
    check: Callable[[], None],
) -> int:
    """Tables and definitions of a clone's database: files into `folder`, what they are into `manifest`. `connect` opens
    the database with the clone's rights. Bytes of the files.

    Raises SnapshotRefused, OSError, the errors of the target, and what `check` raises.
    """
    (folder / TABLES).mkdir(mode=0o700)
    with target_errors("storing the clone's tables"), databases.admin() as cursor:
        for statement in SESSION:
            cursor.execute(statement)
        cursor.execute("SET NAMES utf8mb4")  # of names; no row is read here
        cursor.execute(f"SET SESSION lock_wait_timeout={LOCK_SECONDS}")
        cursor.execute(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata"
            " WHERE schema_name=%s",
            (database,),
        )
        row = cursor.fetchone()
        if row is None:
            raise SnapshotRefused("The clone has no database.")
        manifest.charset, manifest.collation = row
        tables = catalogue.found(cursor, database)
        shown = {table.name: catalogue.create_of(cursor, database, table.name) for table in tables}
        columns = {table.name: catalogue.columns_of(cursor, database, table.name) for table in tables}
        manifest.definitions = catalogue.definitions(cursor, database)
        spaces = [table for table in tables if not table.why_rows]
        data = _data_folder(cursor, database) if spaces else None
        if spaces and data is None:
            manifest.notes.append("MariaDB's data folder is not on this machine: rows are copied, which takes longer.")
            spaces = []
        if spaces:
            names = ", ".join(f"{quote(database)}.{quote(table.name)}" for table in spaces)
            cursor.execute(f"FLUSH TABLES {names} FOR EXPORT")
        try:
            for table in spaces:
                check()
                assert data is not None
                manifest.tables.append(_space(data, table, shown[table.name], folder, copier))
            for number, table in enumerate(one for one in tables if one not in spaces):
                if table.sequence:
                    manifest.tables.append(_sequence(connect, table.name, shown[table.name]))
                    continue
                described = as_table(table.name, shown[table.name], columns[table.name])
                path = folder / TABLES / f"{number}.rows"
                manifest.tables.append(_rows(connect, described, path, check))
        finally:
            cursor.execute("UNLOCK TABLES")
    return sum(one.size for table in manifest.tables for one in table.files.values())


def _data_folder(cursor: Any, database: str) -> Path | None:
    """Where the server keeps the database's files, if that is here and ours to read."""
    cursor.execute("SELECT @@datadir")
    found = Path(cursor.fetchone()[0]) / database
    return found if os.access(found, os.R_OK | os.W_OK | os.X_OK) else None


def _space(data: Path, table: Found, create: str, folder: Path, copier: Copier) -> KeptTable:
    files = {}
    for ending in SPACE_FILES:
        name = f"{table.name}.{ending}"
        source = os.open(data / name, READ)
        try:
            made = os.open(folder / TABLES / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                files[name] = copier.copy(source, made)
            finally:
                os.close(made)
        finally:
            os.close(source)
    return KeptTable(table.name, create, "space", files)


def _rows(connect: Callable[[], Connection[Any]], table: Table, path: Path, check: Callable[[], None]) -> KeptTable:
    size = crc = 0
    connection = connect()
    try:
        with connection.cursor() as cursor:
            for statement in (*SESSION, "START TRANSACTION WITH CONSISTENT SNAPSHOT"):
                cursor.execute(statement)
        with open(path, "wb", opener=private) as out, connection.cursor(SSCursor) as rows:
            cells = ", ".join(f"CAST({stored(column)} AS BINARY)" for column in table.columns)
            rows.execute(f"SELECT {cells} FROM {quote(table.name)}")
            while some := rows.fetchmany(FETCH):
                check()
                for row in some:
                    line = b"\t".join([b"\\N" if cell is None else escape(cell) for cell in row]) + b"\n"
                    size, crc = size + len(line), crc32(line, crc)
                    out.write(line)
        with connection.cursor() as cursor:
            cursor.execute(stored_sum(table))
            count, total = map(int, cursor.fetchone() or (0, 0))
    finally:
        connection.close()
    columns = [(column.name, column.type_class) for column in table.columns]
    files = {path.name: Stored(size, crc)}
    return KeptTable(table.name, table.create, "rows", files, columns=columns, rows=count, sum=total)


def _sequence(connect: Callable[[], Connection[Any]], name: str, create: str) -> KeptTable:
    connection = connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT next_not_cached_value, cycle_count FROM {quote(name)}")
            value = [int(number) for number in cursor.fetchone() or (1, 0)]
    finally:
        connection.close()
    return KeptTable(name, create, "sequence", value=value)


def as_table(name: str, create: str, columns: Sequence[tuple[str, str]]) -> Table:
    """A table as it is loaded."""
    told = tuple(Column(column, kind, rewrite=False) for column, kind in columns)
    return Table(name, "", create, told, key=())
