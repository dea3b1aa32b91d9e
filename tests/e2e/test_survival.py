"""Whatever dies in the middle: the job completes, with one clone and no orphan."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.product import KEEPING, Product, product
from tests.e2e.target import connectors, leftovers
from tests.e2e.test_fidelity import Copy
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files, tables
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

FAST = {"SITEFERRY_ACK_WAIT": "6"}
"""A deadline that notices a death sooner than production's 30 s."""
VISITED = "recently_activated"
"""WordPress tidies this option when its list of plugins is opened, as a second run does that removes the connector."""


@pytest.fixture(scope="module")
def hurried() -> Iterator[Product]:
    """A Siteferry of its own whose cloner may be killed."""
    with product(environment=FAST | KEEPING) as running:
        yield running


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Site:
    """A site big enough to be caught in the middle of files and of database."""
    made = farm.create(SiteSpec("survivor"))
    files.big_file(made, 400 << 20)
    tables.big_values(made, 8 << 20)
    tables.hard_tables(made)
    return made


STEPS = [
    ("sign_in", "provision", "database"),
    ("connector", "files", "verify"),
    ("preflight", "finalize", "remove_connector"),
]
"""In which steps the cloner of one clone is killed."""


@pytest.mark.parametrize("steps", STEPS, ids="-".join)
def test_the_cloner_is_killed_in_each_step(hurried: Product, site: Site, steps: tuple[str, ...]) -> None:
    job_id = hurried.submit(site)

    def reached(step: str) -> bool:
        job = hurried.job(job_id)
        assert job["status"] in {"pending", "running"}, f"{step} was missed: {job}"
        return any(s["name"] == step and s["state"] != "pending" for s in job["steps"])

    for step in steps:
        with ExitStack() as after:
            if step == "remove_connector":  # takes milliseconds, unless the source stands still
                eventually(lambda: reached("verify"), timeout=90, what="step verify")
                server = site.farm._running[-1].popen.pid
                os.kill(server, signal.SIGSTOP)
                after.callback(os.kill, server, signal.SIGCONT)
            eventually(lambda step=step: reached(step), timeout=90, what=f"step {step}")
            if step == "files":
                time.sleep(0.5)
            os.kill(hurried.pid("cloner"), signal.SIGKILL)
    job = hurried.wait(job_id, timeout=180)
    assert job["status"] == "completed", job["error"]
    assert job["attempt"] == 1, "a crash does not use up an attempt"
    made = Copy(site, job, hurried)
    assert made.different_rows(columns=frozenset({("bits", "lb")}), options=frozenset({VISITED})) == []
    assert made.different_files() == []
    assert connectors(site) == []
    assert hurried.http.delete(f"/clones/{job_id}").status_code == 202
    eventually(lambda: leftovers(hurried, job_id) == [], timeout=60, what="the clone's removal")


def test_everything_stops_and_goes_on(hurried: Product, site: Site) -> None:
    """Ctrl-C in the middle, `up` again: jobs and clones are still there."""
    done = hurried.clone(site)
    job_id = hurried.submit(site)
    eventually(lambda: hurried.job(job_id)["step"] == "files", timeout=90, what="the files step")
    assert hurried.stop() == 0
    hurried.start()
    assert hurried.job(done["job_id"])["status"] == "completed"
    job = hurried.wait(job_id, timeout=180)
    assert job["status"] == "completed", job["error"]
    assert Copy(site, job, hurried).different_files() == []
    for clone in (done["job_id"], job_id):
        hurried.http.delete(f"/clones/{clone}")
        eventually(lambda clone=clone: leftovers(hurried, clone) == [], timeout=60, what="the clone's removal")


def test_a_clone_expires_by_itself(hurried: Product, site: Site) -> None:
    """The end is kept by the server, not by a process: the cloner restarts meanwhile."""
    job = hurried.clone(site, ttl_minutes=5)
    clone_id = job["result"]["clone_id"]
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    answer = hurried.http.patch(f"/clones/{clone_id}", json={"expires_at": soon})
    assert answer.status_code == 200, answer.text
    os.kill(hurried.pid("cloner"), signal.SIGKILL)
    eventually(lambda: leftovers(hurried, clone_id) == [], timeout=60, what="the expiry")
    clone = eventually(
        lambda: (c := hurried.http.get(f"/clones/{clone_id}").json())["state"] == "deleted" and c, what="the state"
    )
    assert clone["reason"] == "expired"
    gone = hurried.http.get("/", headers={"Host": f"{clone_id}.localhost:{hurried.port}"})
    assert gone.status_code == 404
    assert "no clone here" in gone.text
