"""A crash at every single write the engine makes for a job, right before it and right after: the job ends once.

The crash is an exception nothing in the engine catches: no removal, no release, no acknowledgement, as if the process
were gone. The server, its redelivery and its expiries are real.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from shared.bus.connection import Bus
from shared.contract.events import JobEvent
from shared.contract.jobs import Status
from shared.contract.subjects import TERMINAL
from tests.engine.lab import fast, lab
from tests.engine.light import Plan

PLANS = {
    "success after a retry": (Plan(steps=2, ticks=1, fail={"s1": 1}), Status.COMPLETED),
    "failure": (Plan(steps=2, ticks=1, hopeless="s2"), Status.FAILED),
}


class Crash(BaseException):
    """The process is gone."""


class Crashing:
    """A JetStream context that counts the writes about each job, and dies at a chosen one, once."""

    def __init__(self, js: Any) -> None:
        self._js = js
        self.writes: Counter[str] = Counter()
        self.doom: dict[str, tuple[int, str]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._js, name)

    async def publish(self, subject: str, *arguments: Any, **options: Any) -> Any:
        job = subject.rpartition(".")[2]
        self.writes[job] += 1
        number, when = self.doom.get(job, (0, ""))
        if self.writes[job] == number and when == "before":
            raise Crash
        ack = await self._js.publish(subject, *arguments, **options)
        if self.writes[job] == number and when == "after":
            raise Crash
        return ack


@pytest.mark.parametrize(("plan", "status"), PLANS.values(), ids=PLANS)
async def test_a_crash_at_any_write_changes_nothing_about_the_end(plan: Plan, status: Status) -> None:
    made: list[Crashing] = []

    def crashing(bus: Bus) -> None:
        made.append(Crashing(bus.js))
        bus.js = made[0]  # type: ignore[assignment]

    async with lab() as engine, engine.worker(slots=100, settings=fast(progress_interval=60.0), prepare=crashing):
        [js] = made
        whole = await engine.submit(plan)
        await engine.ended(whole)
        await engine.all_acknowledged()
        total = js.writes[whole]
        assert total >= 8, "what a job writes, with a retry: else nothing is tested"
        dooms = [(number, when) for number in range(1, total + 1) for when in ("before", "after")]
        jobs = {}
        for doom in dooms:
            job = await engine.submit(Plan(**{**vars(plan)}))
            jobs[job] = doom
            js.doom[job] = doom
        for job in jobs:
            await engine.ended(job, timeout=60)
        await engine.all_acknowledged(timeout=30)
        stories = await engine.all_told()
        for job, doom in jobs.items():
            ends = [m for _, m in stories[job] if isinstance(m, JobEvent) and m.type in TERMINAL]
            assert [end.job.status for end in ends] == [status], f"crash {doom}"
            # a failure forgotten in a crash is fine; a crash counted as a failure is not
            assert ends[0].job.attempt <= 1 + sum(plan.fail.values()), f"crash {doom}"
            left = {f"{job}.s1", f"{job}.s2"} if status is Status.COMPLETED else set()
            assert engine.ledger.things(job) == left, f"crash {doom}"
            if status is Status.COMPLETED:
                made_things = engine.ledger.did(job, "make")
                assert sorted(made_things) == ["s1", "s2"], f"crash {doom}"
