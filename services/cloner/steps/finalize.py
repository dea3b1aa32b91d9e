"""Turning copied files and rows into a working, safe clone with its own administrator."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Any

from services.cloner.drivers.port import SiteConfig
from services.cloner.run import CloneRun
from shared.wordpress.transfer.database import CURSOR_TABLE
from shared.wordpress.transfer.ddl import parametrised
from shared.wordpress.transfer.errors import target_errors

PASSWORD_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789-_.~"
"""No characters the login form mangles (WordPress slashes its POST data), none that look alike."""
PASSWORD_LENGTH = 20
USERNAME = "siteferry"
EMAIL = "siteferry@clone.invalid"


def prepare(run: CloneRun) -> dict[str, Any]:
    """In the carrier: drop our cursor. What the worker needs to know of the site: its configuration, and a login name
    that is free."""
    run.context.report(message="Writing the configuration")
    config = run.plan.config
    with target_errors("finishing the clone's database"):
        connection = run.target.connect()
        try:
            _drop_cursor(connection)
            username = _free_username(connection, users_table(config))
            if "first_ids" not in run.state:  # a worker that died here may have made its administrator, with such an id
                run.state["first_ids"] = _first_ids(connection, run)
        finally:
            connection.close()
    return {"config": asdict(config), "username": username}


def new_password() -> str:
    """A password people can type: 20 characters, 117 bits."""
    return "".join(secrets.choice(PASSWORD_ALPHABET) for _ in range(PASSWORD_LENGTH))


def _drop_cursor(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {CURSOR_TABLE}")


def _first_ids(connection: Any, run: CloneRun) -> dict[str, int]:
    """Where new rows begin, as the server says, for the tables that were made to begin further on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = DATABASE() AND AUTO_INCREMENT IS NOT NULL"
        )
        said = {name.decode(): int(number) for name, number in cursor.fetchall()}
    return {t.name: said[t.name] for t in run.plan.tables if t.first_id is not None and t.name in said}


def users_table(config: SiteConfig) -> str:
    """The table of accounts: a site may have given it another name."""
    return str(config.constants.get("CUSTOM_USER_TABLE") or f"{config.prefix}users")


def _free_username(connection: Any, table: str) -> str:
    """A login name that no user of the source has."""
    with connection.cursor() as cursor:
        for number in range(1, 1000):
            name = USERNAME if number == 1 else f"{USERNAME}{number}"
            cursor.execute(f"SELECT 1 FROM {parametrised(table)} WHERE user_login=%s", (name,))
            if cursor.fetchone() is None:
                return name
    return f"{USERNAME}-{secrets.token_hex(4)}"
