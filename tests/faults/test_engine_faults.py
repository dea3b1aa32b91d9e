"""A hundred jobs while workers and the nats-server are killed at seeded random moments: each ends once, as due."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

import pytest

from shared.contract import streams
from shared.contract.events import JobEvent
from shared.contract.jobs import Status
from shared.contract.subjects import LANES, TERMINAL, EventType
from shared.engine.records import Records
from shared.engine.worker import Limits
from tests.engine.lab import Lab, lab
from tests.engine.light import Entry, Plan
from tests.live.stack import eventually

JOBS = 100
WORKERS = 4
SLOTS = 3
ROUNDS = 14
"""Kills while jobs run."""
SEED = 20261123
OPTIONS = {"limits": Limits(per_source=6), "poison_cap": 1000}


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


def plans(rng: random.Random) -> list[Plan]:
    """Most succeed, some only at their second or third try, some fail for good, and some will be cancelled."""
    made = []
    for number in range(JOBS):
        plan = Plan(steps=3, ticks=rng.randint(3, 8), pause=rng.uniform(0.01, 0.06))
        if number % 5 == 1:
            plan.fail = {rng.choice(["s1", "s2", "s3"]): rng.randint(1, 2)}
        if number % 10 == 2:
            plan.hopeless = rng.choice(["s2", "s3"])
        made.append(plan)
    return made


class Reaper:
    """Kills and restarts."""

    def __init__(self, engine: Lab, rng: random.Random) -> None:
        self.engine, self.rng = engine, rng
        self.workers: list[subprocess.Popen[bytes]] = []
        self.kills: Counter[str] = Counter()

    def start(self) -> None:
        self.workers = [self.engine.spawn(slots=SLOTS, **OPTIONS) for _ in range(WORKERS)]

    async def strike(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.3, 1.2))
        if self.rng.random() < 0.25:
            self.kills["nats"] += 1
            await asyncio.to_thread(self.engine.house.kill)
            await asyncio.sleep(self.rng.uniform(0.0, 1.0))
            await asyncio.to_thread(self.engine.house.start)
            return
        number = self.rng.randrange(WORKERS)
        self.kills["worker"] += 1
        self.workers[number].kill()
        self.workers[number].wait()
        self.workers[number] = self.engine.spawn(slots=SLOTS, **OPTIONS)


async def test_every_job_ends_exactly_once_whatever_is_killed(engine: Lab) -> None:
    rng = random.Random(SEED)
    begun = time.monotonic()
    reaper = Reaper(engine, rng)
    reaper.start()
    made = plans(rng)
    lanes = [rng.choice(LANES) for _ in made]
    jobs = [
        await engine.submit(plan, lane=lane, source=f"http://{number % 4}.test")
        for number, (plan, lane) in enumerate(zip(made, lanes, strict=True))
    ]
    unwanted = {job for number, job in enumerate(jobs) if number % 10 == 3}
    for strike in range(ROUNDS):
        await reaper.strike()
        if strike == 2:
            for job, lane in zip(jobs, lanes, strict=True):
                if job in unwanted:
                    await engine.cancel(job, lane)

    await eventually(lambda: _all_ended(engine, jobs), timeout=60, what="the end of all jobs")
    await engine.all_acknowledged(timeout=30)
    took = time.monotonic() - begun
    print(f"{JOBS} jobs, kills {dict(reaper.kills)}, {took:.1f} s")
    assert reaper.kills["nats"] >= 2
    assert reaper.kills["worker"] >= 5
    await _check(engine, jobs, made, unwanted)


async def _all_ended(engine: Lab, jobs: list[str]) -> bool:
    infos = await engine.bus.js.stream_info("CLONES", subjects_filter="clone.*.*.*")
    ended = {name.split(".")[3] for name in infos.state.subjects or {} if EventType(name.split(".")[1]) in TERMINAL}
    return set(jobs) <= ended


async def _check(engine: Lab, jobs: list[str], made: list[Plan], unwanted: set[str]) -> None:
    stories = await engine.all_told()
    outcomes: Counter[Status] = Counter()
    ledger: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in engine.ledger.entries():
        ledger[entry.job].append(entry)
    for job, plan in zip(jobs, made, strict=True):
        events = [message for _, message in stories[job] if isinstance(message, JobEvent)]
        ends = [event for event in events if event.type in TERMINAL]
        assert len(ends) == 1, f"{job} ended {len(ends)} times"
        assert events[-1] is ends[0], f"{job} went on after its end"
        status = ends[0].job.status
        outcomes[status] += 1
        expected = {Status.FAILED if plan.hopeless else Status.COMPLETED}
        assert status in (expected | {Status.CANCELLED} if job in unwanted else expected)
        _check_effects(ledger[job], engine.ledger.things(job), job, plan, status)
        if job not in unwanted:
            assert ends[0].job.attempt <= 1 + sum(_hits(plan).values()), "a crash used up a try"
    assert outcomes[Status.FAILED] >= 8
    assert outcomes[Status.CANCELLED] >= 5
    for bucket in (streams.LEASES, streams.LIMITS):
        info = await engine.bus.js.stream_info(Records(engine.bus, bucket).stream, subjects_filter=">")
        left = [name for name in info.state.subjects or {} if ".line." not in name]
        assert left == [], f"left in {bucket}"
    assert "hunter2" not in engine.log()


def _hits(plan: Plan) -> dict[str, int]:
    """Failures a plan meets before its hopeless step."""
    return {step: times for step, times in plan.fail.items() if not plan.hopeless or step < plan.hopeless}


def _check_effects(entries: list[Entry], things: set[str], job: str, plan: Plan, status: Status) -> None:
    made = [entry.step for entry in entries if entry.what == "make"]
    assert len(made) == len(set(made)), f"{job}: a thing was made twice"
    if status is Status.COMPLETED:
        assert things == {f"{job}.s{n}" for n in (1, 2, 3)}
        assert [entry for entry in entries if entry.what == "undo"] == []
    else:
        assert things == set(), f"{job} left something behind"
    fences = [entry.fence for entry in entries]
    assert fences == sorted(fences), f"{job}: an older worker acted after a newer one"
