"""Live push over a bad network: whatever happens to connections, clients end with what the projection says."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
import urllib.request
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from services.status.live import shape
from services.status.projection import Projection
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import Cancel, Expired, JobEvent, now
from shared.contract.jobs import Status
from shared.contract.subjects import EventType, subject
from tests.live.client import check_order, live
from tests.live.follower import Follower
from tests.live.proxy import fault_proxy
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, StatusProcess, eventually, nats_house, status_process

SEED = 20261124
JOBS = 32
CLIENTS = 12
MISSED = 10_000


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[NatsHouse]:
    with nats_house() as house:
        yield house


@pytest.fixture(scope="module")
async def bus(house: NatsHouse) -> AsyncIterator[Bus]:
    async with house.bus() as bus:
        yield bus


async def live_and_die(job: Simulated, dice: random.Random) -> None:
    """One of the lives a job can have."""
    await asyncio.sleep(dice.uniform(0, 4))
    await job.start()
    fate = dice.choice(["completes", "completes", "fails", "is cancelled", "fails once", "goes on", "ends and expires"])
    if fate in ("fails", "fails once", "goes on"):
        await job.run_steps(upto=dice.choice(["files", "database"]))
    elif fate == "is cancelled":
        await job.run_steps(upto="files")
        await job.bus.publish(Cancel(job_id=job.job_id, lane=job.lane))
        await job.emit(EventType.CANCELLED, status=Status.CANCELLED, message="Cancelled", finished_at=now())
    if fate in ("fails", "fails once"):
        await job.fail()
    if fate == "fails once":
        await job.start(attempt=2)
    if fate in ("completes", "fails once", "ends and expires"):
        await job.run_steps()
        await job.complete()
    if fate == "ends and expires":
        await job.bus.publish(Expired(job_id=job.job_id, lane=job.lane))


async def truth(bus: Bus, job_id: str) -> dict[str, Any] | None:
    """A job as the projection has it, once that holds the whole story."""
    projection = Projection(bus)
    state = await projection.load(job_id)
    if state.job is None or await projection.behind(job_id, state.seq):
        return None
    return shape.job_detail(state)


async def test_clients_behind_a_bad_network_end_with_what_the_projection_says(house: NatsHouse, bus: Bus) -> None:
    dice = random.Random(SEED)
    jobs = [await Simulated(bus, pace=0.15, ticks=5).submit() for _ in range(JOBS)]
    ids = [job.job_id for job in jobs]
    status = StatusProcess(house)
    try:
        await status.ready()
        async with fault_proxy(status.port, SEED) as proxy, asyncio.TaskGroup() as group:
            followers = [
                Follower(proxy.ws_url, dice.sample(ids, JOBS // 2), random.Random(SEED + n)) for n in range(CLIENTS)
            ]
            following = [group.create_task(follower.run()) for follower in followers]
            lives = [group.create_task(live_and_die(job, random.Random(SEED + n))) for n, job in enumerate(jobs)]
            await asyncio.sleep(dice.uniform(2, 4))  # in the middle of it
            status.kill()
            restarted = StatusProcess(house, port=status.port)
            status.close()
            status = restarted
            await asyncio.gather(*lives)
            proxy.calm = True
            final = {job_id: await eventually(lambda job_id=job_id: truth(bus, job_id), timeout=30) for job_id in ids}

            def same() -> bool:
                return all(
                    seen.job == final[job_id] and (seen.ended or not _over(seen.job))
                    for follower in followers
                    for job_id, seen in follower.jobs.items()
                )

            await eventually(same, timeout=60, what="the same state everywhere")
            for task in following:
                task.cancel()
    finally:
        status.close()
    assert {"reset", "dead", "delay"} <= set(proxy.done), proxy.done
    assert sum(follower.connections for follower in followers) > 2 * CLIENTS
    assert len({job["status"] for job in final.values()}) == 4


def _over(job: dict[str, Any]) -> bool:
    return bool(job["status"] in ("completed", "failed", "cancelled"))


async def flood(bus: Bus, job: Simulated, count: int) -> None:
    """Many events of one job, without waiting for each."""
    where = subject("clone", EventType.PROGRESS, job.lane, job.job_id)
    before = (await bus.js.stream_info(streams.STREAMS["clone"])).state.last_seq
    assert job.job is not None
    for number in range(1, count + 1):
        update = {"progress": number / count * 40, "message": f"File {number}", "step": "files", "steps": []}
        job.job = job.job.model_copy(update=update)
        event = JobEvent(type=EventType.PROGRESS, job_id=job.job_id, lane=job.lane, job=job.job)
        await bus.nc.publish(where, event.model_dump_json(exclude_none=True).encode())
        if number % 200 == 0:
            await bus.nc.flush()

    async def stored() -> bool:
        return (await bus.js.stream_info(streams.STREAMS["clone"])).state.last_seq >= before + count

    await eventually(stored, timeout=60)


async def test_ten_thousand_missed_events_are_a_few_frames(house: NatsHouse, bus: Bus) -> None:
    """A snapshot, or what is left of them once merged: in a process that knew the job all along, and in a new one."""
    job = await Simulated(bus).submit()
    await job.start()
    async with status_process(house) as status:
        async with live(status.ws_url) as client:
            await client.say(type="sub", id="a", job=job.job_id)
            snap = await client.until("snap")
        after = {"seq": snap["seq"], "epoch": snap["epoch"]}
        await flood(bus, job, MISSED)
        async with status_process(house) as fresh:
            for process in (status, fresh):
                async with live(process.ws_url) as client:
                    await client.say(type="sub", id="a", job=job.job_id, after=after)
                    while not client.frames or client.frames[-1].get("n", 0) < snap["n"] + MISSED:
                        await client.next(30)
                    frames = [snap, *(frame for frame in client.frames if frame.get("id") == "a")]
                    check_order(frames, "a")
                    assert len(frames) < MISSED / 50
                    last = frames[-1].get("job") or frames[-1]["event"]["job"]
                    assert last["message"] == f"File {MISSED}"
            async with live(status.ws_url) as one, live(fresh.ws_url) as two:
                for client in (one, two):
                    await client.say(type="sub", id="a", job=job.job_id, after=after)
                await job.complete()
                for client in (one, two):
                    assert (await client.until("end"))["state"] == "completed"


async def test_cursors_of_a_stream_that_is_no_more_get_a_snapshot_of_the_new_one() -> None:
    """While connected, and for those who come back with a cursor of the old one."""
    with nats_house() as house:
        async with house.bus() as bus, status_process(house) as status:
            job = await Simulated(bus).submit()
            await job.start()
            await job.run_steps(upto="files")
            dice = random.Random(SEED)
            async with fault_proxy(status.port, SEED) as proxy, asyncio.TaskGroup() as group:
                proxy.calm = True
                followers = [Follower(proxy.ws_url, [job.job_id], dice) for _ in range(3)]
                following = [group.create_task(follower.run()) for follower in followers]
                await eventually(lambda: all(follower.jobs[job.job_id].n >= 5 for follower in followers))
                old = followers[0].jobs[job.job_id]
                cursor = {"seq": old.seq, "epoch": old.epoch}
                await bus.js.delete_stream(streams.STREAMS["clone"])
                for bucket in (streams.JOBS, streams.CLONES):
                    await bus.js.delete_key_value(bucket)
                await streams.install(bus.js)
                again = await Simulated(bus, job_id=job.job_id, pace=0.02).submit()
                proxy.calm = False  # and connections break meanwhile
                await again.start()
                await again.run_steps()
                await again.complete()
                proxy.calm = True
                final = await eventually(lambda: truth(bus, job.job_id), timeout=20)
                await eventually(lambda: all(f.jobs[job.job_id].job == final for f in followers), timeout=30)
                assert cursor["epoch"] not in {follower.jobs[job.job_id].epoch for follower in followers}
                for task in following:
                    task.cancel()
            async with live(status.ws_url) as late:
                await late.say(type="sub", id="a", job=job.job_id, after=cursor)
                assert (await late.until("snap"))["job"] == final


def resident(status: StatusProcess) -> int:
    """Bytes of memory the process holds."""
    with open(f"/proc/{status.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_client_frozen_for_long_is_sent_away_costs_no_memory_and_comes_back_to_the_truth(
    house: NatsHouse, bus: Bus
) -> None:
    """It takes nothing for longer than the server waits; meanwhile another one sees everything in time."""
    jobs = [await Simulated(bus, ticks=10_000).submit() for _ in range(10)]
    for job in jobs:
        await job.start()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    async with status_process(house) as status, live(status.ws_url) as fast:
        sock.connect(("127.0.0.1", status.port))
        async with live(status.ws_url, sock=sock, ping_interval=None) as frozen:
            for client in (fast, frozen):
                for job in jobs:
                    await client.say(type="sub", id=job.job_id, job=job.job_id)
                for _ in jobs:
                    await client.until("snap")
            cursor = {frame["id"]: {"seq": frame["seq"], "epoch": frame["epoch"]} for frame in frozen.frames[1:]}
            frozen.socket.transport.pause_reading()
            playing = [asyncio.create_task(job.run_steps()) for job in jobs]
            began, before, delays = time.monotonic(), resident(status), list[float]()
            while "1013" not in await closed_codes(status):
                assert time.monotonic() - began < 40, "the frozen client was not sent away"
                for _ in range(50):
                    frame = await fast.next(10)
                    if frame["type"] == "ev":
                        updated = frame["event"]["job"]["updated_at"]
                        delays.append(now().timestamp() - _seconds(updated))
            assert resident(status) - before < 24 << 20
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)
            frozen.socket.transport.abort()
        delays.sort()
        assert delays[int(len(delays) * 0.99)] < 2.0
        for job in jobs:
            await job.complete()
            check_order(fast.frames, job.job_id)
        async with live(status.ws_url) as back:
            for job in jobs:
                await back.say(type="sub", id=job.job_id, job=job.job_id, after=cursor[job.job_id])
            ended = {(await back.until("end"))["state"] for _ in jobs}
            snapshots = sum(frame["type"] == "snap" for frame in back.frames)
        assert ended == {"completed"}
        assert snapshots == len(jobs)


async def closed_codes(status: StatusProcess) -> str:
    """Close codes the server has used so far, as its metrics tell."""
    return await asyncio.to_thread(_closed_codes, status)


def _closed_codes(status: StatusProcess) -> str:
    with urllib.request.urlopen(f"{status.url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return " ".join(line for line in lines if line.startswith("siteferry_live_closed_total"))


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
