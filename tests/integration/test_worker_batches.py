"""Jobs of a batch in a worker's hands: cancelled together, and only by a cancel that was stored."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from shared.bus.batch import Outgoing, publish_batch
from shared.contract.events import Cancel
from shared.contract.jobs import Status
from shared.contract.subjects import EventType, Lane, subject
from tests.engine.lab import Lab, lab
from tests.engine.light import Plan
from tests.live.stack import eventually


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as engine:
        yield engine


def wish(job_id: str) -> Outgoing:
    where = subject("clone", EventType.CANCEL, Lane.NORMAL, job_id)
    return Outgoing(where, Cancel(job_id=job_id).model_dump_json().encode())


async def holding(engine: Lab, job_id: str) -> None:
    async def there() -> bool:
        job = await engine.job(job_id)
        return job.status is Status.RUNNING and job.step == "s1"

    await eventually(there, what="the running job")


async def test_a_cancel_of_a_batch_that_came_to_nothing_ends_no_job(engine: Lab) -> None:
    async with engine.worker():
        job_id, other = await engine.submit(Plan(hold="s1")), await engine.submit(Plan(hold="s1"))
        await holding(engine, job_id)
        await holding(engine, other)
        half = wish(job_id)  # as of a gateway that died before the commit
        headers = {"Nats-Batch-Id": "half", "Nats-Batch-Sequence": "1"}
        await engine.bus.nc.publish(half.subject, half.payload, headers=headers)
        await engine.cancel(other)
        assert (await engine.ended(other, timeout=4)).status is Status.CANCELLED
        (engine.things / "go").touch()
        assert (await engine.ended(job_id)).status is Status.COMPLETED


async def test_a_batch_is_cancelled_while_some_of_it_runs(engine: Lab) -> None:
    jobs = [await engine.submit(Plan(hold="s1")) for _ in range(20)]
    async with engine.worker(slots=4):  # one of which is kept for high priority

        async def three() -> bool:
            return [(await engine.job(job_id)).status for job_id in jobs].count(Status.RUNNING) == 3

        await eventually(three, what="running jobs")
        began = time.monotonic()
        await publish_batch(engine.bus.js, [wish(job_id) for job_id in jobs], timeout=5)
        for job_id in jobs:
            assert (await engine.ended(job_id, timeout=10)).status is Status.CANCELLED
        assert time.monotonic() - began < 10
        await engine.all_acknowledged()
    assert all(engine.ledger.things(job_id) == set() for job_id in jobs)
