"""`/ws` over real sockets, a real nats-server and a real status process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import httpx2
import pytest
import websockets

from services.status.live.channel import REPLAY
from services.status.projection import Projection
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.subjects import Lane
from shared.ids import new_id
from tests.live.client import Live, check_order, live
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, StatusProcess, eventually, nats_house, status_process

EDGE = "http://localhost:8080"
CROWD = 1000


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


async def test_snapshot_then_every_change_to_the_end(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus, name="Café").submit()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="a", job=job.job_id)
        snap = await client.next()
        assert snap["type"] == "snap"
        assert (snap["job"]["status"], snap["job"]["name"], snap["n"]) == ("pending", "Café", 1)
        await job.start()
        await job.run_steps()
        await job.complete()
        end = await client.until("end")
        assert end["state"] == "completed"
        last = client.frames[-2]
        assert last["event"]["type"] == "completed"
        assert last["event"]["job"]["result"]["username"] == "siteferry"
        check_order(client.frames, "a")
        progress = [frame["event"]["job"]["progress"] for frame in client.frames if frame["type"] == "ev"]
        assert progress == sorted(progress)


async def test_no_frame_holds_a_password_even_sealed(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus).submit()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="a", job=job.job_id)
        await client.say(type="sub", id="b", list="jobs")
        await client.say(type="sub", id="c", list="clones")
        await job.start()
        await job.complete()
        await client.until("end")
        await client.say(type="sub", id="again", job=job.job_id)
        await client.until("snap", id="again")
        assert "passw" not in json.dumps(client.frames)


async def test_a_job_is_found_the_moment_it_was_accepted(bus: Bus, status: StatusProcess) -> None:
    async with live(status.ws_url) as client:
        for number in range(20):
            job = await Simulated(bus).submit()
            await client.say(type="sub", id=str(number), job=job.job_id)
            assert (await client.next())["type"] == "snap"


async def test_a_client_that_comes_back_gets_exactly_what_it_missed(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus).submit()
    await job.start()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="a", job=job.job_id)
        snap = await client.next()
    cursor = {"seq": snap["seq"], "epoch": snap["epoch"]}
    await job.run_steps()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="a", job=job.job_id, after=cursor)
        client.frames.append(snap)
        await job.complete()
        await client.until("end")
        assert [frame for frame in client.frames[2:] if frame["type"] == "snap"] == []
        check_order(client.frames, "a")


async def test_a_client_that_missed_too_much_or_another_life_gets_a_snapshot(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus).submit()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="a", job=job.job_id)
        snap = await client.next()
    for _ in range(REPLAY + 1):
        await job.start()
    await job.complete()
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="first", job=job.job_id)
        await client.until("end", id="first")
        for number, after in enumerate(
            [
                {"seq": snap["seq"], "epoch": snap["epoch"]},
                {"seq": 10**9, "epoch": snap["epoch"]},
                {"seq": snap["seq"], "epoch": "another"},
            ]
        ):
            await client.say(type="sub", id=str(number), job=job.job_id, after=after)
            fresh = await client.until("snap", id=str(number))
            assert fresh["job"]["status"] == "completed"
            await client.until("end", id=str(number))


async def test_two_replicas_say_the_same(house: NatsHouse, bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus, pace=0.005).submit()
    async with status_process(house) as other, live(status.ws_url) as one, live(other.ws_url) as two:
        for client in (one, two):
            await client.say(type="sub", id="a", job=job.job_id)
        await job.start()
        await job.run_steps()
        await job.complete()
        for client in (one, two):
            await client.until("end")
            check_order(client.frames, "a")
    assert one.frames[-2]["event"] == two.frames[-2]["event"]


async def test_lists_show_new_jobs_and_the_life_of_clones(bus: Bus, status: StatusProcess) -> None:
    old = await Simulated(bus, name="old").play()

    async def stored() -> bool:
        job = (await Projection(bus).load(old.job_id)).job
        return job is not None and job.status.terminal

    await eventually(stored)
    async with live(status.ws_url) as client:
        await client.say(type="sub", id="j", list="jobs")
        await client.say(type="sub", id="c", list="clones")
        jobs = await client.until("snap", id="j")
        clones = await client.until("snap", id="c")
        assert jobs["jobs"][0]["job_id"] == old.job_id
        assert jobs["jobs"][0]["status"] == "completed"
        assert clones["clones"][0]["clone_id"] == old.job_id
        new = await Simulated(bus, name="new", lane=Lane.HIGH).submit()
        frame = await client.until("ev", id="j")
        assert (frame["event"]["job"]["job_id"], frame["event"]["job"]["priority"]) == (new.job_id, "high")
        await new.start()
        await new.complete()
        frame = await client.until("ev", id="c")
        assert frame["event"]["clone"]["state"] == "active"
        before = frame["event"]["clone"]["expires_at"]
        await new.extend(timedelta(days=2))
        frame = await client.until("ev", id="c")
        assert frame["event"]["clone"]["expires_at"] > before
        await client.say(type="sub", id="one", job=new.job_id)
        snap = await client.until("snap", id="one")
        assert snap["job"]["result"]["expires_at"] == frame["event"]["clone"]["expires_at"]


async def closed_with(status: StatusProcess, *messages: str, hello: bool = True) -> int:
    async with live(status.ws_url, hello=hello) as client:
        for message in messages:
            await client.socket.send(message)
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await client.next()
        assert client.socket.close_code is not None
        return client.socket.close_code


async def test_rules_and_their_close_codes(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus).submit()
    sub = json.dumps({"type": "sub", "id": "a", "job": job.job_id})
    assert await closed_with(status, "not json") == 4400
    assert await closed_with(status, '{"type": "dance"}') == 4400
    assert await closed_with(status, '{"type": "hello", "v": 1}') == 4400
    assert await closed_with(status, '{"type": "hello", "v": 99}', hello=False) == 4400
    assert await closed_with(status, '{"type":"sub","id":"a"}') == 4400
    assert await closed_with(status, sub, hello=False) == 4401
    assert await closed_with(status, sub, sub) == 4409
    assert await closed_with(status, *['{"type":"ping"}'] * 400) == 4429
    assert await closed_with(status, '{"type":"ping","k":"' + "x" * 20_000 + '"}') == 1009


async def test_unknown_jobs_too_many_subscriptions_unsub_and_ping(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus).submit()
    async with live(status.ws_url) as client:
        for wrong in (new_id("clone"), "../../etc/passwd", "clone-*"):
            await client.say(type="sub", id="x", job=wrong)
            assert (await client.next())["code"] == "not_found"
        await client.say(type="ping", k=7)
        assert await client.next() == {"type": "pong", "k": 7}
        for number in range(51):
            await client.say(type="sub", id=str(number), job=job.job_id)
        assert (await client.until("err"))["code"] == "too_many"
        for number in range(50):
            await client.say(type="unsub", id=str(number))
        await client.say(type="sub", id="x", job=job.job_id)
        assert (await client.next())["type"] == "snap"
        await job.start()
        assert (await client.next())["id"] == "x"


@pytest.mark.parametrize(
    "origin",
    [
        "http://clone-0k3v9x2m7c1p5t8w.localhost:8080",
        "http://localhost:8081",
        "https://localhost:8080",
        "http://evil.example",
        "null",
    ],
)
async def test_other_origins_are_refused(status: StatusProcess, origin: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with live(status.ws_url, origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_the_edge_s_own_pages_are_welcome(status: StatusProcess) -> None:
    for origin in (EDGE, "http://127.0.0.1:8080"):
        async with live(status.ws_url, origin=origin):
            pass


async def test_where_keys_are_needed_nobody_sees_a_job_without_one(house: NatsHouse, bus: Bus) -> None:
    job = await Simulated(bus).submit()
    async with status_process(house, api_keys_file="/nowhere/keys") as guarded:
        async with live(guarded.ws_url, hello=False) as client:
            await client.say(type="hello", v=1)
            with pytest.raises(websockets.ConnectionClosed):
                await client.next()
            assert client.socket.close_code == 4401
        async with httpx2.AsyncClient(base_url=guarded.url) as client:
            for accept in ("text/event-stream", "application/json"):
                answer = await client.get(f"/jobs/{job.job_id}/events", headers={"Accept": accept})
                assert answer.status_code == 401


async def test_a_client_that_says_nothing_is_sent_away(status: StatusProcess) -> None:
    began = time.monotonic()
    async with live(status.ws_url, hello=False) as client:
        with pytest.raises(websockets.ConnectionClosed):
            await client.next(timeout=15)
        assert client.socket.close_code == 4408
    assert time.monotonic() - began < 12


def small_socket(status: StatusProcess) -> socket.socket:
    """A connection whose kernel takes little, so that being frozen shows soon."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.connect(("127.0.0.1", status.port))
    return sock


