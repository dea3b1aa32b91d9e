"""A clone's database and its user, wherever the server is."""

from __future__ import annotations

from typing import Any

import pymysql
from pymysql.connections import Connection

from shared.wordpress.transfer.ddl import quote
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


def making(name: str, password: str, *, network: bool = False) -> list[str]:
    """Statements that make database and user, or set the password of the user that is there. `password` has no sign
    that a string of SQL must mark. `network`: the user may come by TLS too, from anywhere."""
    # In a GRANT the underscore of a database name is a wildcard.
    own = f"{quote(name.replace('_', chr(92) + '_'))}.*"
    made = [f"CREATE DATABASE IF NOT EXISTS {quote(name)} CHARACTER SET utf8mb4"]
    for host, tls in (("localhost", ""), *([("'%'", "REQUIRE SSL ")] if network else ())):
        user = f"{quote(name)}@{host}"
        made += [
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}'",
            f"ALTER USER {user} IDENTIFIED BY '{password}'",
            f"ALTER USER {user} {tls}WITH {LIMITS}",
            f"GRANT {RIGHTS} ON {own} TO {user}",
        ]
    return made


def connection(name: str, password: str, **where: Any) -> Connection[Any]:
    """A connection as the clone's user; all values are bytes. `where`: PyMySQL's words for the server."""
    return pymysql.connect(
        **where,
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
