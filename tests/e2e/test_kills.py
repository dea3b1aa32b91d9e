"""Kill -9 of every part of ours but the sources, at random: no job is lost, doubled, wrong, or leaves anything behind.

Asked for with `make test KILLS=120` (60 jobs, 120 kills in 8 minutes; KILLS=16 is a short run).
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from tests.e2e.product import KEEPING, TERMINAL, Product, product
from tests.e2e.target import connectors, leftovers
from tests.e2e.test_fidelity import Copy
from tests.e2e.test_parts_away import failures
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

SEED = int(os.environ.get("KILLS_SEED") or 20261129)
KILLS = int(os.environ.get("KILLS") or 0)
JOBS = KILLS // 2
pytestmark = pytest.mark.skipif(not KILLS, reason="asked for with make test KILLS=16 or more")
PAUSE = 4.0
"""Mean seconds between two kills."""
SITES = 4
EDGE_SECONDS = 5.0
SETTINGS = {"SITEFERRY_ACK_WAIT": "6", "SITEFERRY_RATE_LIMIT_PER_MINUTE": "0"}


@pytest.fixture(scope="module")
def town() -> Iterator[Product]:
    with product(environment=SETTINGS | KEEPING) as running:
        yield running


@pytest.fixture(scope="module")
def sites(farm: SourceFarm) -> list[Site]:
    made = [farm.create(SiteSpec(f"harbour{number}")) for number in range(SITES)]
    for site in made:
        files.big_file(site, 8 << 20)
    return made


@pytest.mark.timeout(1600)
def test_sixty_jobs_survive_a_hundred_and_twenty_kills(town: Product, sites: list[Site]) -> None:
    rng, begun = random.Random(SEED), time.monotonic()
    wishes: dict[int, str] = {}
    submitting = threading.Thread(target=submit_all, args=(town, sites, wishes))
    submitting.start()
    kills, silences = strike_often(town, rng)
    submitting.join(300)
    assert len(set(wishes.values())) == JOBS, "a wish was lost, or two got one job"
    jobs = {job_id: ended(town, job_id) for job_id in wishes.values()}
    took = time.monotonic() - begun
    states = Counter(job["status"] for job in jobs.values())
    codes = Counter(job["error"]["code"] for job in jobs.values() if job["error"])
    attempts = Counter(job["attempt"] for job in jobs.values())
    used = [error for job_id, job in jobs.items() if job["attempt"] != 1 for error in failures(town, job_id)]
    report = {
        "used": Counter(f"{error['code']}: {error['message'][:100]}" for error in used),
        "jobs": JOBS,
        "kills": dict(kills),
        "seconds": round(took, 1),
        "states": dict(states),
        "codes": dict(codes),
        "attempts": dict(attempts),
        "edge_silent_s": {"longest": max(silences), "mean": round(sum(silences) / len(silences), 2)},
    }
    print(json.dumps(report))
    assert states["completed"] >= 0.99 * JOBS, report
    for number, job_id in wishes.items():
        check(town, sites[number % SITES], jobs[job_id])
    assert max(silences) <= EDGE_SECONDS, report
    for site in sites:
        eventually(lambda site=site: connectors(site) == [], timeout=60, what="sources without connectors")  # type: ignore[misc]


def submit_all(town: Product, sites: list[Site], wishes: dict[int, str]) -> None:
    """Hand all jobs in over the time of the kills, each until it is accepted."""
    for number in range(JOBS):
        site = sites[number % SITES]
        body = {"source_url": site.url, "username": site.username, "password": site.password}
        deadline = time.monotonic() + 120
        while number not in wishes and time.monotonic() < deadline:
            with suppress(httpx2.HTTPError):
                answer = town.http.post("/clone", json=body, headers={"Idempotency-Key": f"wish-{number}"})
                if answer.status_code == 202:
                    wishes[number] = answer.json()["job_id"]
                    continue
            time.sleep(0.3)
        time.sleep(KILLS * PAUSE / JOBS * 0.6)


def strike_often(town: Product, rng: random.Random) -> tuple[Counter[str], list[float]]:
    """Kill something, wait for the edge, wait a little; what was killed, and how long the edge said nothing."""
    kills: Counter[str] = Counter()
    silences = []
    for _ in range(KILLS):
        pause = rng.uniform(0.5, 2 * PAUSE - 0.5)
        begun = time.monotonic()
        pids = town.pids()
        victim = rng.choice(sorted(pids))
        with suppress(ProcessLookupError):
            os.kill(pids[victim], signal.SIGKILL)
            kills[victim] += 1
        silences.append(round(edge_silence(town), 2))
        time.sleep(max(0.0, pause - (time.monotonic() - begun)))
    return kills, silences


def edge_silence(town: Product) -> float:
    """Seconds until the edge answers."""
    begun = time.monotonic()
    while not town.reachable():
        assert time.monotonic() - begun < 60, town.log()[-4000:]
        time.sleep(0.05)
    return time.monotonic() - begun


def ended(town: Product, job_id: str) -> dict[str, object]:
    def look() -> dict[str, object] | None:
        job = town.job(job_id)
        return job if job["status"] in TERMINAL else None

    return eventually(look, timeout=600, what=f"the end of {job_id}")


def check(town: Product, site: Site, job: dict[str, object]) -> None:
    """Told once; right; and gone when it is deleted."""
    job_id = str(job["job_id"])
    told = town.http.get(f"/jobs/{job_id}/story").json()["messages"]
    assert [message["type"] in TERMINAL for message in told].count(True) == 1, f"{job_id} did not end once"
    if job["status"] == "completed":
        made = Copy(site, job, town)
        moving = frozenset({"cron"})  # a site that jobs sign in to plans its own work, after others have copied it
        assert made.different_rows(columns=frozenset({("bits", "lb")}), options=moving) == []
        assert made.different_files() == []
        assert town.http.delete(f"/clones/{job_id}").status_code == 202
    eventually(lambda: leftovers(town, job_id) == [], timeout=90, what=f"{job_id} gone")
