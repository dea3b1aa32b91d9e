"""Who stands behind whom: jobs of one tenant behind its first, busy cells behind everything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared import turns
from shared.engine.carriers.carrier import Recipe
from shared.engine.carriers.pool import JobCarriers, Passing
from siteferry.embedded.cells import busy
from tests.engine import carried
from tests.engine.carried import Bench, carriers
from tests.integration.house import eventually

SPINS = """
import os, time
if os.fork() == 0:
    while True:
        pass
time.sleep(60)
"""


def place(process: int) -> tuple[int, int | None]:
    """Nice of a process and of its session; None where sessions have none."""
    nice = os.getpriority(os.PRIO_PROCESS, process)
    try:
        return nice, int(Path(f"/proc/{process}/autogroup").read_text().split()[-1])
    except (OSError, IndexError):  # not there, or sessions are not grouped
        return nice, None


def stands(process: int, nice: int) -> bool:
    own, session = place(process)
    return own == nice and session in {nice, None}


class Job(Passing):
    """A job of somebody."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self.command = SimpleNamespace(tenant=tenant)


def test_jobs_of_a_tenant_weigh_no_more_than_two_however_many() -> None:
    weights = [0.8 ** turns.of_job(number) for number in range(4)]
    assert sum(weights) < 2.1 * weights[0]
    assert turns.of_job(0) == turns.WORK
    assert turns.of_job(1000) == turns.LAST < turns.HOG


async def test_a_tenants_further_jobs_stand_behind_its_first() -> None:
    async def make() -> Recipe:
        return Recipe("one", Bench)

    async def carrier(job: JobCarriers) -> int:
        await job.call("one", make, carried.kept)
        return job._carriers["one"].pid

    pool = carriers()
    mallory, alice = [JobCarriers(pool, Job("mallory")) for _ in range(3)], JobCarriers(pool, Job("alice"))
    try:
        first, second, third = [await carrier(job) for job in mallory]
        assert stands(first, turns.WORK)
        assert stands(second, turns.of_job(1))
        assert stands(third, turns.of_job(2))
        assert stands(await carrier(alice), turns.WORK), "another tenant's first"
        await mallory[0].close()
        assert stands(await carrier(mallory[0]), turns.WORK), "the first place was free again"
    finally:
        await asyncio.gather(*(job.close() for job in (*mallory, alice)))


@pytest.fixture
def spinning() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", SPINS], start_new_session=True)
    try:
        eventually(lambda: len(busy.family(process.pid)) == 2, what="its child")
        yield process.pid
    finally:
        for member in busy.family(process.pid):
            os.kill(member, 9)
        process.wait()


def test_a_cell_that_keeps_a_processor_busy_stands_behind_all(spinning: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "FORGOTTEN", 0.5)
    watched = busy.Busy()
    child = busy.family(spinning)[1]

    def look() -> bool:
        time.sleep(0.3)
        watched.look("clone-1", spinning)
        return watched.behind

    assert not look(), "once is nothing"
    assert eventually(look)
    assert stands(child, turns.HOG)
    os.kill(child, 9)
    assert eventually(lambda: not look())
    session = place(spinning)[1]
    assert session in {turns.WORK, None}
    if os.geteuid() == 0:
        assert stands(spinning, turns.WORK)
