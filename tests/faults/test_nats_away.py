"""NATS is away for several leases long: nothing is accepted that can not be stored, browsers are told, work goes on."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator

import httpx2
import pytest

from shared.contract import streams
from shared.contract.jobs import Status
from tests.engine.lab import ACK_WAIT, Lab, lab
from tests.engine.light import Plan
from tests.faults.test_whole_service_faults import Town
from tests.live.client import check_order, live
from tests.live.stack import eventually

AWAY = 2.5 * ACK_WAIT
"""Seconds: as long, measured in leases, as three quarters of a minute in the product."""
LONG = Plan(steps=2, ticks=40, pause=0.15)
"""A job that is in the middle of its steps before, during and after."""


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with lab() as engine:
        made = Town(engine, random.Random(0))
        try:
            made.start()
            for status in made.status:
                await status.ready()
            yield made
        finally:
            made.stop()


class Clients:
    """Everybody who asks while NATS comes and goes."""

    def __init__(self, town: Town, client: httpx2.AsyncClient) -> None:
        self._town, self._client = town, client
        self.accepted: list[str] = []
        self.answers: list[tuple[bool, int]] = []
        """Whether NATS was away, and the status of each submission."""
        self.away = False

    async def submit(self) -> None:
        before = self.away
        wish = {"source_url": "https://a.example.com", "username": "a", "password": "b", "name": Plan(steps=1).name()}
        answer = await self._client.post("/clone", json=wish)
        if before is self.away:
            self.answers.append((self.away, answer.status_code))
        if answer.status_code == 202:
            self.accepted.append(answer.json()["job_id"])
        else:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0

    async def keep_submitting(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.submit()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_nothing_is_lost_and_everybody_is_told(town: Town, how: str) -> None:
    engine, [watcher, other] = town.engine, town.status
    async with httpx2.AsyncClient(base_url=town.url, timeout=10, trust_env=False) as client:
        await eventually(lambda: _ready(client), timeout=20, what="the gateway")
        long = await engine.submit(LONG)
        await eventually(lambda: "tick5" in [e.what for e in engine.ledger.entries(long)], what="the job's middle")
        clients, stop = Clients(town, client), asyncio.Event()
        async with live(watcher.ws_url) as browser:
            await browser.say(type="sub", id="j", job=long)
            await browser.until("snap", id="j")
            submitting = asyncio.create_task(clients.keep_submitting(stop))
            await eventually(lambda: len(clients.accepted) >= 3, what="jobs accepted before")
            clients.away = True
            await asyncio.to_thread(_take_away, engine, how)
            lost = await browser.until("upstream", timeout=10, ok=False)
            assert lost["ok"] is False
            await _asked_while_away(client, other.url, long)
            await asyncio.sleep(AWAY)
            await asyncio.to_thread(_bring_back, engine, how)
            clients.away = False
            await browser.until("upstream", timeout=15, ok=True)
            end = await browser.until("end", timeout=60, id="j")
            assert end["state"] == "completed"
            check_order(browser.frames, "j")
        await eventually(lambda: (False, 202) in clients.answers[-3:], timeout=20, what="accepting again")
        stop.set()
        await submitting
        assert {status for away, status in clients.answers if away} == {503}
        for job_id in clients.accepted:
            answer = await client.get(f"/jobs/{job_id}")
            assert answer.status_code == 200, f"{job_id} was accepted and is not found"
            assert (await engine.ended(job_id, timeout=30)).status is Status.COMPLETED
    job = await engine.job(long)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    made = engine.ledger.did(long, "make")
    assert made == ["s1", "s2"]
    await engine.all_acknowledged(timeout=30)
    info = await engine.bus.js.stream_info(f"KV_{streams.LEASES}")
    assert info.state.messages == 0


def _take_away(engine: Lab, how: str) -> None:
    if how == "killed":
        engine.house.kill()
    else:
        engine.house.process.popen.send_signal(signal.SIGSTOP)


def _bring_back(engine: Lab, how: str) -> None:
    if how == "killed":
        engine.house.start()
    else:
        engine.house.process.popen.send_signal(signal.SIGCONT)


async def _ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.HTTPError:
        return False


async def _asked_while_away(client: httpx2.AsyncClient, status_url: str, job: str) -> None:
    """Pollers are told to come back, and no old answer passes for a new one."""
    for path in (f"/jobs/{job}", "/jobs"):
        answer = await client.get(path)
        assert answer.status_code == 503, path
        assert answer.json()["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) > 0
    async with httpx2.AsyncClient(base_url=status_url, timeout=10, trust_env=False) as status:
        story = await status.get(f"/jobs/{job}/events", headers={"Accept": "application/json"})
        assert (story.status_code, story.headers["retry-after"]) == (503, "1")
        assert (await status.get("/livez")).status_code == 200
    async with live(status_url.replace("http", "ws") + "/ws") as late:
        assert (await late.until("upstream"))["ok"] is False
