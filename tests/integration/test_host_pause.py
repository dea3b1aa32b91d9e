"""A host that answers Retry-After: the jobs that wait for it, and those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.contract.events import CloneRequested
from shared.contract.subjects import Lane
from shared.engine.limits import Permits
from shared.engine.settings import Limits
from shared.ids import new_id
from tests.engine.lab import Lab, lab


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


def permits(engine: Lab, source: str) -> Permits:
    job_id = new_id("clone")
    command = CloneRequested(job_id=job_id, lane=Lane.NORMAL, source_url=source, secret_ref=job_id, ttl_minutes=60)
    return Permits(engine.bus, command, Limits(), ttl=30, since=1)


async def test_work_on_a_host_waits_as_long_as_it_asks(engine: Lab) -> None:
    asked, beside = permits(engine, "https://shop.test/blog"), permits(engine, "https://SHOP.test")
    other = permits(engine, "https://other.test")
    assert await asked.acquire() is None
    await asked.pause(3600)
    await asked.pause(1800.5)
    full = await beside.acquire()
    assert full is not None
    assert full.scope.why == "Waiting: shop.test has asked for a pause"
    assert full.scope.reason == "limit:source"
    assert await other.acquire() is None


async def test_the_pause_ends_by_itself(engine: Lab) -> None:
    mine = permits(engine, "https://shop.test")
    await mine.pause(1)
    full = await mine.acquire()
    assert full is not None
    await mine.stand_in_line(full, 0.1)

    for _ in range(150):
        if await mine.acquire() is None:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the pause never ended")
