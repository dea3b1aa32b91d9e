"""The projection on a real nats-server: always the fold of the whole story, whoever folds and whatever is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.status.projection import Projection, State
from shared import streams
from shared.bus import Bus
from shared.jobs import CloneState, Status
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, eventually, nats_house, status_process


@pytest.fixture
async def house() -> AsyncIterator[NatsHouse]:
    with nats_house() as house:
        yield house


@pytest.fixture
async def bus(house: NatsHouse) -> AsyncIterator[Bus]:
    async with house.bus() as bus:
        yield bus


async def state(bus: Bus, job_id: str) -> State:
    return await Projection(bus).load(job_id)


async def status_is(bus: Bus, job_id: str, wanted: Status) -> bool:
    job = (await state(bus, job_id)).job
    return job is not None and job.status is wanted


async def test_a_job_is_projected_from_submit_to_the_clone(house: NatsHouse, bus: Bus) -> None:
    async with status_process(house):
        played = await Simulated(bus, name="Café").play()
        await eventually(lambda: status_is(bus, played.job_id, Status.COMPLETED))
        found = await state(bus, played.job_id)
    assert found.job is not None
    assert found.job.progress == 100
    assert found.job.name == "Café"
    assert found.clone is not None
    assert found.clone.state is CloneState.ACTIVE
    info = await bus.js.consumer_info("CLONES", streams.PROJECTOR)
    assert info.num_pending == 0
