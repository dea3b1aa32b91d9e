"""Restores in the projection and on live connections: the way back is a record of its own, folded like everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.status.projection import Projection, State, encode
from services.status.rebuild import rebuild
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.jobs import SnapshotState, Status
from shared.ids import new_id
from tests.live.client import live
from tests.live.restores import SimulatedRestore
from tests.live.stack import NatsHouse, StatusProcess, eventually, nats_house, status_process

BUCKETS = (streams.JOBS, streams.SNAPSHOTS)
Dump = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[NatsHouse]:
    with nats_house() as house:
        yield house


@pytest.fixture(scope="module")
async def bus(house: NatsHouse) -> AsyncIterator[Bus]:
    async with house.bus() as bus:
        yield bus


@pytest.fixture(scope="module")
async def status(house: NatsHouse, bus: Bus) -> AsyncIterator[StatusProcess]:
    async with status_process(house) as process:
        yield process


async def caught_up(bus: Bus) -> bool:
    info = await bus.js.consumer_info("RESTORES", streams.PROJECTOR)
    return info.num_pending == 0 and info.num_ack_pending == 0


async def dump(bus: Bus) -> Dump:
    found: Dump = {}
    for name in BUCKETS:
        bucket = await bus.js.key_value(name)
        found[name] = {key: (await bucket.get(key)).value or b"" for key in await bucket.keys()}
    return found


async def state(bus: Bus, job_id: str) -> State:
    return await Projection(bus).load(job_id)


async def test_a_snapshot_lives_from_its_restore_to_its_end(bus: Bus, status: StatusProcess) -> None:
    played = await SimulatedRestore(bus).play()

    async def snapshot_is(wanted: SnapshotState) -> State | None:
        found = await state(bus, played.job_id)
        return found if found.snapshot is not None and found.snapshot.state is wanted else None

    async def completed() -> State | None:
        found = await snapshot_is(SnapshotState.ACTIVE)
        return found if found is not None and found.job.status is Status.COMPLETED else None

    made = await eventually(completed)
    assert (made.snapshot.target_url, made.snapshot.tables) == (played.target_url, 9)
    await played.rolled_back()
    used = await eventually(lambda: snapshot_is(SnapshotState.ROLLED_BACK))
    assert used.snapshot.ended_at is not None
    await played.discarded()
    gone = await eventually(lambda: snapshot_is(SnapshotState.DISCARDED))
    assert gone.job.status is Status.COMPLETED
    assert gone.clone is None


async def test_rebuild_gives_the_same_bytes(bus: Bus, status: StatusProcess) -> None:
    jobs = [SimulatedRestore(bus) for _ in range(5)]
    await asyncio.gather(*(job.play() for job in jobs))
    dry = await SimulatedRestore(bus).submit(dry_run=True)
    await dry.start()
    await dry.complete(dry_run=True, snapshot_id=None)
    await jobs[0].rolled_back()
    await jobs[1].discarded()
    await eventually(lambda: caught_up(bus))
    before = await dump(bus)
    assert {job.job_id for job in jobs} <= set(before[streams.SNAPSHOTS])
    assert dry.job_id not in before[streams.SNAPSHOTS]

    snapshots = await bus.js.key_value(streams.SNAPSHOTS)
    wrong = (await state(bus, jobs[2].job_id)).snapshot
    assert wrong is not None
    await snapshots.put(
        jobs[2].job_id, encode(wrong.model_copy(update={"state": SnapshotState.DISCARDED, "seq": 10**6}))
    )
    await snapshots.put(jobs[3].job_id, b"not a snapshot")
    await snapshots.put(dry.job_id, encode(wrong))  # a dry run leaves none
    await snapshots.put(new_id("restore"), encode(wrong))  # of a restore nobody asked for
    await snapshots.delete(jobs[4].job_id)
    report = await rebuild(bus)
    assert (report.changed, report.snapshots) == (5, len(before[streams.SNAPSHOTS]))
    assert await dump(bus) == before

    for name in BUCKETS:
        await bus.js.delete_key_value(name)
    await rebuild(bus)
    assert await dump(bus) == before


async def test_live_connections_follow_a_restore_and_what_becomes_of_its_way_back(
    bus: Bus, status: StatusProcess
) -> None:
    job = await SimulatedRestore(bus).submit()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="j", list="jobs")
        listed = await client.until("snap", id="j")
        entry = next(item for item in listed["jobs"] if item["job_id"] == job.job_id)
        assert (entry["type"], entry["action"], entry["target_url"]) == ("restore", "restore", job.target_url)
        await client.say(type="sub", id="a", job=job.job_id)
        assert (await client.until("snap", id="a"))["job"]["status"] == "pending"
        await job.start()
        await job.complete()
        await client.until("end", id="a")
        done = next(frame for frame in reversed(client.frames) if frame["type"] == "ev" and frame["id"] == "a")
        result = done["event"]["job"]["result"]
        assert (result["snapshot_id"], result["snapshot_state"]) == (job.job_id, "active")
        assert result["plan"]["losses"] == {"comment": 1, "order": 2}
        await job.rolled_back(automatic=True)
        used = await client.until("ev", id="a")
        assert used["event"]["type"] == "rolled_back"
        assert used["event"]["job"]["result"]["snapshot_state"] == "rolled_back"


async def test_sse_and_the_journal_tell_restores_too(bus: Bus, status: StatusProcess) -> None:
    played = await SimulatedRestore(bus).play()
    await played.rolled_back()
    await played.discarded()
    rollback = await SimulatedRestore(bus).submit(action="rollback", snapshot_id=played.job_id)
    async with httpx2.AsyncClient(base_url=status.url, timeout=20) as client:
        accept = {"Accept": "application/json"}
        told = (await client.get(f"/jobs/{played.job_id}/events", headers=accept)).json()["events"]
        assert told[0]["message"] == "Restore of https://staging.example.com to https://shop.example.com requested"
        assert [line["message"] for line in told[-2:]] == ["Rolled back: asked for by local", "The way back is gone"]
        asked = (await client.get(f"/jobs/{rollback.job_id}/events", headers=accept)).json()["events"]
        assert asked[0]["message"] == "Roll-back of https://shop.example.com requested"
        async with client.stream(
            "GET", f"/jobs/{played.job_id}/events", headers={"Accept": "text/event-stream"}
        ) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: ") and "job" in (data := json.loads(line[6:])):
                    assert data["job"]["result"]["snapshot_state"] == "discarded"
                    break
