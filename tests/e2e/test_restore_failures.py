"""What keeps a restore from happening: said in a typed error with a hint, the target untouched."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import Product, product
from tests.e2e.restoring import Pair, files_of, rows_of, traces
from tests.e2e.test_restore_survival import reach
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec, User

EDITOR = User("edda", "pw-of-edda-3141")


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """The temporary directory of the product alone."""
    with tempfile.TemporaryDirectory(prefix="siteferry-scratch-") as directory:
        os.chmod(directory, 0o1777)
        yield Path(directory)


@pytest.fixture(scope="module")
def quick(scratch: Path) -> Iterator[Product]:
    with product(environment={"SITEFERRY_WATCH_SECONDS": "2", "TMPDIR": str(scratch)}) as running:
        yield running


@pytest.fixture(scope="module")
def pair(quick: Product, farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("reef", users=(EDITOR,)))
    made = Pair(quick, site, quick.clone(site))
    made.on_clone("UPDATE {p}posts SET post_content='From the clone' WHERE ID=1")
    yield made
    site.destroy()


def elsewhere(site: Site, **more: Any) -> dict[str, Any]:
    return {
        "target_url": site.url,
        "target_username": site.username,
        "target_password": site.password,
        "accept_loss": True,
        **more,
    }


@pytest.mark.parametrize(
    ("login", "codes"),
    [
        ({"target_password": "not it"}, {"wrong_password"}),
        ({"target_username": EDITOR.login, "target_password": EDITOR.password}, {"not_administrator"}),
        ({"target_url": "http://nobody-here.invalid"}, {"host_not_found"}),
    ],
    ids=["wrong-password", "editor", "no-such-host"],
)
def test_a_target_that_can_not_be_entered(pair: Pair, login: dict[str, str], codes: set[str]) -> None:
    rows, files = rows_of(pair.site), files_of(pair.site)
    error = pair.failed(**login)
    assert error["code"] in codes
    assert rows_of(pair.site) == rows
    assert files_of(pair.site) == files


def test_a_network_is_no_target(pair: Pair, farm: SourceFarm) -> None:
    network = farm.create(SiteSpec("reef-network", content="bare", multisite=True))
    assert pair.failed(**elsewhere(network))["code"] == "multisite_unsupported"
    assert traces(network) == []
    network.destroy()


def test_tied_tables_are_refused_when_they_change(pair: Pair) -> None:
    pair.site.sql("CREATE TRIGGER reef_watch AFTER INSERT ON {p}terms FOR EACH ROW SET @seen = 1")
    title = pair.on_clone("SELECT name FROM {p}terms WHERE term_id=1")[0][0]
    try:
        told = pair.restore(dry_run=True)["result"]["plan"]["drift"]
        assert [line for line in told if "foreign keys" in line] == [], "unchanged tables stay by themselves"
        pair.on_clone("UPDATE {p}terms SET name='Tied' WHERE term_id=1")
        warned = pair.restore(dry_run=True)["result"]["plan"]["drift"]
        assert [line for line in warned if "foreign keys or triggers" in line]
        error = pair.failed(accept_loss=True)
    finally:
        pair.on_clone("UPDATE {p}terms SET name=%s WHERE term_id=1", title)
        pair.site.sql("DROP TRIGGER reef_watch")
    assert error["code"] == "unsupported_tables"
    assert error["details"]["tables"] == [f"{pair.site.prefix}terms"]


def test_a_table_built_differently_is_told(pair: Pair) -> None:
    table, number = "{p}termmeta", "MODIFY meta_id BIGINT UNSIGNED NOT NULL"
    pair.site.sql(f"ALTER TABLE {table} {number}, DROP PRIMARY KEY, ADD UNIQUE other (meta_id, term_id)")
    try:
        error = pair.failed()
    finally:
        pair.site.sql(f"ALTER TABLE {table} DROP INDEX other, ADD PRIMARY KEY (meta_id), {number} AUTO_INCREMENT")
    assert error["code"] == "schema_drift"
    assert error["details"]["table"] == f"{pair.site.prefix}termmeta"


def test_files_that_can_not_be_written(pair: Pair) -> None:
    (pair.document_root / "wp-content" / "uploads" / "new.txt").write_text("new")
    content, mode = pair.site.uploads, pair.site.uploads.stat().st_mode
    os.chown(content, 0, 0)
    content.chmod(0o555)
    try:
        error = pair.failed()
    finally:
        content.chmod(mode)
        os.chown(content, pair.site.content.stat().st_uid, pair.site.content.stat().st_gid)
    assert error["code"] == "target_read_only"


def test_the_target_freezes_half_way(pair: Pair, farm: SourceFarm) -> None:
    """It waits, tries again, and goes on where it was."""
    (pair.document_root / "wp-content" / "uploads" / "big.bin").write_bytes(os.urandom(24 << 20))
    job_id = pair.submit(accept_loss=True)
    reach(pair, job_id, "files")
    pid = farm._running[-1].pid
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(4, os.kill, (pid, signal.SIGCONT)).start()
    job = pair.siteferry.wait(job_id)
    assert job["status"] == "completed", job["error"]


def test_another_site_with_another_prefix_takes_the_content(pair: Pair, farm: SourceFarm) -> None:
    other = farm.create(SiteSpec("lagoon", table_prefix="deep_", layout="wp-subdir"))
    job = pair.restore(**elsewhere(other))
    assert other.sql("SELECT post_content FROM {p}posts WHERE ID=1") == [("From the clone",)]
    assert other.get("/").status_code == 200
    roles = other.sql("SELECT COUNT(*) FROM {p}options WHERE option_name='deep_user_roles'")
    assert roles == [(1,)]
    with other.sign_in() as admin:
        assert admin.get(other.siteurl + "/wp-admin/plugins.php").status_code == 200
    assert not job["result"]["plan"]["base"], "the base is another site's"
    other.destroy()


def test_no_restore_leaves_anything_in_the_temporary_directory(pair: Pair, scratch: Path) -> None:
    """Neither those of this file that failed, nor one that was tried again."""
    eventually(lambda: list(scratch.glob("siteferry-restore-*")) == [], timeout=10, what="the last removal")
