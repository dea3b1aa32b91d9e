"""Two replicas of the projector, served turn by turn: what one of them took and never stored is not left out.

The test is the server's hand: it decides which replica gets which message, and when each stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.status.projection import Projection, State
from services.status.projector import Projector
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.jobs import Status
from shared.contract.subjects import EventType
from tests.live.simulator import Simulated
from tests.live.stack import nats_house


class Hand:
    """Deals the projector's messages out one by one."""

    def __init__(self, pull: JetStreamContext.PullSubscription) -> None:
        self._pull = pull

    async def next(self, count: int = 1) -> list[Msg]:
        return await self._pull.fetch(count, timeout=5)

    async def deal(self, replica: Projector, count: int = 1) -> None:
        """Give the next messages to a replica, which stores what is to be stored at once."""
        await replica.take(await self.next(count))


@pytest.fixture
async def hand(bus: Bus) -> Hand:
    return Hand(await bus.js.pull_subscribe_bind(durable=streams.PROJECTOR, stream="CLONES"))


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    with nats_house() as house:
        async with house.bus() as bus:
            yield bus


async def states(bus: Bus, job_id: str) -> tuple[State, State]:
    """The job as it is stored, and what the log says."""
    projection = Projection(bus)
    return await projection.load(job_id), State().after(await projection.behind(job_id, 0))


async def test_what_another_replica_took_is_folded_though_progress_was_stored_late(bus: Bus, hand: Hand) -> None:
    ours, theirs, lost = Projector(bus, "clone"), Projector(bus, "clone"), Projector(bus, "clone")
    job, other = await Simulated(bus).submit(), Simulated(bus)
    await job.start()
    await hand.deal(ours, 2)
    await job.emit(EventType.PROGRESS, progress=10)
    await hand.deal(ours)  # only progress: it waits for its turn
    await job.emit(EventType.STARTED, progress=20)
    await hand.deal(theirs)  # stored, and our progress with it
    await job.complete()
    killed_with = await hand.next()  # by a replica that was killed before it stored anything
    await other.submit()
    await hand.deal(ours)  # the hole is noticed here
    await ours.store(everything=True)  # our progress has its turn; what is stored is newer already
    await job.emit(EventType.PROGRESS, progress=30, status=Status.RUNNING)  # a zombie of the job
    await hand.deal(ours)
    await ours.store(everything=True)
    await lost.take(killed_with)  # comes again after `ack_wait`
    stored, told = await states(bus, job.job_id)
    assert stored.job == told.job
    assert stored.clone == told.clone
    assert stored.clone is not None


async def test_a_state_being_stored_while_a_hole_was_noticed_is_not_taken_for_the_whole(bus: Bus, hand: Hand) -> None:
    ours, lost = Projector(bus, "clone"), Projector(bus, "clone")
    job, other = await Simulated(bus).submit(), Simulated(bus)
    await hand.deal(ours)
    await job.start()
    await job.complete()
    await other.submit()
    first, killed_with, later = await hand.next(), await hand.next(), await hand.next()
    storing = asyncio.create_task(ours.take(first))
    for _ in range(5):
        await asyncio.sleep(0)  # until it is on its way to the server
    await ours.take(later)
    await storing
    await job.emit(EventType.PROGRESS, progress=30, status=Status.RUNNING)
    await hand.deal(ours)
    await ours.store(everything=True)
    await lost.take(killed_with)
    stored, told = await states(bus, job.job_id)
    assert stored.job == told.job
    assert stored.clone == told.clone
    assert stored.clone is not None
