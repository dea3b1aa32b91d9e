"""Looking into a clone from outside of it."""

from __future__ import annotations

from typing import Any

import pymysql

from shared.cells.names import database_name
from siteferry.embedded.servers import MariaDB
from tests.e2e.product import Product


def connect(siteferry: Product, database: str | None = None) -> pymysql.connections.Connection[Any]:
    """The product's database server, as its administrator; values come as bytes."""
    server = MariaDB(siteferry.state / "mariadb")
    return pymysql.connect(
        unix_socket=str(server.socket),
        user=server.admin_user,
        password=server.admin_password,
        database=database,
        init_command="SET NAMES binary",
        use_unicode=False,
        max_allowed_packet=256 << 20,
        ssl_disabled=True,  # loading the system's certificates would be nine tenths of the time
    )


def rows(siteferry: Product, clone_id: str, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a clone's database."""
    with connect(siteferry, database_name(clone_id)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def leftovers(siteferry: Product, clone_id: str) -> list[str]:
    """What still exists of a clone that should be gone: directories, databases, users."""
    name = database_name(clone_id)
    found = [path.name for path in (siteferry.state / "clones").iterdir() if clone_id in path.name]
    with connect(siteferry) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name=%s", (name,))
        found += [f"database {row[0].decode()}" for row in cursor.fetchall()]
        cursor.execute("SELECT user FROM mysql.user WHERE user=%s", (name,))
        found += [f"user {row[0].decode()}" for row in cursor.fetchall()]
    return found


def connectors(site: Any) -> list[str]:
    """What of our connector is still on a source: files, active plugins."""
    found = [str(path) for path in site.content.glob("plugins/siteferry*")]
    found += [str(path) for path in site.content.glob("uploads/**/*siteferry*")]
    active = site.sql("SELECT option_value FROM {p}options WHERE option_name='active_plugins'")
    if "siteferry" in active[0][0]:
        found.append(f"active_plugins: {active[0][0]}")
    return found
