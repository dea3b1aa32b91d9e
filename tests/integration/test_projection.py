"""The projection on a real nats-server: always the fold of the whole story, whoever folds and whatever is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.status.projection import Projection, State, encode
from services.status.rebuild import rebuild
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import Cancel, Expire, Expired
from shared.contract.jobs import CloneState, Phase, Status
from shared.ids import new_id
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, StatusProcess, eventually, nats_house, status_process

Dump = dict[str, dict[str, bytes]]


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


async def told(bus: Bus, job_id: str) -> State:
    """What the log says, folded here from the first message."""
    return State().after(await Projection(bus).behind(job_id, 0))


async def dump(bus: Bus) -> Dump:
    """Every byte of both buckets."""
    found: Dump = {}
    for name in (streams.JOBS, streams.CLONES):
        bucket = await bus.js.key_value(name)
        found[name] = {key: (await bucket.get(key)).value or b"" for key in await bucket.keys()}
    return found


async def caught_up(bus: Bus) -> bool:
    """Nothing left to fold. An acknowledgement is sent only when the state is stored."""
    info = await bus.js.consumer_info("CLONES", streams.PROJECTOR)
    return info.num_pending == 0 and info.num_ack_pending == 0


async def metric(status: StatusProcess, name: str) -> float:
    async with httpx2.AsyncClient(base_url=status.url) as client:
        text = (await client.get("/metrics")).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{{"))


async def test_a_job_is_projected_from_submit_to_the_end_of_its_clone(house: NatsHouse, bus: Bus) -> None:
    async with status_process(house):
        played = await Simulated(bus, name="Café").play()

        async def clone_is(wanted: CloneState) -> State | None:
            found = await state(bus, played.job_id)
            return found if found.clone is not None and found.clone.state is wanted else None

        await eventually(lambda: caught_up(bus))
        found = await eventually(lambda: clone_is(CloneState.ACTIVE))
        assert found.job.status is Status.COMPLETED
        assert (found.job.progress, found.job.name) == (100, "Café")
        await bus.publish(Expire(job_id=played.job_id, reason="deleted"))
        await eventually(lambda: clone_is(CloneState.DELETING))
        await bus.publish(Expired(job_id=played.job_id, reason="deleted"))
        gone = await eventually(lambda: clone_is(CloneState.DELETED))
    assert gone.clone.sealed_password == ""
    assert gone.job.status is Status.COMPLETED


async def test_killing_a_replica_loses_nothing_and_leaves_the_exact_fold(house: NatsHouse, bus: Bus) -> None:
    async with status_process(house) as doomed, status_process(house):
        jobs = [Simulated(bus, pace=0.01) for _ in range(20)]
        playing = asyncio.gather(*(job.play() for job in jobs))
        await eventually(
            lambda: metric(doomed, "siteferry_projection_messages_total"), what="work at the first replica"
        )
        doomed.kill()
        await playing
        await eventually(lambda: caught_up(bus), timeout=20, what="catching up")
    for job in jobs:
        stored, expected = await state(bus, job.job_id), await told(bus, job.job_id)
        assert stored.job == expected.job
        assert stored.clone == expected.clone
        assert stored.job is not None
        assert stored.job.status is Status.COMPLETED


async def test_a_backlog_from_before_the_start_is_folded_and_replay_changes_nothing(house: NatsHouse, bus: Bus) -> None:
    jobs = [Simulated(bus, ticks=20) for _ in range(40)]
    await asyncio.gather(*(job.play() for job in jobs))
    async with status_process(house):
        await eventually(lambda: caught_up(bus), timeout=20)
        before = await dump(bus)
        revisions = {job.job_id: (await state(bus, job.job_id)).job_revision for job in jobs}
        await bus.js.delete_consumer("CLONES", streams.PROJECTOR)
        await streams.install(bus.js)  # begins at the first message again
        await eventually(lambda: caught_up(bus), timeout=20)
    assert await dump(bus) == before
    assert {job.job_id: (await state(bus, job.job_id)).job_revision for job in jobs} == revisions
    assert len(before[streams.JOBS]) == len(before[streams.CLONES]) == 40


async def test_messages_out_of_order_and_between_replicas_do_not_lose_a_state(house: NatsHouse, bus: Bus) -> None:
    played = Simulated(bus)
    async with status_process(house), status_process(house), status_process(house):
        await played.submit()
        await played.start()
        await asyncio.gather(
            played.run_steps(), *(bus.publish(Cancel(job_id=played.job_id, by=str(n))) for n in range(20))
        )
        await eventually(lambda: caught_up(bus))
    stored = (await state(bus, played.job_id)).job
    assert stored is not None
    assert stored == (await told(bus, played.job_id)).job
    assert stored.phase is Phase.CANCELLING


async def test_unreadable_messages_are_counted_and_stop_nothing(house: NatsHouse, bus: Bus) -> None:
    job_id = new_id("clone")
    async with status_process(house) as status:
        await bus.js.publish(f"clone.progress.normal.{job_id}", b'{"password": "hunter2"')
        await bus.js.publish(f"clone.progress.normal.{job_id}", b"\xff\xfe")
        await bus.js.publish("clone.progress.normal.not-an-id", b"{}")
        await bus.js.publish("clone.strange", b"{}")
        await bus.js.publish(f"clone.invented.normal.{job_id}", b"{}")
        played = await Simulated(bus, job_id=job_id).play()
        await eventually(lambda: caught_up(bus))
        assert await metric(status, "siteferry_projection_skipped_total") == 5
        assert "hunter2" not in status.text()
    stored = (await state(bus, played.job_id)).job
    assert stored is not None
    assert stored.status is Status.COMPLETED


async def test_a_restarted_server_is_followed_within_seconds(house: NatsHouse, bus: Bus) -> None:
    async with status_process(house) as status:
        first = await Simulated(bus).play()
        await eventually(lambda: caught_up(bus))
        house.kill()
        async with httpx2.AsyncClient(base_url=status.url) as client:

            async def answers(path: str, code: int) -> bool:
                return (await client.get(path)).status_code == code

            await eventually(lambda: answers("/readyz", 503), what="not being ready")
            assert await answers("/livez", 200)
            house.start()
            await eventually(lambda: bus.nc.is_connected)
            second = await Simulated(bus).play()
            await eventually(lambda: caught_up(bus), timeout=8, what="folding after the restart")
            await eventually(lambda: answers("/readyz", 200))
    for played in (first, second):
        job = (await state(bus, played.job_id)).job
        assert job is not None
        assert job.status is Status.COMPLETED


async def test_rebuild_gives_the_same_bytes(house: NatsHouse, bus: Bus) -> None:
    jobs = [Simulated(bus) for _ in range(10)]
    async with status_process(house):
        await asyncio.gather(*(job.play() for job in jobs))
        await bus.publish(Expire(job_id=jobs[0].job_id, reason="deleted"))
        await eventually(lambda: caught_up(bus))
    before = await dump(bus)

    for name in (streams.JOBS, streams.CLONES):
        await bus.js.delete_key_value(name)
    report = await rebuild(bus)
    assert (report.jobs, report.clones, report.changed) == (10, 10, 10)
    assert await dump(bus) == before

    bucket = await bus.js.key_value(streams.JOBS)
    wrong = (await state(bus, jobs[1].job_id)).job
    assert wrong is not None
    await bucket.put(jobs[1].job_id, encode(wrong.model_copy(update={"status": Status.FAILED, "seq": 10**6})))
    await bucket.put(jobs[2].job_id, b"not a job")
    await bucket.put(new_id("clone"), encode(wrong))  # a job nobody ever asked for
    await bucket.delete(jobs[3].job_id)
    report = await rebuild(bus)
    assert (report.changed, report.removed) == (4, 1)
    assert await dump(bus) == before


async def test_rebuild_while_jobs_run_ends_in_the_exact_fold(house: NatsHouse, bus: Bus) -> None:
    async with status_process(house):
        jobs = [Simulated(bus, pace=0.005) for _ in range(10)]
        playing = asyncio.gather(*(job.play() for job in jobs))
        for _ in range(5):
            await rebuild(bus)
        await playing
        await eventually(lambda: caught_up(bus))
    for job in jobs:
        assert (await state(bus, job.job_id)).job == (await told(bus, job.job_id)).job