async def test_a_frozen_client_delays_nobody_and_comes_back_to_the_truth(bus: Bus, status: StatusProcess) -> None:
    jobs = [await Simulated(bus, ticks=30).submit() for _ in range(15)]

    async def watch_all(client: Live) -> None:
        for job in jobs:
            await client.say(type="sub", id=job.job_id, job=job.job_id)

    async with live(status.ws_url) as fast, live(status.ws_url, sock=small_socket(status)) as frozen:
        await watch_all(fast)
        await watch_all(frozen)
        frozen.socket.transport.pause_reading()  # the kernel's buffers fill, then the server's queue

        async def follow() -> list[float]:
            ended, delays = set[str](), []
            while len(ended) < len(jobs):
                frame = await fast.next(10)
                if frame["type"] == "ev":
                    stamp = frame["event"]["job"]["updated_at"]
                    delays.append(time.time() - _seconds(stamp))
                if frame["type"] == "end":
                    ended.add(frame["id"])
            return delays

        following = asyncio.create_task(follow())

        async def play(job: Simulated) -> None:
            await job.start()
            await job.run_steps()
            await job.complete()

        await asyncio.gather(*(play(job) for job in jobs))
        delays = sorted(await following)
        assert delays[int(len(delays) * 0.99)] < 8.0, "whoever waited for the frozen one would wait without end"
        frozen.socket.transport.resume_reading()
        ended: dict[str, str] = {}
        while len(ended) < len(jobs):
            frame = await frozen.next(10)
            if frame["type"] == "end":
                ended[frame["id"]] = frame["state"]
        assert set(ended.values()) == {"completed"}
        for job in jobs:
            check_order(fast.frames, job.job_id)
        fewer = sum(frame["type"] == "ev" for frame in frozen.frames)
        assert fewer < sum(frame["type"] == "ev" for frame in fast.frames)


