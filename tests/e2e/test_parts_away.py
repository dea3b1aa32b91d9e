"""Our own database, PHP or web server is killed or stands still while jobs use it: they wait, and go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.product import KEEPING, Product, product
from tests.e2e.restoring import Pair
from tests.e2e.target import connectors, leftovers
from tests.e2e.test_fidelity import Copy
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files, tables
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(900)
FAST = {"SITEFERRY_ACK_WAIT": "6"}


@pytest.fixture(scope="module")
def hurried() -> Iterator[Product]:
    with product(environment=FAST | KEEPING) as running:
        yield running


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Site:
    """Large enough that each step can be met."""
    made = farm.create(SiteSpec("steadfast"))
    files.big_file(made, 30 << 20)
    tables.big_values(made, 8 << 20)
    return made


def part(hurried: Product, name: str) -> int:
    """Process id of a part of the product; `php` is whatever runs the clones' PHP."""
    names = ("cells", "php-fpm") if name == "php" else (name,)

    def lives() -> int:
        return next((pid for known, pid in hurried.pids().items() if known in names), 0)

    return eventually(lives, timeout=30, what=f"a process of {name}")


def reach(hurried: Product, job_id: str, step: str) -> None:
    def reached() -> bool:
        job = hurried.job(job_id)
        assert job["status"] not in {"failed", "cancelled"}, job["error"]
        return any(s["name"] == step and s["state"] != "pending" for s in job["steps"])

    eventually(reached, timeout=120, what=f"step {step}")


def failures(hurried: Product, job_id: str) -> list[dict[str, str]]:
    """The errors of the attempts that were used up."""
    return [job["error"] for job in told(hurried, job_id, "retrying")]


def waits(hurried: Product, job_id: str) -> list[dict[str, Any]]:
    """The job each time it began to wait: with a machine as busy as this one that may be over in a moment."""
    return told(hurried, job_id, "waiting")


def told(hurried: Product, job_id: str, event: str) -> list[dict[str, Any]]:
    messages = hurried.http.get(f"/jobs/{job_id}/story").json()["messages"]
    return [message["data"]["job"] for message in messages if message["type"] == event]


def check(hurried: Product, site: Site, job_id: str) -> None:
    job = hurried.wait(job_id, timeout=240)
    assert job["status"] == "completed", f"{job['error']}\n{hurried.log()[-6000:]}"
    assert job["attempt"] == 1, f"an attempt was used: {failures(hurried, job_id)}"
    codes = {note["code"] for note in job["result"]["notes"]}
    assert not codes & {"pages_failing", "rest_unavailable", "login_guarded", "connector_not_removed", "base_missing"}
    made = Copy(site, job, hurried)
    rows = made.different_rows(columns=frozenset({("bits", "lb")}))
    assert not rows, "\n".join(rows)
    assert made.different_files() == []
    assert hurried.http.delete(f"/clones/{job_id}").status_code == 202
    eventually(lambda: leftovers(hurried, job_id) == [], timeout=60, what="the clone's removal")


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("php", ("finalize", "verify")),
        ("mariadb", ("provision", "database", "finalize", "verify")),
        ("caddy", ("verify",)),
        ("nats", ("connector", "verify")),
    ],
)
def test_a_part_is_killed_whenever_a_clone_needs_it(
    hurried: Product, site: Site, name: str, steps: tuple[str, ...]
) -> None:
    job_id = hurried.submit(site)
    for step in steps:
        reach(hurried, job_id, step)
        os.kill(part(hurried, name), signal.SIGKILL)
        time.sleep(0.3)
    check(hurried, site, job_id)
    assert connectors(site) == []


@pytest.mark.parametrize(("name", "step"), [("mariadb", "files"), ("caddy", "finalize")])
def test_a_part_that_stands_still_is_waited_for_visibly(hurried: Product, site: Site, name: str, step: str) -> None:
    """Rows come beside the files, and may be there before them."""
    job_id = hurried.submit(site)
    reach(hurried, job_id, step)
    stopped = part(hurried, name)
    os.kill(stopped, signal.SIGSTOP)
    if name != "caddy":  # which is the way to the API, too
        waiting = eventually(lambda: waits(hurried, job_id), timeout=120, what="the job to wait")[0]
        assert waiting["reason"] == f"part_away:{name}"
        assert waiting["status"] == "pending"
    eventually(lambda: part(hurried, name) != stopped, timeout=90, what="a new start of what hangs")
    eventually(lambda: hurried.reachable(), timeout=30, what="the edge")
    check(hurried, site, job_id)


@pytest.fixture(scope="module")
def pair(hurried: Product, farm: SourceFarm) -> Pair:
    site = farm.create(SiteSpec("returning"))
    return Pair(hurried, site, hurried.clone(site))


def test_parts_are_killed_in_steps_of_a_restore(hurried: Product, pair: Pair) -> None:
    pair.on_clone("UPDATE {p}posts SET post_content=%s WHERE ID=1", "after all")
    (pair.document_root / "wp-content" / "uploads" / "big.bin").write_bytes(os.urandom(24 << 20))
    job_id = pair.submit()
    for name, step in (("php", "plan"), ("mariadb", "stage"), ("caddy", "files")):
        reach(hurried, job_id, step)
        os.kill(part(hurried, name), signal.SIGKILL)
    job = hurried.wait(job_id, timeout=240)
    assert job["status"] == "completed", f"{job['error']}\n{hurried.log()[-6000:]}"
    assert job["attempt"] == 1
    assert pair.site.sql("SELECT post_content FROM {p}posts WHERE ID=1")[0][0] == "after all"
