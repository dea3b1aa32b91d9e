"""Clones at the edge: look, extend, delete, captured mail."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from nats.aio.msg import Msg

from shared.bus.connection import Bus, connect
from shared.contract.events import Expired
from shared.contract.subjects import rpc
from shared.secrets.vault import KeyRing
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.live.simulator import Simulated
from tests.live.stack import eventually


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running:
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


@pytest.fixture
async def clone_id(gateway: Gateway, bus: Bus) -> str:
    """A clone that just got ready, and that nobody has projected."""
    worker = Simulated(bus, keys=KeyRing.load(gateway.directory / "vault.key"))
    return (await worker.play()).job_id


async def count(bus: Bus, event: str, clone_id: str) -> int:
    info = await bus.js.stream_info("CLONES", subjects_filter=f"clone.{event}.*.{clone_id}")
    return sum((info.state.subjects or {}).values())


def test_clone_tells_its_login(api: httpx2.Client, clone_id: str) -> None:
    clone = api.get(f"/clones/{clone_id}").json()
    assert (clone["clone_id"], clone["job_id"], clone["state"]) == (clone_id, clone_id, "active")
    assert (clone["username"], clone["password"]) == ("siteferry", "correct-horse-7")
    assert clone["clone_url"].startswith(f"http://{clone_id}.localhost")


async def test_delete_is_told_once_and_answered_the_same_twice(api: httpx2.Client, bus: Bus, clone_id: str) -> None:
    for _ in range(2):
        answer = api.delete(f"/clones/{clone_id}")
        assert (answer.status_code, answer.json()["state"], answer.json()["password"]) == (202, "deleting", None)
        assert api.get(f"/clones/{clone_id}").json()["state"] == "deleting"
    assert await count(bus, "expire", clone_id) == 1
    message = await bus.js.get_last_msg("CLONES", f"clone.expire.normal.{clone_id}")
    assert json.loads(message.data or b"")["reason"] == "deleted"
    await bus.publish(Expired(job_id=clone_id, reason="deleted"))
    answer = api.delete(f"/clones/{clone_id}")
    assert (answer.status_code, answer.json()["state"], answer.json()["reason"]) == (202, "deleted", "deleted")


def test_unknown_clones_are_told_apart_from_bad_requests(api: httpx2.Client) -> None:
    for answer in (
        api.get("/clones/clone-0k3v9x2m7c1p5t8w"),
        api.delete("/clones/clone-0k3v9x2m7c1p5t8w"),
        api.patch("/clones/clone-0k3v9x2m7c1p5t8w", json={"ttl_minutes": 60}),
        api.get("/clones/nonsense/mail"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "clone_not_found")


async def test_extend_replaces_the_schedule_and_is_told(api: httpx2.Client, bus: Bus, clone_id: str) -> None:
    for minutes in (600, 900):
        answer = api.patch(f"/clones/{clone_id}", json={"ttl_minutes": minutes})
        assert answer.status_code == 200
        at = datetime.fromisoformat(answer.json()["expires_at"])
        assert abs(at - datetime.now(UTC) - timedelta(minutes=minutes)) < timedelta(seconds=20)
        assert api.get(f"/clones/{clone_id}").json()["expires_at"] == answer.json()["expires_at"]
        assert api.get(f"/jobs/{clone_id}").json()["result"]["expires_at"] == answer.json()["expires_at"]
    assert await count(bus, "schedule-expire", clone_id) == 1
    assert await count(bus, "extended", clone_id) == 2
    schedule = await bus.js.get_last_msg("CLONES", f"clone.schedule-expire.normal.{clone_id}")
    assert (schedule.headers or {})["Nats-Schedule"] == f"@at {at.strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z"
    assert (schedule.headers or {})["Nats-Schedule-Target"] == f"clone.expire.normal.{clone_id}"


async def test_extended_clone_ends_when_its_new_time_is_up(api: httpx2.Client, bus: Bus, clone_id: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    assert api.patch(f"/clones/{clone_id}", json={"expires_at": at.isoformat()}).status_code == 200

    async def fired() -> bool:
        return await count(bus, "expire", clone_id) == 1

    await eventually(fired, what="the expiry")
    message = await bus.js.get_last_msg("CLONES", f"clone.expire.normal.{clone_id}")
    assert json.loads(message.data or b"")["reason"] == "expired"


async def test_extend_refuses_what_makes_no_sense(api: httpx2.Client, bus: Bus, clone_id: str) -> None:
    now = datetime.now(UTC)
    for body, words in [
        ({}, "either ttl_minutes or expires_at"),
        ({"ttl_minutes": 60, "expires_at": now.isoformat()}, "either ttl_minutes or expires_at"),
        ({"ttl_minutes": 43_201}, "less than or equal to 43200"),
        ({"expires_at": (now + timedelta(days=31)).isoformat()}, "more than 30 days away"),
        ({"expires_at": (now - timedelta(days=1)).isoformat()}, "in the past"),
        ({"expires_at": "2999-01-01T00:00:00"}, "and a time zone"),
        ({"ttl": 60}, "is not a field"),
    ]:
        answer = api.patch(f"/clones/{clone_id}", json=body)
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
    assert await count(bus, "extended", clone_id) == 0
    api.delete(f"/clones/{clone_id}")
    answer = api.patch(f"/clones/{clone_id}", json={"ttl_minutes": 60})
    assert (answer.status_code, answer.json()["code"]) == (409, "clone_gone")


async def test_mail_comes_from_whoever_can_see_the_clone(api: httpx2.Client, bus: Bus, clone_id: str) -> None:
    nobody = api.get(f"/clones/{clone_id}/mail")
    assert (nobody.status_code, nobody.json()["code"]) == (503, "cloner_unavailable")
    assert int(nobody.headers["retry-after"]) > 0
    mail = {
        "id": "0001",
        "time": "2026-11-23T20:00:00.000000Z",
        "to": ["a@b.test"],
        "subject": "Your order",
        "headers": ["From: shop@b.test"],
        "body": "Thank you",
        "attachments": [],
    }
    asked = []

    async def answer(message: Msg) -> None:
        asked.append(json.loads(message.data))
        await message.respond(json.dumps({"mails": [mail]}).encode())

    subscription = await bus.nc.subscribe(rpc("cloner", "mail"), cb=answer)
    await bus.nc.flush()

    async def fetch(path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=str(api.base_url), trust_env=False) as client:
            return await client.get(path)

    assert (await fetch(f"/clones/{clone_id}/mail")).json() == {"mails": [mail]}
    assert (await fetch(f"/clones/{clone_id}/mail/0001")).json() == mail
    missing = await fetch(f"/clones/{clone_id}/mail/0002")
    assert (missing.status_code, missing.json()["code"]) == (404, "mail_not_found")
    assert asked == [{"clone_id": clone_id}] * 3
    await subscription.unsubscribe()


async def test_clones_are_listed_without_passwords(gateway: Gateway) -> None:
    with running_gateway(rate_limit_per_minute=0) as running, running_status(running), running.client() as api:
        async with connect(running.settings, service="test") as bus:
            keys = KeyRing.load(running.directory / "vault.key")
            first = (await Simulated(bus, keys=keys).play()).job_id
            second = (await Simulated(bus, keys=keys, name="Second").play()).job_id

            def listed(**query: Any) -> list[str]:
                return [clone["clone_id"] for clone in api.get("/clones", params=query).json()["clones"]]

            await eventually(lambda: set(listed()) == {first, second}, what="the projection")
            assert "password" not in api.get("/clones").text
            api.delete(f"/clones/{first}")
            await bus.publish(Expired(job_id=first, reason="deleted"))
            await eventually(lambda: listed() == [second], what="the deletion")
            assert set(listed(state=["active", "deleted"])) == {first, second}
            page = api.get("/clones", params={"limit": 1, "state": ["active", "deleted"]}).json()
            rest = api.get("/clones", params={"state": ["active", "deleted"], "cursor": page["next_cursor"]}).json()
            assert {page["clones"][0]["clone_id"], rest["clones"][0]["clone_id"]} == {first, second}
            assert rest["next_cursor"] is None