async def test_sigterm_with_a_thousand_clients_exits_at_once_and_all_are_back_soon(house: NatsHouse, bus: Bus) -> None:
    job = await Simulated(bus).submit()
    await job.start()
    sub = {"type": "sub", "id": "a", "job": job.job_id}
    async with status_process(house) as status, contextlib.AsyncExitStack() as stack:

        async def enter() -> Live:
            client = await stack.enter_async_context(live(status.ws_url, close_timeout=1, open_timeout=30))
            await client.say(**sub)
            await client.until("snap", timeout=30)
            return client

        clients: list[Live] = []
        while len(clients) < CROWD:
            clients += await asyncio.gather(*(enter() for _ in range(50)))
        frozen, *awake = clients
        frozen.socket.transport.pause_reading()  # one that will not answer
        stopping = asyncio.create_task(status.stop())
        waits = [(await client.until("bye"))["reconnect_ms"] for client in awake]
        seconds = await stopping
        assert status.process.returncode == 0, status.text()
        for client in awake:
            with contextlib.suppress(websockets.ConnectionClosed):
                await client.next()
            assert client.socket.close_code == 1012
        assert "Traceback" not in status.text()
        frozen.socket.transport.abort()
    assert seconds < 6  # 3 on a machine with nothing else to do
    assert max(waits) - min(waits) > 4000
    assert len(set(waits)) > CROWD / 2
    async with status_process(house, port=status.port) as restarted, contextlib.AsyncExitStack() as stack:
        began, after = time.monotonic(), {"seq": awake[0].frames[-2]["seq"], "epoch": awake[0].frames[-2]["epoch"]}

        async def come_back(wait_ms: int) -> Live:
            await asyncio.sleep(wait_ms / 1000)
            client = await stack.enter_async_context(live(restarted.ws_url, open_timeout=10))
            await client.say(**sub, after=after)
            await client.say(type="ping", k="back")
            await client.until("pong", timeout=30)
            return client

        back = await asyncio.gather(*(come_back(wait) for wait in waits))
        assert time.monotonic() - began < 20  # 10 on a machine with nothing else to do
        await job.complete()
        for client in back:
            await client.until("end", timeout=30)


async def test_a_restarted_server_is_said_and_nothing_is_missed() -> None:
    with nats_house() as house:
        async with house.bus() as bus, status_process(house) as status, live(status.ws_url) as client:
            job = await Simulated(bus).submit()
            await client.say(type="sub", id="a", job=job.job_id)
            await client.until("snap")
            await job.start()
            await client.until("ev")
            house.kill()
            assert (await client.until("upstream"))["ok"] is False
            house.start()
            await eventually(lambda: bus.nc.is_connected)
            await job.run_steps()
            await job.complete()
            await client.until("end", timeout=20)
            check_order(client.frames, "a")


async def test_a_recreated_stream_forces_a_snapshot() -> None:
    with nats_house() as house:
        async with house.bus() as bus, status_process(house) as status, live(status.ws_url) as client:
            job = await Simulated(bus).submit()
            for _ in range(3):
                await job.start()
            await client.say(type="sub", id="a", job=job.job_id)
            first = await client.until("snap")
            await bus.js.delete_stream("CLONES")
            for bucket in (streams.JOBS, streams.CLONES):
                await bus.js.delete_key_value(bucket)
            await streams.install(bus.js)
            again = await Simulated(bus, job_id=job.job_id).submit()
            fresh = await client.until("snap", timeout=20)
            assert fresh["epoch"] != first["epoch"]
            assert fresh["job"]["status"] == "pending"
            assert fresh["seq"] < first["seq"]
            await again.start()
            await client.until("ev")


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
