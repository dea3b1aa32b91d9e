"""`docker compose up --wait` brings the whole product, and killing any part of it loses nothing."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.stack import IMAGES, ROOT, Stack, docker, missing, reachable, stack
from tests.e2e.restoring import Pair
from tests.integration.house import eventually
from tests.sites.compare import Exclusions, Mapping, Tables, compare_files, compare_pages, compare_tables
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

INSIDE = "/var/lib/siteferry/clones"
TRANSIENTS = frozenset({"_transient_*", "_site_transient_*"})
PARTS = ("nats-2", "keeper", "mariadb", "gateway", "status", "cloner", "restorer", "edge")
FIRST_UP = 120
"""Seconds, on a machine that has much else to do; 14 on two quiet cores."""

pytestmark = pytest.mark.timeout(280)


@pytest.fixture(scope="module")
def composed() -> Iterator[Stack]:
    if why := missing():
        (pytest.fail if os.environ.get("COMPOSE") else pytest.skip)(why)
    with stack() as running:
        running.first_up = running.up()
        running.look_inside()
        yield running


@pytest.fixture(scope="module")
def pair(composed: Stack, farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("composed"))
    with reachable(farm):
        yield Pair(composed, site, composed.clone(site, timeout=200))
    site.destroy()


def test_everything_is_up_in_time_and_only_the_edge_is_published_on_loopback(composed: Stack) -> None:
    assert composed.first_up < FIRST_UP
    found = {one["Service"]: one for one in composed.containers()}
    assert found.pop("init")["ExitCode"] == 0
    assert {one["State"] for one in found.values()} == {"running"}
    assert {name for name, one in found.items() if one["Health"] != "healthy"} <= {"keeper"}
    published = {
        (name, port["URL"], port["PublishedPort"])
        for name, one in found.items()
        for port in one["Publishers"] or []
        if port["PublishedPort"]
    }
    assert published == {("edge", "127.0.0.1", composed.port)}
    assert composed.http.get("/readyz").status_code == 200
    assert "Access denied" not in composed.compose("logs", "--no-color", "mariadb")


def test_a_clone_equals_its_source(pair: Pair) -> None:
    site, result = pair.site, pair.job["result"]
    inside = f"{INSIDE}/{pair.clone_id}/site"
    mapping = Mapping.between(site, pair.clone_url, paths={str(site.docroot): inside})
    known = Exclusions(options=TRANSIENTS, users=frozenset({result["username"]}))
    assert compare_tables(Tables.of(site), pair.clone_tables, mapping, known) == []
    assert compare_files(site.docroot, pair.document_root, skip=("wp-config.php", "wp-content/upgrade*", "*.log")) == []
    assert compare_pages(site, pair.clone_url, site.paths()[:10], ignore=(r"<guid[^>]*>.*?</guid>",)) == []


def test_clones_have_walls_of_their_own(composed: Stack) -> None:
    """The engine of this machine lets user namespaces in, so nothing less will do."""
    said = composed.compose("exec", "-T", "edge", "siteferry", "doctor", check=False)
    (line,) = [line for line in said.splitlines() if "isolation" in line]
    assert "user-namespace" in line


def test_a_clone_goes_back_to_production(pair: Pair) -> None:
    (post,) = pair.on_clone("SELECT MIN(ID) FROM {p}posts WHERE post_type='post' AND post_status='publish'")[0]
    pair.on_clone("UPDATE {p}posts SET post_content='Written in a container' WHERE ID=%s", int(post))
    pair.restore(timeout=200)
    assert "Written in a container" in str(pair.site.sql("SELECT post_content FROM {p}posts WHERE ID=%s", (post,)))


def test_killing_any_container_loses_nothing(pair: Pair, composed: Stack) -> None:
    for first in range(0, len(PARTS), 4):
        job_id = composed.submit(pair.site)
        for part in PARTS[first : first + 4]:
            composed.compose("kill", part)
            composed.compose("start", part)
        job = composed.wait(job_id, timeout=200)
        assert job["status"] == "completed", job
    eventually(lambda: composed.http.get("/readyz").status_code == 200, timeout=60)


def test_down_and_up_finds_everything_again(pair: Pair, composed: Stack) -> None:
    before = composed.job(str(pair.job["job_id"]))
    composed.down()
    composed.up()
    assert composed.job(str(pair.job["job_id"])) == before
    assert compare_pages(pair.site, pair.clone_url, pair.site.paths()[:2], ignore=(r"<guid[^>]*>.*?</guid>",)) == []
    assert pair.on_clone("SELECT COUNT(*) FROM {p}posts")[0][0] > 0


def test_a_newer_version_takes_over_and_the_older_one_again(pair: Pair, composed: Stack) -> None:
    """Other images of the same product, as an upgrade has them, while a job runs."""
    for image in IMAGES:
        text = f"FROM {image}:latest\nLABEL siteferry.test=next\n"
        subprocess.run(["docker", "build", "-q", "-t", f"{image}:next", "-"], input=text, text=True, check=True)
    job_id = composed.submit(pair.site)
    for version in ("next", "latest"):
        composed.environment["SITEFERRY_VERSION"] = version
        composed.up()
        used = {one["Image"].rpartition(":")[2] for one in composed.containers()}
        assert used == {version}
    job = composed.wait(job_id, timeout=200)
    assert (job["status"], job["attempt"]) == ("completed", 1), job
    assert pair.on_clone("SELECT COUNT(*) FROM {p}posts")[0][0] > 0
    docker("image", "rm", *(f"{image}:next" for image in IMAGES))


def test_a_backup_leads_back(pair: Pair, composed: Stack, tmp_path: Path) -> None:
    """With the very commands of docs/compose.md, but for the name of the project."""
    there, back = (block.replace("siteferry_", f"{composed.project}_") for block in documented())
    before = composed.job(str(pair.job["job_id"]))
    composed.shell(there, tmp_path)
    composed.down("--volumes")
    composed.shell(back, tmp_path)
    composed.look_inside()
    assert composed.job(str(pair.job["job_id"])) == before
    assert compare_pages(pair.site, pair.clone_url, pair.site.paths()[:2], ignore=(r"<guid[^>]*>.*?</guid>",)) == []
    again = composed.clone(pair.site, timeout=200)
    assert again["status"] == "completed", "what is kept about it is of use, its key above all"


def documented() -> list[str]:
    """The two pieces of shell under Backup: there and back."""
    text = (ROOT / "docs" / "compose.md").read_text().partition("## Backup")[2].partition("\n## ")[0]
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)]
    assert len(blocks) == 2
    return blocks
