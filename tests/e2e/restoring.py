"""A production site and its clone, and what tests of restores do with both."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

from shared.cells.names import database_name
from tests.e2e.product import Product
from tests.e2e.target import connect
from tests.sites.compare import Tables
from tests.sites.site import Site

OURS = ("siteferry-",)
PASSING = frozenset({"cron"})
"""Options that change by themselves."""
PASSING_META = frozenset({b"session_tokens"})
"""What signing in leaves."""


@dataclass
class Pair:
    """Production (a farm site) and its clone (made by the product)."""

    siteferry: Product
    site: Site
    job: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def clone_id(self) -> str:
        return str(self.job["result"]["clone_id"])

    @property
    def clone_url(self) -> str:
        return str(self.job["result"]["clone_url"]).rstrip("/")

    @property
    def document_root(self) -> Any:
        return self.siteferry.directory(self.clone_id) / "site"

    @property
    def clone_tables(self) -> Tables:
        name = database_name(self.clone_id)
        return Tables(lambda: connect(self.siteferry, name), name, self.site.prefix)

    def on_clone(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """One statement in the clone's database; `{p}` is the prefix."""
        with connect(self.siteferry, database_name(self.clone_id)) as connection, connection.cursor() as cursor:
            cursor.execute(statement.replace("{p}", self.site.prefix), arguments or None)
            rows = list(cursor.fetchall())
            connection.commit()
        return rows

    def submit(self, **more: Any) -> str:
        """Ask for a restore of the clone to production."""
        login = {"target_username": self.site.username, "target_password": self.site.password}
        body = {"clone_id": self.clone_id, "target_url": self.site.url, **login, **more}
        answer = self.siteferry.http.post("/restore", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def restore(self, *, timeout: float = 120, **more: Any) -> dict[str, Any]:
        """A completed restore's job."""
        job = self.siteferry.wait(self.submit(**more), timeout=timeout)
        assert job["status"] == "completed", f"{job['error']}\n{self.siteferry.log()[-6000:]}"
        return job

    def failed(self, *, timeout: float = 120, **more: Any) -> dict[str, Any]:
        """The error of a restore that must fail; nothing of ours is left on the target."""
        known = traces(self.site)
        job = self.siteferry.wait(self.submit(**more), timeout=timeout)
        assert job["status"] == "failed", job
        assert traces(self.site) == known
        error: dict[str, Any] = job["error"]
        assert error["message"]
        assert error["hint"]
        return error

    def snapshot(self, action: str, snapshot_id: str) -> dict[str, Any]:
        """A completed rollback or discard."""
        body = {"target_username": self.site.username, "target_password": self.site.password}
        answer = self.siteferry.http.post(f"/snapshots/{snapshot_id}/{action}", json=body)
        assert answer.status_code == 202, answer.text
        job = self.siteferry.wait(answer.json()["job_id"])
        assert job["status"] == "completed", f"{job['error']}\n{self.siteferry.log()[-6000:]}"
        return job


def traces(site: Site) -> list[str]:
    """What is on a site of a restore, its snapshot included: files, tables, the connector."""
    found = [str(path) for path in site.content.glob("siteferry-*")]
    found += [str(path) for path in site.content.glob("plugins/siteferry*")]
    found += [table for table in site.tables() if table.startswith(("sfn_", "sfo_"))]
    active = site.sql("SELECT option_value FROM {p}options WHERE option_name='active_plugins'")
    return found + (["active_plugins"] if "siteferry" in active[0][0] else [])


def rows_of(site: Site) -> dict[str, str]:
    """A digest of every table; options that change by themselves aside."""
    tables, found = Tables.of(site), {}
    for name in tables.names():
        rows = tables.rows(name)
        if name == f"{site.prefix}options":
            rows = [row for row in rows if not _passing((row[1] or b"").decode())]
        if name == f"{site.prefix}usermeta":
            rows = [row for row in rows if row[2] not in PASSING_META]
        found[name] = hashlib.sha256(repr(sorted(rows, key=repr)).encode()).hexdigest()
    return found


def _passing(option: str) -> bool:
    return option in PASSING or option.startswith(("_transient_", "_site_transient_", "recovery_"))


def files_of(site: Site) -> dict[bytes, str]:
    """A digest of every file below wp-content, our own directory aside."""
    found, root = {}, os.fsencode(site.content)
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(b"siteferry-") and name != b"upgrade"]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) and not name.endswith(b".log"):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, root)] = hashlib.sha256(file.read()).hexdigest()
    return found
