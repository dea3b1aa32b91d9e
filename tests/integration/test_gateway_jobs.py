"""Looking at jobs, and wishing something of them: events come from a simulated worker, all servers are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import Expired, JobEvent, now
from shared.contract.jobs import Job, Phase, Status
from shared.contract.subjects import EventType
from shared.secrets.vault import KeyRing, Vault
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.live.simulator import Simulated
from tests.live.stack import eventually

WISH = {"source_url": "https://shop.example.com", "username": "admin", "password": "geheim-77"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running:
        yield running


@pytest.fixture(scope="module")
def projected() -> Iterator[Gateway]:
    """A gateway with a status service beside it."""
    with running_gateway(rate_limit_per_minute=0) as running, running_status(running):
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


def keys_of(gateway: Gateway) -> KeyRing:
    return KeyRing.load(gateway.directory / "vault.key")


async def adopt(bus: Bus, api: httpx2.Client, gateway: Gateway) -> Simulated:
    """A job submitted over REST, in the hands of a simulated worker."""
    job_id = api.post("/clone", json=WISH).json()["job_id"]
    worker = Simulated(bus, job_id=job_id, source_url=WISH["source_url"], keys=keys_of(gateway))
    worker.job = Job(job_id=job_id, type="clone", source_url=WISH["source_url"], created_at=now(), updated_at=now())
    return worker


async def test_job_is_told_as_the_worker_says_with_nobody_projecting(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    await worker.run_steps(upto="files")
    job = api.get(f"/jobs/{worker.job_id}").json()
    assert (job["status"], job["phase"], job["step"], job["attempt"]) == ("running", None, "files", 1)
    assert 10 < job["progress"] < 60
    files = next(step for step in job["steps"] if step["name"] == "files")
    assert (files["state"], files["unit"], files["total"]) == ("running", "bytes", 168_420_311)
    assert 0 < files["done"] < files["total"]


async def test_completed_job_tells_the_login_and_after_deletion_that_it_is_gone(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    await worker.complete()
    answer = api.get(f"/jobs/{worker.job_id}")
    result = answer.json()["result"]
    assert (answer.json()["status"], answer.json()["progress"]) == ("completed", 100)
    assert (result["username"], result["password"], result["state"]) == ("siteferry", "correct-horse-7", "active")
    assert result["clone_url"] == f"http://{worker.job_id}.localhost:8080/"
    assert result["expires_at"]
    assert [note["code"] for note in result["notes"]] == ["transients_skipped", "plugins_quarantined"]
    assert "retry-after" not in answer.headers
    assert "sealed" not in answer.text

    assert api.delete(f"/clones/{worker.job_id}").status_code == 202
    await bus.publish(Expired(job_id=worker.job_id, reason="deleted"))
    result = api.get(f"/jobs/{worker.job_id}").json()["result"]
    assert (result["state"], result["password"]) == ("deleted", None)
    assert result["deleted_at"]


async def test_failed_job_tells_code_message_and_hint(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    await worker.run_steps(upto="files")
    await worker.fail()
    job = api.get(f"/jobs/{worker.job_id}").json()
    assert job["status"] == "failed"
    assert job["error"]["code"] == "source_unreachable"
    assert job["error"]["message"]
    assert job["error"]["hint"]
    assert job["result"] is None


async def test_etag_changes_only_with_the_job(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    worker = await adopt(bus, api, gateway)
    first = api.get(f"/jobs/{worker.job_id}")
    assert first.headers["retry-after"] == "1"
    same = api.get(f"/jobs/{worker.job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    await worker.start()
    changed = api.get(f"/jobs/{worker.job_id}", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_cancel_is_visible_at_once_and_harmless_twice(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    for _ in range(2):
        answer = api.post(f"/jobs/{worker.job_id}/cancel")
        assert (answer.status_code, answer.json()["phase"]) == (202, "cancelling")
        assert api.get(f"/jobs/{worker.job_id}").json()["phase"] == "cancelling"
    info = await bus.js.stream_info("CLONES", subjects_filter=f"clone.cancel.*.{worker.job_id}")
    assert sum((info.state.subjects or {}).values()) == 1
    await worker.emit(EventType.CANCELLED, status=Status.CANCELLED, phase=None, finished_at=now(), message="Cancelled")
    answer = api.post(f"/jobs/{worker.job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    retry = api.post(f"/jobs/{worker.job_id}/retry")
    assert (retry.status_code, retry.json()["code"]) == (409, "not_retryable")
    assert "Submit it again" in retry.json()["hint"]


async def test_completed_job_can_neither_be_cancelled_nor_tried_again(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    assert api.post(f"/jobs/{worker.job_id}/retry").json()["code"] == "not_retryable"
    await worker.complete()
    cancel, retry = api.post(f"/jobs/{worker.job_id}/cancel"), api.post(f"/jobs/{worker.job_id}/retry")
    assert (cancel.status_code, cancel.json()["code"]) == (409, "already_completed")
    assert (retry.status_code, retry.json()["code"]) == (409, "not_retryable")
    assert api.post("/jobs/clone-0k3v9x2m7c1p5t8w/cancel").status_code == 404


async def test_retry_begins_a_new_attempt_as_long_as_the_login_is_known(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    await worker.fail()
    again = api.post(f"/jobs/{worker.job_id}/retry")
    assert (again.status_code, again.json()["status"], again.json()["error"]) == (202, "pending", None)
    assert api.get(f"/jobs/{worker.job_id}").json()["status"] == "pending"
    assert api.post(f"/jobs/{worker.job_id}/retry").status_code == 409
    message = await bus.js.get_last_msg("CLONES", f"clone.retry.normal.{worker.job_id}")
    assert b'"manual":true' in (message.data or b"")
    assert b'"attempt":2' in (message.data or b"")

    await worker.start(attempt=2)
    await worker.fail()
    await Vault(await bus.bucket(streams.VAULT), keys_of(gateway)).forget(worker.job_id)
    refused = api.post(f"/jobs/{worker.job_id}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "secret_gone")
    assert "again" in refused.json()["hint"]


async def test_story_tells_every_message_in_order_without_secrets(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    await worker.complete()
    api.delete(f"/clones/{worker.job_id}")
    answer = api.get(f"/jobs/{worker.job_id}/story")
    messages = answer.json()["messages"]
    assert [message["type"] for message in messages] == ["requested", "started", "completed", "expire"]
    assert [message["seq"] for message in messages] == sorted(message["seq"] for message in messages)
    assert messages[0]["headers"]["ce-type"] == "siteferry.clone.requested"
    assert messages[2]["data"]["job"]["result"]["username"] == "siteferry"
    assert "sealed" not in answer.text
    assert "secret_ref" not in answer.text


async def test_long_story_is_read_in_several_batches(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    worker = await adopt(bus, api, gateway)
    await worker.start()
    assert worker.job
    ticks = [
        JobEvent(
            type=EventType.PROGRESS,
            job_id=worker.job_id,
            job=worker.job.model_copy(update={"progress": tick / 13, "message": f"tick {tick}"}),
        )
        for tick in range(1200)
    ]
    for start in range(0, len(ticks), 200):
        await asyncio.gather(*(bus.publish(tick) for tick in ticks[start : start + 200]))
    messages = api.get(f"/jobs/{worker.job_id}/story").json()["messages"]
    assert len(messages) == 1202
    assert api.get(f"/jobs/{worker.job_id}").json()["progress"] == pytest.approx(1199 / 13, abs=0.1)


async def test_jobs_are_listed_newest_first_filtered_and_in_pages(projected: Gateway) -> None:
    with projected.client() as api:
        async with connect(projected.settings, service="test") as bus:
            ids = []
            for number in range(7):
                wish = WISH | {"source_url": f"https://site{number % 2}.example.com"}
                ids.append(api.post("/clone", json=wish).json()["job_id"])
                await asyncio.sleep(0.012)  # ids sort by time in steps of 10 ms
            worker = Simulated(bus, job_id=ids[3], keys=keys_of(projected))
            worker.job = Job.model_validate(api.get(f"/jobs/{ids[3]}").json())
            await worker.start()

            def listed(**query: Any) -> list[str]:
                return [job["job_id"] for job in api.get("/jobs", params=query).json()["jobs"]]

            await eventually(lambda: listed(status="running") == [ids[3]], what="the projection")
            assert listed() == ids[::-1]
            assert listed(source="SITE1") == [ids[5], ids[3], ids[1]]
            assert listed(type="restore") == []
            after = api.get(f"/jobs/{ids[4]}").json()["created_at"]
            assert listed(created_after=after) == [ids[6], ids[5]]
            assert listed(status=["running", "pending"]) == ids[::-1]

            first = api.get("/jobs", params={"limit": 3}).json()
            newer = api.post("/clone", json=WISH).json()["job_id"]
            await eventually(lambda: newer in listed(), what="the newest job")
            second = api.get("/jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
            third = api.get("/jobs", params={"limit": 3, "cursor": second["next_cursor"]}).json()
            pages = [[job["job_id"] for job in page["jobs"]] for page in (first, second, third)]
            assert pages == [ids[:3:-1], ids[3:0:-1], ids[:1]]
            assert third["next_cursor"] is None
            assert api.get("/jobs", params={"cursor": "nonsense"}).status_code == 422


async def test_list_survives_a_dropped_and_rebuilt_projection(projected: Gateway) -> None:
    with projected.client() as api:
        job_id = api.post("/clone", json=WISH).json()["job_id"]

        def listed() -> list[str]:
            return [job["job_id"] for job in api.get("/jobs").json()["jobs"]]

        await eventually(lambda: job_id in listed(), what="the projection")
        async with connect(projected.settings, service="test") as bus:
            bucket = await bus.bucket(streams.JOBS)
            await bucket.purge(job_id)
            await eventually(lambda: job_id not in listed(), what="the removal")
            assert api.get(f"/jobs/{job_id}").status_code == 200
            await bucket.put(job_id, Job.model_validate(api.get(f"/jobs/{job_id}").json()).model_dump_json().encode())
            await eventually(lambda: job_id in listed(), what="the return")


def test_phase_names_are_those_of_the_contract(api: httpx2.Client) -> None:
    schema = api.get("/openapi.json").json()["components"]["schemas"]["Phase"]["enum"]
    assert schema == [str(phase) for phase in Phase]


async def test_a_gateway_that_starts_reads_its_lists_before_somebody_asks(projected: Gateway) -> None:
    """The first look at 20,000 jobs takes seconds."""
    with projected.client() as api:
        job_id = api.post("/clone", json=WISH).json()["job_id"]
        await eventually(lambda: api.get("/jobs").json()["jobs"], what="the job in the list")
    app = create_app(GatewaySettings(**projected.settings.model_dump(exclude_unset=True)))

    def read() -> bool:
        edge = getattr(app.state, "edge", None)
        return edge is not None and any(job_id in key for key in edge.jobs._items)

    async with app.router.lifespan_context(app):
        await eventually(read, timeout=20, what="a list that was read")
