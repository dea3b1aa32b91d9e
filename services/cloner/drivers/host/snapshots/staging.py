"""Tables out of a snapshot into a database beside a clone's own, and the exchange of the two."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pymysql
from pymysql.connections import Connection

from services.cloner.drivers.host.mariadb import COMING, GOING, CloneDatabases
from services.cloner.drivers.host.snapshots import catalogue
from services.cloner.drivers.host.snapshots.contents import Copier
from services.cloner.drivers.host.snapshots.errors import SnapshotDamaged, SnapshotRefused
from services.cloner.drivers.host.snapshots.manifest import Definition, KeptTable, Manifest
from services.cloner.drivers.host.snapshots.renaming import rename_rows
from services.cloner.drivers.host.snapshots.tables import LOCK_SECONDS, TABLES, as_table
from services.cloner.drivers.host.snapshots.trees import stored_file
from shared.wordpress.transfer.database import SESSION
from shared.wordpress.transfer.ddl import quote
from shared.wordpress.transfer.errors import LOST_CODES, target_errors
from shared.wordpress.transfer.load import PipeLoad
from shared.wordpress.transfer.sums import stored_sum

CHUNK = 1 << 20


class Tables:
    """The tables of one clone. `connect` opens its own database with its own rights."""

    def __init__(self, databases: CloneDatabases, database: str, connect: Callable[[], Connection[Any]]) -> None:
        self._databases = databases
        self._database = database
        self._connect = connect
        self.coming, self.going = database + COMING, database + GOING

    # --- staging

    def stage(
        self,
        folder: Path,
        manifest: Manifest,
        copier: Copier,
        check: Callable[[], None],
        ids: tuple[str, str] | None = None,
    ) -> None:
        """Every table into the database that will take the clone's place, anew. `ids`: of the clone it was taken of,
        and what takes its place.

        Raises SnapshotDamaged, SnapshotRefused, the errors of the target, and what `check` raises.
        """
        with target_errors("preparing the clone's tables"):
            self._databases.make_side(self._database, COMING)
            connection = self._connect()
            try:
                with connection.cursor() as cursor:
                    for statement in (*SESSION, "SET SESSION innodb_strict_mode=0", f"USE {quote(self.coming)}"):
                        cursor.execute(statement)
                    for table in manifest.tables:
                        # with the clone's rights: a definition is a site's words
                        cursor.execute(table.create.encode())
                self._spaces([one for one in manifest.tables if one.way == "space"], folder, copier, check)
                for table in manifest.tables:
                    check()
                    if table.way == "rows":
                        _load(connection, table, folder)
                    elif table.way == "sequence":
                        with connection.cursor() as cursor:
                            following, rounds = table.value
                            cursor.execute(f"SELECT SETVAL({quote(table.name)}, {following}, 0, {rounds})")
            finally:
                connection.close()
            if ids is not None:
                with self._databases.admin() as cursor:
                    for statement in (*SESSION, "SET NAMES utf8mb4"):
                        cursor.execute(statement)
                    rename_rows(cursor, self.coming, manifest.tables, *ids)

    def _spaces(self, tables: list[KeptTable], folder: Path, copier: Copier, check: Callable[[], None]) -> None:
        if not tables:
            return
        with self._databases.admin() as cursor:
            cursor.execute("SET SESSION foreign_key_checks=0")
            cursor.execute("SELECT @@datadir")
            data = Path(cursor.fetchone()[0]) / self.coming
            if not os.access(data, os.W_OK | os.X_OK):
                raise SnapshotRefused(
                    "The state holds tablespaces, and the data folder of MariaDB is not on this machine any more."
                )
            facts = data.stat()
            for table in tables:
                check()
                name = f"{quote(self.coming)}.{quote(table.name)}"
                cursor.execute(f"ALTER TABLE {name} DISCARD TABLESPACE")
                for file, expected in table.files.items():
                    with stored_file(folder / TABLES / file, "table") as source:
                        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                        made = os.open(data / file, flags, 0o660)
                        try:
                            if copier.copy(source, made) != expected:
                                raise SnapshotDamaged("A stored table is not what it was when it was stored.")
                            os.fchown(made, facts.st_uid, facts.st_gid)
                        finally:
                            os.close(made)
                cursor.execute(f"ALTER TABLE {name} IMPORT TABLESPACE")
                (data / f"{table.name}.cfg").unlink(missing_ok=True)

    # --- the exchange: everything here may be done again from its start

    def exchange(self, manifest: Manifest) -> list[str]:
        """The staged tables become the clone's; what it had is in the other database. Nobody else uses either.

        What of its views, triggers and routines could not be made, in words: one may stand on what was never there.
        """
        with target_errors("exchanging the clone's tables"):
            with self._databases.admin() as cursor:
                cursor.execute("SET SESSION foreign_key_checks=0")
                cursor.execute(f"SET SESSION lock_wait_timeout={LOCK_SECONDS}")
                self._exchange(cursor, manifest)
                cursor.execute(
                    f"ALTER DATABASE {quote(self._database)} CHARACTER SET {manifest.charset}"
                    f" COLLATE {manifest.collation}"
                )
            connection = self._connect()
            try:
                return _define(connection, manifest.definitions)
            finally:
                connection.close()

    def _exchange(self, cursor: Any, manifest: Manifest) -> None:
        staged = [table.name for table in catalogue.found(cursor, self.coming)]
        if manifest.tables and not staged:
            return  # done before
        for kind, name in catalogue.defined(cursor, self._database):
            cursor.execute(f"DROP {kind} IF EXISTS {quote(self._database)}.{quote(name)}")
        cursor.execute(f"DROP DATABASE IF EXISTS {quote(self.going)}")
        cursor.execute(f"CREATE DATABASE {quote(self.going)}")
        present = [table.name for table in catalogue.found(cursor, self._database)]
        moves = [f"{self._in(self._database, one)} TO {self._in(self.going, one)}" for one in present]
        moves += [f"{self._in(self.coming, one)} TO {self._in(self._database, one)}" for one in staged]
        if moves:
            cursor.execute(f"RENAME TABLE {', '.join(moves)}")

    def forget(self) -> None:
        """Remove what is beside the clone's database."""
        with target_errors("removing what was beside the clone's tables"):
            self._databases.drop_sides(self._database)

    @staticmethod
    def _in(database: str, table: str) -> str:
        return f"{quote(database)}.{quote(table)}"


