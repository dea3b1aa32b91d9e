"""Databases and users of clones: one of each per clone, rights on that database only, the same name for both."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from services.cloner.drivers.database import CONNECT_SECONDS, RIGHTS, connection, making
from shared.cells.names import DATABASES
from shared.wordpress.transfer.ddl import FUNCTIONS, Dialect, quote
from shared.wordpress.transfer.errors import target_errors

COMING, GOING = "_coming", "_going"
"""After the name of a clone's database: what will take its place, what was there before."""
SIDES = (COMING, GOING)
UNKNOWN_FUNCTION = frozenset({1046, 1305})
"""A function that the server has not is looked for in the database, of which none is chosen."""


class CloneDatabases:
    """The MariaDB server that holds the clones."""

    def __init__(self, socket: Path, admin_user: str, admin_password_file: Path) -> None:
        self.socket = socket
        self._admin_user = admin_user
        self._admin_password_file = admin_password_file
        self._asked: tuple[int, int] | None = None
        self._knows: tuple[set[str], set[str], set[str]] = (set(), set(), set())

    def ensure(self, name: str, password: str) -> None:
        """Make database and user, or set the password of the user that is there."""
        with target_errors("making the clone's database"), self.admin() as cursor:
            for statement in making(name, password):
                cursor.execute(statement)

    def drop(self, name: str) -> None:
        """Remove database and user. Connections of the user are ended first, so that nothing can hold the drop up."""
        with target_errors("removing the clone's database"), self.admin() as cursor:
            with contextlib.suppress(pymysql.MySQLError):  # no such user, or none of its connections
                cursor.execute(f"KILL USER {quote(name)}@localhost")
            for database in (name, *(f"{name}{side}" for side in SIDES)):
                cursor.execute(f"DROP DATABASE IF EXISTS {quote(database)}")
            cursor.execute(f"DROP USER IF EXISTS {quote(name)}@localhost")

    def make_side(self, name: str, side: str) -> str:
        """An empty database beside a clone's own, where its user has the same rights, whatever was there before."""
        side = f"{name}{side}"
        own = quote(side.replace("_", "\\_"))  # in a GRANT the underscore of a database name is a wildcard
        with target_errors("making room beside the clone's database"), self.admin() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quote(side)}")
            cursor.execute(f"CREATE DATABASE {quote(side)} CHARACTER SET utf8mb4")
            cursor.execute(f"GRANT {RIGHTS} ON {own}.* TO {quote(name)}@localhost")
        return side

    def drop_sides(self, name: str) -> None:
        """Remove what is beside a clone's database."""
        with target_errors("removing what was beside the clone's database"), self.admin() as cursor:
            for side in SIDES:
                database = f"{name}{side}"
                cursor.execute(f"DROP DATABASE IF EXISTS {quote(database)}")
                with contextlib.suppress(pymysql.MySQLError):  # nothing was granted
                    own = quote(database.replace("_", "\\_"))
                    cursor.execute(f"REVOKE ALL PRIVILEGES ON {own}.* FROM {quote(name)}@localhost")

    def names(self) -> set[str]:
        """Every database and user of ours."""
        with target_errors("listing databases"), self.admin() as cursor:
            pattern = DATABASES.replace("_", "\\_") + "%"
            cursor.execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s", (pattern,))
            found = {row[0] for row in cursor.fetchall()}
            cursor.execute("SELECT user FROM mysql.user WHERE user LIKE %s", (pattern,))
            return found | {row[0] for row in cursor.fetchall()}

    def dialect(self) -> Dialect:
        """Collations, engines and functions of this server, which is asked once each time it was started."""
        try:
            found = self.socket.stat()
            started = (found.st_ino, found.st_mtime_ns)  # a server makes its socket anew
        except OSError:
            started = None
        if started is None or self._asked != started:
            self._knows = self._ask()
            self._asked = started
        return Dialect(*self._knows)

    def _ask(self) -> tuple[set[str], set[str], set[str]]:
        with target_errors("asking the clone's database server"), self.admin() as cursor:
            cursor.execute("SHOW COLLATION")
            collations = {row[0].lower() for row in cursor.fetchall()}
            with contextlib.suppress(pymysql.MySQLError):  # before MariaDB 10.10 there are no others
                cursor.execute(
                    "SELECT full_collation_name FROM information_schema.collation_character_set_applicability"
                )
                collations |= {row[0].lower() for row in cursor.fetchall()}
            cursor.execute("SHOW ENGINES")
            engines = {row[0].lower() for row in cursor.fetchall() if row[1] in {"YES", "DEFAULT"}}
            functions = {name for name in FUNCTIONS if _has(cursor, name)}
        return collations, engines, functions

    def connect(self, name: str, password: str) -> Connection[Any]:
        """A connection with a clone's rights; every value comes and goes as bytes."""
        # PyMySQL would read the system's certificates first, 70 ms each time
        return connection(name, password, unix_socket=str(self.socket), ssl_disabled=True)

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A cursor of the account that may do everything."""
        connection = pymysql.connect(
            unix_socket=str(self.socket),
            ssl_disabled=True,
            user=self._admin_user,
            password=self._admin_password_file.read_text().strip(),
            connect_timeout=CONNECT_SECONDS,
            read_timeout=120,
            autocommit=True,
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


def _has(cursor: Any, function: str) -> bool:
    """Whether the server has a function, which is called with nothing: most refuse that."""
    try:
        cursor.execute(f"SELECT {function}()")
    except pymysql.MySQLError as error:
        return error.args[0] not in UNKNOWN_FUNCTION
    return True


def new_password() -> str:
    """A database password: never typed by a person, only ever in the clone's wp-config.php."""
    return secrets.token_urlsafe(24)
