"""`/jobs/{id}/events` on a real status process: server-sent events, resume, and the story as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from shared.bus.connection import Bus
from shared.ids import new_id
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, StatusProcess, nats_house, status_process


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


@dataclass
class Event:
    """One server-sent event."""

    id: str = ""
    type: str = ""
    data: dict[str, Any] = field(default_factory=dict)


async def events(response: httpx2.Response) -> AsyncIterator[Event]:
    event = Event()
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            event.id = value
        elif name == "event":
            event.type = value
        elif name == "data":
            event.data = json.loads(value)
        elif not line and event.type:
            yield event
            event = Event()


@contextlib.asynccontextmanager
async def stream(status: StatusProcess, job_id: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    accept = {"Accept": "text/event-stream", **headers}
    async with (
        httpx2.AsyncClient(base_url=status.url, timeout=20) as client,
        client.stream("GET", f"/jobs/{job_id}/events", headers=accept) as response,
        asyncio.timeout(30),
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


async def test_snapshot_changes_end_and_resume_by_last_event_id(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus).submit()
    async with stream(status, job.job_id) as live:
        first = await anext(live)
        assert (first.type, first.data["job"]["status"]) == ("snap", "pending")
        await job.start()
        second = await anext(live)
        assert (second.type, second.data["event"]["type"]) == ("ev", "started")
    await job.run_steps()
    await job.complete()
    async with stream(status, job.job_id, **{"Last-Event-ID": second.id}) as live:
        seen = []
        async for event in live:
            seen.append(event)
            if event.type == "end":
                break
    assert {event.type for event in seen} == {"ev", "end"}
    numbers = [event.data["n"] for event in seen if event.type == "ev"]
    assert numbers[0] - seen[0].data.get("merged", 0) == 3
    assert numbers == sorted(set(numbers))
    assert seen[-1].data["state"] == "completed"
    async with stream(status, job.job_id, **{"Last-Event-ID": "7-another-life"}) as live:
        assert (await anext(live)).type == "snap"


async def test_a_stopping_service_says_when_to_come_back(house: NatsHouse, bus: Bus) -> None:
    job = await Simulated(bus).submit()
    async with status_process(house) as status, stream(status, job.job_id) as live:
        assert (await anext(live)).type == "snap"
        stopping = asyncio.create_task(status.stop())
        goodbye = await anext(live)
        assert goodbye.type == "bye"
        assert goodbye.data["reconnect_ms"] >= 250
        assert [event async for event in live] == []
        assert await stopping < 3


async def test_refusals_are_problems(status: StatusProcess) -> None:
    async with httpx2.AsyncClient(base_url=status.url) as client:
        for job_id in (new_id("clone"), "nonsense"):
            answer = await client.get(f"/jobs/{job_id}/events")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "job_not_found"
        clone = {"Origin": "http://clone-0k3v9x2m7c1p5t8w.localhost:8080"}
        assert (await client.get(f"/jobs/{new_id('clone')}/events", headers=clone)).status_code == 403


async def test_the_story_as_json_has_a_line_per_step_and_no_secret(bus: Bus, status: StatusProcess) -> None:
    job = await Simulated(bus, ticks=30).play()
    await job.extend(timedelta(days=1))
    async with httpx2.AsyncClient(base_url=status.url, headers={"Accept": "application/json"}) as client:
        answer = await client.get(f"/jobs/{job.job_id}/events")
        lines = answer.json()["events"]
        assert [line["type"] for line in lines] == ["requested", "started", *["progress"] * 9, "completed", "extended"]
        assert lines[6]["message"] == "Copy files"
        assert "passw" not in answer.text
        later = await client.get(f"/jobs/{job.job_id}/events", params={"after": lines[-2]["seq"]})
        assert [line["type"] for line in later.json()["events"]] == ["extended"]
