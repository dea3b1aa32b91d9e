"""Every form of call as a client library makes it, through Caddy, and through a proxy that cuts what takes too long.

Each client asks again as its users' code does: the same call with the same Idempotency-Key, until there is an answer.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import httpx2
import pytest

from services.gateway import reader
from services.gateway.settings import GatewaySettings, schedule
from services.gateway.sync import moved
from services.gateway.waiting import MOST, has_place
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.secrets.vault import KeyRing
from tests.integration.edge import caddy_before, impatient
from tests.integration.gateway_process import Gateway, launch, running_gateway, running_status, wait_ready
from tests.live.simulator import Simulated
from tests.live.stack import eventually

WAITS, PATIENCE = 6, 1.5
"""Seconds: as long as the gateway would hold a call, and as long as the proxy lets it."""
CLIENTS = 6
"""Of each form."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0, sync_seconds=WAITS) as running, running_status(running):
        yield running


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


class Client:
    """A client library: keeps a call's key over the connections it needs until it is answered."""

    def __init__(self, url: str, form: str, name: str) -> None:
        self.url, self.form, self.name = url, form, name
        self.asked = 0

    async def clone(self) -> str:
        """The clone's address, however long that takes."""
        body = {"source_url": "https://shop.example.com", "username": "a", "password": "p", "name": self.name}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if self.form == "v1":
            found = await self._until(lambda answer: answer.get("success"), "POST", "/api/v1/clone", body, headers)
            return str(found["clone_url"])
        path = "/clone?async=false" if self.form == "waiting" else "/clone"
        job = await self._until(lambda answer: "job_id" in answer, "POST", path, body, headers)
        if "result" not in job:
            job = await self._until(lambda answer: answer["finished_at"], "GET", f"/jobs/{job['job_id']}", None, {})
        return str(job["result"]["clone_url"])

    async def _until(self, there: Any, method: str, path: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
        while True:
            self.asked += 1
            try:
                async with httpx2.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as connection:
                    answer = await connection.request(method, path, json=body, headers=headers)
                # 409: the call before is still being stored. 502: Caddy was cut off, too
                if answer.status_code in (200, 202) and there(answer.json()):
                    found: dict[str, Any] = answer.json()
                    return found
                assert answer.status_code in (200, 202, 409, 502), answer.text
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("way", ["caddy", "cut"])
async def test_no_form_of_call_loses_a_job_or_makes_two(gateway: Gateway, bus: Bus, way: str) -> None:
    with caddy_before(gateway.port) as caddy:
        async with impatient(caddy.port, PATIENCE if way == "cut" else 60) as proxy:
            clients = [
                Client(proxy.url, form, f"{way}-{form}-{number}")
                for form in ("v1", "waiting", "async")
                for number in range(CLIENTS)
            ]
            calls = [asyncio.create_task(client.clone()) for client in clients]
            jobs = await eventually(lambda: _accepted(gateway, way, len(clients)), timeout=60, what="a job of each")
            if way == "cut":
                waiting = 2 * CLIENTS
                await eventually(lambda: proxy.cut >= waiting, timeout=60, what="a cut of each call that waits")
            await asyncio.gather(*(_worked(gateway, bus, job_id) for job_id in jobs.values()))
            urls = await asyncio.wait_for(asyncio.gather(*calls), 90)
    assert dict(zip((client.name for client in clients), urls, strict=True)) == {
        name: f"http://{job_id}.localhost:8080/" for name, job_id in jobs.items()
    }
    assert len(await _accepted(gateway, way, len(clients)) or {}) == len(clients), "somebody's call made a second job"
    if way == "cut":
        assert all(client.asked > 1 for client in clients if client.form != "async")


async def _accepted(gateway: Gateway, way: str, count: int) -> dict[str, str] | None:
    """The jobs of this test by their names, once there are as many; raises AssertionError when a name has two."""
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as api:
        listed = (await api.get("/jobs", params={"q": f"{way}-", "limit": 200})).json()["jobs"]
    names = Counter(job["name"] for job in listed)
    assert max(names.values(), default=1) == 1, names
    return {job["name"]: job["job_id"] for job in listed} if len(listed) == count else None


async def _worked(gateway: Gateway, bus: Bus, job_id: str) -> None:
    keys = KeyRing.load(gateway.directory / "vault.key")
    worker = await Simulated(bus, job_id=job_id, keys=keys, ticks=1).adopt()
    await worker.start()
    await worker.complete()


async def test_who_calls_how_is_known_after_a_kill_too(gateway: Gateway, bus: Bus) -> None:
    """The forms of the tests before, and one more; counted by key, over gateways that come and go."""
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as api:
        wish = {"source_url": "https://shop.example.com", "username": "a", "password": "p", "name": "counted"}
        for number in range(3):
            await api.post("/clone", json=wish | {"name": f"counted-{number}"})
        before = (await api.get("/statistics/calls")).json()
        assert {(call["key"], call["form"]) for call in before["calls"]} >= {("local", "async")}

        total = sum(call["count"] for call in before["calls"])
        await eventually(lambda: _stored(bus, total), timeout=60, what="all of them in the bucket")
        gateway.popen.kill()
        gateway.popen.wait()
        gateway.popen, _ = launch(
            gateway.directory, gateway.nats, gateway.port, rate_limit_per_minute=0, sync_seconds=WAITS
        )
        wait_ready(gateway.url, gateway.popen)
        assert (await api.get("/statistics/calls")).json() == before


async def _stored(bus: Bus, total: int) -> bool:
    entries = await reader.read_all(bus.nc, f"KV_{streams.CALLS}", f"$KV.{streams.CALLS}.>")
    forms = [days for entry in entries for days in json.loads(entry.data)["forms"].values()]
    return sum(count for days in forms for count in days.values()) == total


def test_keys_move_by_schedule_and_stay_where_they_are() -> None:
    steps = GatewaySettings(async_schedule="2027-01-11:10, 2027-02-01:50,2027-03-01:100").roll_out
    keys = [f"customer-{number}" for number in range(1000)]
    days = [date(2027, 1, 10), date(2027, 1, 11), date(2027, 2, 1), date(2027, 3, 1)]
    reached = [{key for key in keys if moved(steps, key, day)} for day in days]
    assert reached[0] == set()
    assert 60 < len(reached[1]) < 140
    assert 430 < len(reached[2]) < 570
    assert reached[1] < reached[2] < reached[3] == set(keys)


@pytest.mark.parametrize("text", ["half", "2027-01-11", "2027-01-11:101", "2027-01-11:50,2027-02-01:10", "11.1.:5"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        schedule(text)


def test_one_tenant_that_waits_a_lot_leaves_places_for_others() -> None:
    waiting: Counter[str] = Counter()
    while has_place(waiting, "greedy"):
        waiting["greedy"] += 1
    assert waiting["greedy"] == MOST // 2
    for tenant in ("second", "third", "fourth"):
        assert has_place(waiting, tenant)
        while has_place(waiting, tenant):
            waiting[tenant] += 1
        assert waiting[tenant] >= MOST // 16
    assert waiting.total() < MOST
