"""Live connections of an installation with API keys: tickets, sessions, and nobody sees another tenant's jobs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import websockets
from websockets.typing import Origin, Subprotocol

from services.status.live.staying import SESSIONS_EVERY
from tests.live.client import Live, live
from tests.live.guarded import EDGE, KEYS, Guarded, guarded
from tests.live.simulator import Simulated
from tests.live.stack import eventually


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Guarded]:
    async with guarded() as found:
        yield found


async def job_of(it: Guarded, tenant: str, **options: Any) -> Simulated:
    return await Simulated(it.bus, tenant=tenant, **options).submit()


async def hello(url: str, *, token: str | None = None, **options: Any) -> tuple[Live, Any]:
    socket = await websockets.connect(url, compression=None, **options)
    client = Live(socket)
    await client.say(type="hello", v=1, **({"token": token} if token else {}))
    return client, socket


async def close_code(socket: Any) -> int:
    await socket.wait_closed()
    return int(socket.close_code)


async def test_without_proof_nothing_is_shown(it: Guarded) -> None:
    _, socket = await hello(it.status.ws_url)
    assert await close_code(socket) == 4401
    _, socket = await hello(it.status.ws_url, token="sft_made-up")
    assert await close_code(socket) == 4401
    job = await job_of(it, "agency")
    async with httpx2.AsyncClient(base_url=it.status.url) as client:
        for accept in ("text/event-stream", "application/json"):
            answer = await client.get(f"/jobs/{job.job_id}/events", headers={"Accept": accept})
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("way", ["subprotocol", "hello", "header"])
async def test_a_ticket_opens_one_connection_and_shows_its_tenants_jobs_only(it: Guarded, way: str) -> None:
    mine, theirs = await job_of(it, "agency"), await job_of(it, "other")
    ticket = await it.ticket("agency")
    options: dict[str, Any] = {}
    if way == "subprotocol":
        options["subprotocols"] = [Subprotocol("siteferry.v1"), Subprotocol(f"ticket.{ticket}")]
    elif way == "header":
        options["additional_headers"] = {"Authorization": f"Bearer {ticket}"}
    client, socket = await hello(it.status.ws_url, token=ticket if way == "hello" else None, **options)
    async with socket:
        assert (await client.next())["type"] == "ready"
        assert socket.subprotocol == ("siteferry.v1" if way == "subprotocol" else None)
        await client.say(type="sub", id="mine", job=mine.job_id)
        assert (await client.until("snap", id="mine"))["job"]["job_id"] == mine.job_id
        await client.say(type="sub", id="theirs", job=theirs.job_id)
        assert (await client.until("err", id="theirs"))["code"] == "not_found"
    _, again = await hello(it.replicas[1].ws_url, token=ticket)
    assert await close_code(again) == 4401, "a ticket opened a second connection, at another replica"


async def test_lists_hold_and_tell_the_tenants_own_jobs_only(it: Guarded) -> None:
    mine, theirs = await job_of(it, "agency"), await job_of(it, "other")
    client, socket = await hello(it.status.ws_url, token=await it.ticket("agency"))
    async with socket:
        await client.say(type="sub", id="jobs", list="jobs")
        snap = await client.until("snap", id="jobs")
        listed = {job["job_id"] for job in snap["jobs"]}
        assert mine.job_id in listed
        assert theirs.job_id not in listed
        assert snap["partial"] is True
        await client.say(type="sub", id="clones", list="clones")
        await client.until("snap", id="clones")
        await theirs.start()
        await theirs.complete()
        await mine.start()
        await mine.complete()
        await client.until("ev", id="clones")
        await client.until("ev", id="jobs") if not any(
            f.get("id") == "jobs" and f["type"] == "ev" for f in client.frames
        ) else None
        assert theirs.job_id not in json.dumps(client.frames)


async def test_a_ticket_for_one_job_shows_that_job_only(it: Guarded) -> None:
    wanted, another = await job_of(it, "agency"), await job_of(it, "agency")
    client, socket = await hello(it.status.ws_url, token=await it.ticket("agency", jobs=[wanted.job_id]))
    async with socket:
        await client.say(type="sub", id="a", job=wanted.job_id)
        await client.until("snap", id="a")
        await client.say(type="sub", id="b", job=another.job_id)
        assert (await client.until("err", id="b"))["code"] == "not_found"
        await client.say(type="sub", id="c", list="jobs")
        assert (await client.until("err", id="c"))["code"] == "not_found"
    async with it.client("other") as client_of_other:
        refused = await client_of_other.post("/tickets", json={"jobs": [wanted.job_id]})
        assert refused.status_code == 404


async def test_events_take_a_key_and_hide_other_tenants_jobs(it: Guarded) -> None:
    theirs = await job_of(it, "other")
    async with httpx2.AsyncClient(base_url=it.status.url, timeout=10) as client:
        for accept in ("text/event-stream", "application/json"):
            headers = {"Accept": accept, "Authorization": f"Bearer {KEYS['agency']}"}
            assert (await client.get(f"/jobs/{theirs.job_id}/events", headers=headers)).status_code == 404
            headers["Authorization"] = f"Bearer {KEYS['other']}"
            async with client.stream("GET", f"/jobs/{theirs.job_id}/events", headers=headers) as answer:
                assert answer.status_code == 200


async def test_a_session_is_a_cookie_scripts_can_not_read_and_other_origins_can_not_use(it: Guarded) -> None:
    job = await job_of(it, "agency")
    async with it.client() as client:
        assert (await client.get("/session")).status_code == 401
        signed_in = await client.post("/session", json={"api_key": KEYS["agency"]}, headers={"Origin": it.url})
        told = {"name": "agency", "tenant": "agency", "keys": True, "scope": "submit"}
        assert signed_in.json() == {**told, "operator": False, "key_id": None}
        cookie = signed_in.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert KEYS["agency"] not in cookie
        assert (await client.get(f"/jobs/{job.job_id}")).status_code == 200
        value = cookie.partition(";")[0]
        for headers in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
            refused = await client.post(f"/jobs/{job.job_id}/cancel", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin"), headers
        assert (await client.post("/tickets", json={}, headers={"Origin": it.url})).status_code == 201
        by_cookie = {"Cookie": value}
        async with live(it.status.ws_url, origin=EDGE, additional_headers=by_cookie) as live_client:
            await live_client.say(type="sub", id="a", job=job.job_id)
            await live_client.until("snap")
        async with httpx2.AsyncClient(base_url=it.status.url) as events:
            assert (
                await events.get(f"/jobs/{job.job_id}/events", headers={**by_cookie, "Accept": "application/json"})
            ).status_code == 200
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(
                it.status.ws_url, origin=Origin("http://evil.example"), additional_headers=by_cookie
            )
        client_live, socket = await hello(it.replicas[1].ws_url, additional_headers=by_cookie)
        assert (await client_live.next())["type"] == "ready"
        out = await client.delete("/session", headers={"Origin": it.url})
        assert out.status_code == 204
        assert (await client.get("/session", headers=by_cookie)).status_code == 401
        async with socket:
            client_live.socket = socket
            frame = await _closed(socket, timeout=SESSIONS_EVERY + 15)
            assert frame == 4401, "a signed-out browser went on watching"


async def test_wrong_keys_are_said_and_limited(it: Guarded) -> None:
    async with it.client() as client:
        codes = []
        for number in range(12):
            answer = await client.post(
                "/session", json={"api_key": f"guess {number}"}, headers={"X-Forwarded-For": "203.0.113.9"}
            )
            codes.append(answer.json()["code"])
        assert codes[0] == "unauthenticated"
        assert codes[-1] == "rate_limited"
        elsewhere = await client.post(
            "/session", json={"api_key": KEYS["agency"]}, headers={"X-Forwarded-For": "198.51.100.7"}
        )
        assert elsewhere.status_code == 200


async def test_a_key_taken_away_ends_tickets_and_sessions(it: Guarded) -> None:
    ticket = await it.ticket("other")
    async with it.client() as client:
        cookie = (
            (await client.post("/session", json={"api_key": KEYS["other"]})).headers["set-cookie"].partition(";")[0]
        )
    it.write_keys("agency")
    try:

        async def refused() -> bool:
            async with it.client() as fresh:
                return (await fresh.get("/session", headers={"Cookie": cookie})).status_code == 401

        await eventually(refused, what="the end of the session")
        _, socket = await hello(it.status.ws_url, token=ticket)
        assert await close_code(socket) == 4401
    finally:
        it.write_keys(*KEYS)


async def _closed(socket: Any, *, timeout: float) -> int:
    async with asyncio.timeout(timeout):
        return await close_code(socket)
