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

from shared.cells.names import DATABASES
from shared.wordpress.transfer.ddl import Dialect, quote
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.load import CLIENT_FLAG

MAX_PACKET = 256 * 1024 * 1024
RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, LOCK TABLES, CREATE TEMPORARY TABLES, "
    "CREATE VIEW, SHOW VIEW, TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE"
)
"""Of a clone in its own database. No EVENT: nothing runs by itself; nothing global: no files, no other databases."""
CONNECTIONS = 30
"""Of one clone at a time, ours while it is made included: no clone takes all the server has."""
SITE_SECONDS = 120
"""A statement of a site's PHP may take."""
LIMITS = f"MAX_USER_CONNECTIONS {CONNECTIONS} MAX_STATEMENT_TIME {SITE_SECONDS}"
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 600


class CloneDatabases:
    """The MariaDB server that holds the clones."""

    def __init__(self, socket: Path, admin_user: str, admin_password_file: Path) -> None:
        self.socket = socket
        self._admin_user = admin_user
        self._admin_password_file = admin_password_file

    def ensure(self, name: str, password: str) -> None:
        """Make database and user, or set the password of the user that is there."""
        with target_errors("making the clone's database"), self._admin() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {quote(name)} CHARACTER SET utf8mb4")
            cursor.execute(f"CREATE USER IF NOT EXISTS {quote(name)}@localhost IDENTIFIED BY %s", (password,))
            cursor.execute(f"ALTER USER {quote(name)}@localhost IDENTIFIED BY %s", (password,))
            cursor.execute(f"ALTER USER {quote(name)}@localhost WITH {LIMITS}")
            # In a GRANT the underscore of a database name is a wildcard.
            own = f"{quote(name.replace('_', chr(92) + '_'))}.*"
            cursor.execute(f"GRANT {RIGHTS} ON {own} TO {quote(name)}@localhost")

    def drop(self, name: str) -> None:
        """Remove database and user. Connections of the user are ended first, so that nothing can hold the drop up."""
        with target_errors("removing the clone's database"), self._admin() as cursor:
            with contextlib.suppress(pymysql.MySQLError):  # no such user, or none of its connections
                cursor.execute(f"KILL USER {quote(name)}@localhost")
            cursor.execute(f"DROP DATABASE IF EXISTS {quote(name)}")
            cursor.execute(f"DROP USER IF EXISTS {quote(name)}@localhost")

    def names(self) -> set[str]:
        """Every database and user of ours."""
        with target_errors("listing databases"), self._admin() as cursor:
            pattern = DATABASES.replace("_", "\\_") + "%"
            cursor.execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE %s", (pattern,))
            found = {row[0] for row in cursor.fetchall()}
            cursor.execute("SELECT user FROM mysql.user WHERE user LIKE %s", (pattern,))
            return found | {row[0] for row in cursor.fetchall()}

    def dialect(self) -> Dialect:
        """Collations and engines of this server."""
        with target_errors("asking the clone's database server"), self._admin() as cursor:
            cursor.execute("SHOW COLLATION")
            collations = {row[0].lower() for row in cursor.fetchall()}
            with contextlib.suppress(pymysql.MySQLError):  # before MariaDB 10.10 there are no others
                cursor.execute(
                    "SELECT full_collation_name FROM information_schema.collation_character_set_applicability"
                )
                collations |= {row[0].lower() for row in cursor.fetchall()}
            cursor.execute("SHOW ENGINES")
            engines = {row[0].lower() for row in cursor.fetchall() if row[1] in {"YES", "DEFAULT"}}
        return Dialect(collations, engines)

    def connect(self, name: str, password: str) -> Connection[Any]:
        """A connection with a clone's rights; every value comes and goes as bytes."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            ssl_disabled=True,  # PyMySQL would read the system's certificates first, 70 ms each time
            user=name,
            password=password,
            database=name,
            charset="utf8mb4",  # for our own statements; PyMySQL has no codec named binary
            init_command="SET NAMES binary, max_statement_time=0",
            use_unicode=False,
            client_flag=CLIENT_FLAG,  # rows come through our own pipe; PyMySQL itself never opens a file
            local_infile=False,
            max_allowed_packet=MAX_PACKET,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=STATEMENT_SECONDS,
            write_timeout=STATEMENT_SECONDS,
        )

    @contextmanager
    def _admin(self) -> Iterator[Any]:
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


def new_password() -> str:
    """A database password: never typed by a person, only ever in the clone's wp-config.php."""
    return secrets.token_urlsafe(24)
