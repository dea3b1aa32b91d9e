"""What a workflow keeps of a job is that job's alone, and goes when the worker lets go of it, however that comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from shared.contract.events import CloneRequested
from shared.contract.jobs import Status
from shared.engine.worker import JobContext, StepSpec
from tests.engine.lab import Lab, lab
from tests.engine.light import LightWorkflow, Plan


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


class Purse:
    """Something nobody but its job may see."""

    living = 0

    def __init__(self) -> None:
        self.of = ""
        Purse.living += 1

    async def close(self) -> None:
        Purse.living -= 1


class Owning(LightWorkflow):
    """Each step looks into the job's purse before it works."""

    found: defaultdict[str, list[str]] = defaultdict(list)

    def steps(self, command: CloneRequested) -> Sequence[StepSpec]:
        return [self._owning(spec) for spec in super().steps(command)]

    def _owning(self, spec: StepSpec) -> StepSpec:
        async def run(context: JobContext) -> None:
            purse = context.belonging(Purse)
            self.found[context.job_id].append(purse.of)
            purse.of = f"{context.job_id} attempt {context.attempt}"
            await spec.run(context)

        return replace(spec, run=run)


async def test_an_attempt_begins_with_empty_hands_and_leaves_nothing(engine: Lab) -> None:
    engine.workflow = Owning(engine.things)
    async with engine.worker(slots=4):
        unlucky = [await engine.submit(Plan(steps=2, fail={"s2": 2})) for _ in range(3)]
        hopeless = await engine.submit(Plan(steps=2, hopeless="s2"))
        stopped = await engine.submit(Plan(steps=2, hold="s2"))
        for job_id in unlucky:
            job = await engine.ended(job_id, attempt=3, timeout=60)
            assert job.status is Status.COMPLETED
        assert (await engine.ended(hopeless, timeout=60)).status is Status.FAILED
        await engine.cancel(stopped)
        assert (await engine.ended(stopped, timeout=60)).status is Status.CANCELLED
        await engine.all_acknowledged()
    for job_id in unlucky:
        attempts = ["", f"{job_id} attempt 1", "", ""]
        assert Owning.found[job_id] == attempts, "of an earlier attempt or another job there is nothing in it"
    assert Purse.living == 0
