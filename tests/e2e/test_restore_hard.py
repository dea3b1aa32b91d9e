"""Targets that are built otherwise, too small, or gone: what arrives is right, or nothing has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.product import Product, product
from tests.e2e.restoring import Pair, files_of, rows_of, traces
from tests.e2e.test_restore_survival import reach
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec


@pytest.fixture(scope="module")
def quick() -> Iterator[Product]:
    with product(environment={"SITEFERRY_WATCH_SECONDS": "2"}) as running:
        yield running


def content(site: Site) -> dict[str, str]:
    """A digest of every table but the options: entering a site for the first time writes some."""
    return {name: digest for name, digest in rows_of(site).items() if not name.endswith("options")}


@pytest.fixture
def pair(quick: Product, farm: SourceFarm) -> Iterator[Pair]:
    """A site of its own for each test, and its clone."""
    site = farm.create(SiteSpec("skerry", content="bare"))
    yield Pair(quick, site, quick.clone(site))
    site.destroy()


def test_what_productions_character_set_can_not_hold_is_refused_not_cut(pair: Pair) -> None:
    pair.site.sql("ALTER TABLE {p}posts CONVERT TO CHARACTER SET utf8 COLLATE utf8_general_ci")
    pair.on_clone("UPDATE {p}posts SET post_content='Before 🦀 after' WHERE ID=1")
    rows, files = content(pair.site), files_of(pair.site)
    error = pair.failed(accept_loss=True)
    assert error["code"] == "row_refused"
    assert content(pair.site) == rows
    assert files_of(pair.site) == files


def test_another_character_set_is_not_taken_for_the_same(pair: Pair) -> None:
    pair.site.sql("ALTER TABLE {p}comments CONVERT TO CHARACTER SET latin1 COLLATE latin1_german1_ci")
    pair.on_clone("UPDATE {p}comments SET comment_content='Grüße aus Köln' WHERE comment_ID=1")
    rows = content(pair.site)
    error = pair.failed(accept_loss=True)
    assert error["code"] == "schema_drift"
    assert error["details"]["table"] == f"{pair.site.prefix}comments"
    assert content(pair.site) == rows


def test_productions_engine_and_collation_stay(pair: Pair) -> None:
    pair.site.sql("ALTER TABLE {p}posts ENGINE=MyISAM")
    pair.site.sql("ALTER TABLE {p}comments CONVERT TO CHARACTER SET utf8 COLLATE utf8_german2_ci")
    before = pair.site.sql("SELECT post_content FROM {p}posts WHERE ID=1")
    pair.on_clone("UPDATE {p}comments SET comment_content='Grüße aus Köln' WHERE comment_ID=1")
    pair.on_clone("UPDATE {p}posts SET post_content='From the clone' WHERE ID=1")
    job = pair.restore(accept_loss=True)
    assert pair.site.sql("SELECT comment_content FROM {p}comments WHERE comment_ID=1") == [("Grüße aus Köln",)]
    assert pair.site.sql("SELECT post_content FROM {p}posts WHERE ID=1") == [("From the clone",)]
    built = pair.site.sql("SHOW CREATE TABLE {p}comments")[0][1] + pair.site.sql("SHOW CREATE TABLE {p}posts")[0][1]
    assert "german2_ci" in built
    assert "ENGINE=MyISAM" in built
    pair.snapshot("rollback", job["result"]["snapshot_id"])
    assert pair.site.sql("SELECT post_content FROM {p}posts WHERE ID=1") == before


def test_two_roll_backs_at_once_lead_back_once(pair: Pair) -> None:
    rows = content(pair.site)
    pair.on_clone("UPDATE {p}posts SET post_content='From the clone' WHERE ID=1")
    snapshot = pair.restore(accept_loss=True)["result"]["snapshot_id"]
    login = {"target_username": pair.site.username, "target_password": pair.site.password}

    def back(_: int) -> int:
        answer = pair.siteferry.http.post(f"/snapshots/{snapshot}/rollback", json=login)
        if answer.status_code != 202:
            assert answer.json()["hint"]
            return int(answer.status_code)
        job = pair.siteferry.wait(answer.json()["job_id"], timeout=90)
        assert job["status"] == "completed" or job["error"]["hint"], job
        return 202 if job["status"] == "completed" else 500

    with ThreadPoolExecutor(2) as pool:
        assert 202 in pool.map(back, range(2))
    assert content(pair.site) == rows
    assert traces(pair.site) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(pair: Pair) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    (pair.document_root / "wp-content" / "uploads").mkdir(exist_ok=True)
    (pair.document_root / "wp-content" / "uploads" / "film.bin").write_bytes(os.urandom(24 << 20))
    folder, beside = pair.site.content, pair.site.content.with_name("content-before")
    shutil.copytree(folder, beside, symlinks=True)
    owner = folder.stat()
    options = f"size=48m,mode=755,uid={owner.st_uid},gid={owner.st_gid}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        subprocess.run(["cp", "-a", f"{beside}/.", str(folder)], check=True)
        subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", str(folder)], check=True)
        rows, files = content(pair.site), files_of(pair.site)
        error = pair.failed(accept_loss=True)
        assert error["code"] == "not_enough_space"
        assert error["details"]["needed_bytes"] > error["details"]["free_bytes"]
        assert content(pair.site) == rows
        assert files_of(pair.site) == files
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(beside)


def test_a_target_that_vanishes_half_way_is_as_it_was_and_takes_the_next_restore(pair: Pair) -> None:
    uploads = pair.document_root / "wp-content" / "uploads"
    uploads.mkdir(exist_ok=True)
    (uploads / "big.bin").write_bytes(os.urandom(32 << 20))
    pair.on_clone("UPDATE {p}posts SET post_content='From the clone' WHERE ID=1")
    rows, files = content(pair.site), files_of(pair.site)
    job_id = pair.submit(accept_loss=True)
    reach(pair, job_id, "files")
    away = pair.site.docroot.with_name("away")
    pair.site.docroot.rename(away)
    try:
        job = pair.siteferry.wait(job_id, timeout=150)
    finally:
        away.rename(pair.site.docroot)
    assert job["status"] == "failed", job
    assert job["error"]["hint"]
    now = content(pair.site)
    assert {name: now.get(name) for name in rows} == rows
    there = files_of(pair.site)
    assert {name: there.get(name) for name in files} == files
    pair.restore(accept_loss=True)
    assert pair.site.sql("SELECT post_content FROM {p}posts WHERE ID=1") == [("From the clone",)]
