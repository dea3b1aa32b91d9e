"""A clone is not exchanged for another state while a restore reads it, and the other way round; readers share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.contract.events import CloneRequested, RestoreRequested
from shared.contract.jobs import CloneAction
from shared.contract.subjects import Lane
from shared.engine.limits import READERS, Permits
from shared.engine.settings import Limits
from shared.ids import new_id
from tests.engine.lab import Lab, lab

CLONE = "http://clone-576x4ca65f17knz3.localhost:8080"


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


def about_a_clone(engine: Lab, action: CloneAction, clone: str = CLONE) -> Permits:
    job_id = new_id("clone")
    about = {"source_url": clone}
    if action is CloneAction.REFRESH:
        about = {"source_url": "https://shop.test", "target_url": f"{clone}/"}
    command = CloneRequested(
        job_id=job_id, lane=Lane.NORMAL, secret_ref=job_id, ttl_minutes=0, action=action, clone_id=job_id, **about
    )
    return Permits(engine.bus, command, Limits(), ttl=30, since=1)


def restore(engine: Lab, source: str = CLONE) -> Permits:
    job_id = new_id("restore")
    command = RestoreRequested(
        job_id=job_id, lane=Lane.NORMAL, source_url=source, target_url="https://shop.test", secret_ref=job_id
    )
    return Permits(engine.bus, command, Limits(), ttl=30, since=1)


async def test_a_reset_waits_until_no_restore_reads_the_clone(engine: Lab) -> None:
    first, second = restore(engine), restore(engine, f"{CLONE}/")
    assert await first.acquire() is None
    assert await second.acquire() is None
    reset = about_a_clone(engine, CloneAction.RESET)
    for reading in (first, second):
        full = await reset.acquire()
        assert full is not None
        assert full.scope.why == "Waiting: another job is at work on clone-576x4ca65f17knz3.localhost:8080"
        assert full.scope.reason == "limit:source"
        await reading.release()
    assert await reset.acquire() is None


async def test_whoever_would_read_a_clone_waits_until_it_is_reset(engine: Lab) -> None:
    reset = about_a_clone(engine, CloneAction.RESET)
    assert await reset.acquire() is None
    assert await restore(engine).acquire() is not None
    assert await about_a_clone(engine, CloneAction.KEEP).acquire() is not None
    assert await about_a_clone(engine, CloneAction.RESET).acquire() is not None
    other = CLONE.replace("576x", "576y")
    assert await about_a_clone(engine, CloneAction.RESET, other).acquire() is None
    await reset.release()
    assert await restore(engine).acquire() is None


async def test_while_a_clone_is_refreshed_nobody_else_reads_or_exchanges_it(engine: Lab) -> None:
    refresh = about_a_clone(engine, CloneAction.REFRESH)
    assert await refresh.acquire() is None
    for other in (
        restore(engine),
        *(about_a_clone(engine, action) for action in (CloneAction.RESET, CloneAction.KEEP)),
    ):
        assert await other.acquire() is not None
    assert await about_a_clone(engine, CloneAction.REFRESH).acquire() is not None
    await refresh.release()
    reader = restore(engine)
    assert await reader.acquire() is None
    assert await about_a_clone(engine, CloneAction.REFRESH).acquire() is not None


async def test_a_reset_that_finds_a_reader_holds_nothing(engine: Lab) -> None:
    readers = [restore(engine) for _ in range(READERS)]
    assert await readers[0].acquire() is None
    assert await about_a_clone(engine, CloneAction.RESET).acquire() is not None
    for reading in readers[1:]:
        assert await reading.acquire() is None
    assert await restore(engine).acquire() is not None
