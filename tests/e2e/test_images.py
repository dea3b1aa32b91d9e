"""A second clone of a source begins with what the first one got, fetches what changed, and is as good as a whole."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.cells.names import database_name
from tests.e2e.product import Product, product
from tests.e2e.target import connect
from tests.e2e.test_fidelity import GUID, Copy, copy
from tests.integration.house import eventually
from tests.sites.compare import compare_pages, leftovers
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files, tables, values
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(900)
OURS, THEIRS = "k-" + "a" * 30, "k-" + "b" * 30


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A Siteferry that keeps images, for two tenants; its cloner may be killed."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    lines = [
        f"{name}:{hashlib.sha256(key.encode()).hexdigest()}:{name}" for name, key in (("us", OURS), ("them", THEIRS))
    ]
    keys.write_text("\n".join(lines) + "\n")
    settings = {"SITEFERRY_IMAGE_HOURS": "1", "SITEFERRY_ACK_WAIT": "6", "SITEFERRY_API_KEYS_FILE": str(keys)}
    with product(environment=settings) as running:
        running.http.headers["Authorization"] = f"Bearer {OURS}"
        yield running


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Site:
    made = farm.create(SiteSpec("again"))
    values.hard_values(made)
    unreadable = "option_value LIKE 's:999:%%'"
    made.sql(f"DELETE FROM {{p}}options WHERE {unreadable}")
    tables.hard_tables(made)
    tables.views(made)
    files.big_file(made, 9 << 20)
    return made


@pytest.fixture(scope="module")
def first(town: Product, site: Site) -> Copy:
    made = copy(town, site)
    assert made.result["reused"] is None
    return made


def equal(made: Copy) -> None:
    """What the tests of a whole clone ask of one."""
    assert made.different_rows(columns=frozenset({("bits", "lb")})) == []
    assert made.different_files() == []
    assert leftovers(made.tables, made.site.home) == [] or "binary_names_source" in made.notes()
    assert compare_pages(made.site, made.url, made.site.paths()[:6], ignore=GUID) == []


def images(town: Product) -> list[Path]:
    return sorted((town.state / "clones" / ".snapshots").glob("image-*"))


def test_of_an_unchanged_source_only_what_names_the_address_travels(town: Product, site: Site, first: Copy) -> None:
    made = copy(town, site)
    reused = made.result["reused"]
    assert reused["travelled_files"] == 0
    assert reused["travelled_bytes"] == 0
    assert reused["files"] == made.result["files"] == first.result["files"]
    assert 0 < reused["travelled_rows"] < made.result["rows"]
    assert reused["rows"] > 0
    equal(made)
    for name in ("rewritten", "rewritten_columns", "leftovers", "bytes", "tables"):
        assert made.result[name] == first.result[name], name
    assert {n for n in made.notes() if n.startswith("left")} == {n for n in first.notes() if n.startswith("left")}
    own = first.result["clone_id"].encode()
    with closing(connect(town, database_name(made.result["clone_id"]))) as connection, connection.cursor() as cursor:
        connection.decoders = {}  # type: ignore[attr-defined]
        for table in made.tables.names():
            cursor.execute(f"SELECT * FROM `{table.replace('`', '``')}`")
            assert not [row for row in cursor.fetchall() if any(own in (cell or b"") for cell in row)], table


def test_rows_and_files_that_are_new_changed_or_gone(town: Product, site: Site, first: Copy) -> None:
    site.sql("INSERT INTO {p}options (option_name, option_value) VALUES ('new-one', %s)", (site.home,))
    site.sql("UPDATE {p}posts SET post_title='Changed since' WHERE post_status='publish' ORDER BY ID LIMIT 1")
    site.sql("DELETE FROM {p}postmeta ORDER BY meta_id DESC LIMIT 1")
    uploads = site.content / "uploads"
    (uploads / "new.txt").write_text("new")
    kept = sorted(path for path in uploads.rglob("*") if path.is_file() and 10 < path.stat().st_size < 1 << 20)
    changed, gone = kept[0], kept[1]
    facts, data = changed.stat(), bytearray(changed.read_bytes())
    data[5] ^= 1
    changed.write_bytes(data)
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as large and as old as before
    gone.unlink()
    made = copy(town, site)
    assert made.result["reused"]["travelled_files"] == 2
    assert made.result["reused"]["travelled_bytes"] == 3 + len(data)
    equal(made)


def test_a_refresh_begins_with_an_image_and_finds_nothing_edited_in_hard_tables(
    town: Product, site: Site, first: Copy
) -> None:
    site.sql("UPDATE {p}posts SET post_title='For the refresh' WHERE post_status='publish' ORDER BY ID LIMIT 1")
    login = {"username": site.username, "password": site.password}
    answer = town.http.post(f"/clones/{first.result['clone_id']}/refresh", json=login)
    job = town.wait(answer.json()["job_id"])
    assert job["status"] == "completed", job["error"]
    assert job["result"]["reused"] is not None, job["result"]["notes"]
    assert job["result"]["overwritten"]["tables"] == {}
    equal(first)


def test_everything_travels_when_asked_and_when_tables_are_built_otherwise(
    town: Product, site: Site, first: Copy
) -> None:
    asked = copy(town, site, options={"fresh": True})
    assert asked.result["reused"] is None
    assert "image_not_used" not in asked.notes()
    site.sql("ALTER TABLE {p}links ADD COLUMN since INT NULL")
    made = copy(town, site)
    assert made.result["reused"] is None
    assert "tables" in made.notes()["image_not_used"]["message"]
    equal(made)


def test_nobody_else_gets_or_sees_an_image(town: Product, site: Site, first: Copy) -> None:
    ours = listed(town)
    assert ours
    town.http.headers["Authorization"] = f"Bearer {THEIRS}"
    try:
        made = copy(town, site)
        assert made.result["reused"] is None
        assert "image_not_used" not in made.notes()
        theirs = listed(town)
        assert theirs
        assert not theirs & ours
        assert {town.http.delete(f"/images/{image}").status_code for image in ours} == {404}
        assert {town.http.delete(f"/images/{image}").status_code for image in theirs} == {200}
        assert listed(town) == set()
    finally:
        town.http.headers["Authorization"] = f"Bearer {OURS}"
    assert listed(town) == ours


def listed(town: Product) -> set[str]:
    """Images the holder of the key sees."""
    return {image["image_id"] for image in town.http.get("/images").json()["images"]}


def test_a_damaged_image_is_not_used(town: Product, site: Site, first: Copy) -> None:
    copy(town, site, options={"fresh": True})
    before = images(town)
    for image in before:
        content = next(path for path in image.glob("source/files/0/*") if path.stat().st_size > 10)
        with content.open("r+b") as file:
            file.seek(3)
            file.write(b"\0\1")
    made = copy(town, site)
    assert made.result["reused"] is None
    assert "image_not_used" in made.notes()
    assert set(images(town)) - set(before), "a new one was kept"
    equal(made)


@pytest.mark.parametrize("moments", [("image",), ("staging", "database")], ids="-".join)
def test_the_cloner_is_killed(town: Product, site: Site, first: Copy, moments: tuple[str, ...]) -> None:
    fresh = "image" in moments
    if not fresh and not images(town):
        copy(town, site)
    job_id = town.submit(site, options={"fresh": fresh})
    own = f"image-{job_id.removeprefix('clone-')}"

    def reached(moment: str) -> bool:
        if moment == "image":
            return (town.state / "clones" / ".snapshots" / own / ".making-source").exists()
        if moment == "staging":
            return (town.directory(job_id) / ".coming").exists()
        return any(step["name"] == moment and step["state"] == "running" for step in town.job(job_id)["steps"])

    for moment in moments:
        deadline = time.monotonic() + 90
        while not reached(moment):
            assert time.monotonic() < deadline, f"{moment} was missed: {town.job(job_id)}"
            time.sleep(0.002)
        os.kill(town.pid("cloner"), signal.SIGKILL)
    job = town.wait(job_id, timeout=180)
    assert job["status"] == "completed", job["error"]
    assert job["attempt"] == 1, f"a crash does not use up an attempt\n{town.log()[-6000:]}"
    made = Copy(site, job, town)
    assert (made.result["reused"] is None) == fresh
    equal(made)
    eventually(lambda: not list((town.state / "clones").rglob(".making-*")), timeout=10, what="no half image")
    assert not (made.document_root.parent / ".coming").exists()
    with closing(connect(town)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE '%\\_coming'")
        assert cursor.fetchall() == ()