def _define(connection: Connection[Any], definitions: list[Definition]) -> list[str]:
    """Views may stand on one another and on routines: what fails is tried again as long as something succeeds."""
    waiting = list(definitions)
    with connection.cursor() as cursor:
        cursor.execute("SET NAMES utf8mb4")
        while waiting:
            failed: dict[str, Definition] = {}
            for one in waiting:
                try:
                    cursor.execute("SET SESSION sql_mode=%s", (one.sql_mode,))
                    cursor.execute(f"DROP {one.kind} IF EXISTS {quote(one.name)}")
                    cursor.execute(one.create.encode())
                except pymysql.MySQLError as error:
                    if error.args[0] in LOST_CODES:
                        raise
                    failed[f"{one.kind.lower()} {one.name}: {error.args[-1]}"] = one
            if len(failed) == len(waiting):
                return list(failed)
            waiting = list(failed.values())
    return []


def _load(connection: Connection[Any], table: KeptTable, folder: Path) -> None:
    described = as_table(table.name, table.create, table.columns)
    (file, expected), size, crc = next(iter(table.files.items())), 0, 0
    load = PipeLoad(connection, table.name, described.load_statement())
    try:
        with stored_file(folder / TABLES / file, "table") as source, os.fdopen(source, "rb", closefd=False) as rows:
            for lines in iter(lambda: rows.readlines(CHUNK), []):
                data = b"".join(lines)
                size, crc = size + len(data), crc32(data, crc)
                load.write(data, len(lines))
    except BaseException:
        load.abort()
        raise
    load.finish()
    with connection.cursor() as cursor:
        cursor.execute(stored_sum(described))
        held = tuple(map(int, cursor.fetchone() or (0, 0)))
    connection.commit()
    if (size, crc) != (expected.size, expected.crc) or held != (table.rows, table.sum):
        raise SnapshotDamaged("Stored rows are not what they were when they were stored.")
