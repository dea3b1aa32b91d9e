"""Calls that wait for their job: /api/v1, `async=false`, `Prefer: wait`; and what hanging up loses: nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from starlette.datastructures import Headers

from services.gateway.settings import GatewaySettings
from services.gateway.sync import seconds_to_wait
from shared.bus.connection import Bus, connect
from shared.contract.events import now
from shared.contract.jobs import Status
from shared.contract.subjects import EventType
from shared.secrets.vault import KeyRing
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.live.simulator import Simulated
from tests.live.stack import eventually

SECONDS = 4


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with (
        running_gateway(rate_limit_per_minute=0, sync_seconds=SECONDS, v1_sunset="2027-06-30") as running,
        running_status(running),
    ):
        yield running


@pytest.fixture
async def api(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


def wish(name: str, **more: Any) -> dict[str, Any]:
    return {"source_url": "https://shop.example.com", "username": "a", "password": f"pw-{name}", "name": name, **more}


async def taken(
    gateway: Gateway, api: httpx2.AsyncClient, bus: Bus, name: str, *, but: Sequence[str] = ()
) -> Simulated:
    """The one job of this name, beside those known already, in the hands of a worker."""

    async def found() -> list[str]:
        listed = (await api.get("/jobs", params={"q": name})).json()["jobs"]
        return [job["job_id"] for job in listed if job["job_id"] not in but]

    ids = await eventually(found, what=f"the job {name}")
    assert len(ids) == 1
    keys = KeyRing.load(gateway.directory / "vault.key")
    worker = await Simulated(bus, job_id=ids[0], keys=keys, ticks=1).adopt()
    await worker.start()
    return worker


async def test_the_old_call_answers_with_address_and_login(gateway: Gateway, api: httpx2.AsyncClient, bus: Bus) -> None:
    call = asyncio.create_task(api.post("/api/v1/clone", json=wish("oldest")))
    worker = await taken(gateway, api, bus, "oldest")
    assert not call.done()
    await worker.complete()
    answer = await call
    assert answer.status_code == 200
    made = answer.json()
    assert made["success"] is True
    assert made["clone_url"] == f"http://{worker.job_id}.localhost:8080/"
    assert (made["username"], made["password"]) == ("siteferry", "correct-horse-7")
    assert "error" not in made
    assert answer.headers["deprecation"] == "@1796083200"
    assert answer.headers["sunset"] == "Wed, 30 Jun 2027 00:00:00 GMT"
    assert 'rel="deprecation"' in answer.headers["link"]


async def test_the_old_call_says_what_went_wrong(gateway: Gateway, api: httpx2.AsyncClient, bus: Bus) -> None:
    call = asyncio.create_task(api.post("/api/v1/clone", json=wish("broken")))
    worker = await taken(gateway, api, bus, "broken")
    await worker.run_steps(upto="files")
    await worker.fail()
    answer = await call
    assert answer.status_code == 422
    assert answer.json()["success"] is False
    assert answer.json()["error"]
    assert answer.json()["job_id"] == worker.job_id
    call = asyncio.create_task(api.post("/api/v1/clone", json=wish("unwanted")))
    worker = await taken(gateway, api, bus, "unwanted")
    await worker.emit(EventType.CANCELLED, status=Status.CANCELLED, phase=None, finished_at=now(), message="Cancelled")
    assert ((await call).status_code, (await call).json()["code"]) == (409, "cancelled")


@pytest.mark.parametrize("body", ["{", '{"source_url": "shop"}', "{}"])
async def test_refusals_have_the_old_form_too(api: httpx2.AsyncClient, body: str) -> None:
    answer = await api.post("/api/v1/clone", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json()["success"] is False
    assert answer.json()["error"]
    assert answer.json()["code"] in {"malformed_json", "invalid_request"}


async def test_hanging_up_and_asking_again_loses_nothing_and_doubles_nothing(
    gateway: Gateway, api: httpx2.AsyncClient, bus: Bus
) -> None:
    """A proxy that cuts the connection; a client that knows only the old call."""
    body = wish("patient")
    for _ in range(3):
        with pytest.raises(httpx2.ReadTimeout):
            await api.post("/api/v1/clone", json=body, timeout=0.7)
    late = await api.post("/api/v1/clone", json=body)
    assert (late.status_code, late.json()["code"]) == (202, "still_running")
    assert late.headers["location"] == late.json()["status_url"] == f"/jobs/{late.json()['job_id']}"
    again = asyncio.create_task(api.post("/api/v1/clone", json=body))
    worker = await taken(gateway, api, bus, "patient")
    await worker.complete()
    assert (await again).json()["job_id"] == worker.job_id == late.json()["job_id"]
    assert (await again).json()["success"] is True
    other = await api.post("/api/v1/clone", json=body | {"password": "another"}, headers={"Prefer": "wait=1"})
    assert other.json()["job_id"] != worker.job_id, "another password is another wish"


async def test_what_failed_is_asked_for_anew_and_what_is_there_is_not(
    gateway: Gateway, api: httpx2.AsyncClient, bus: Bus
) -> None:
    jobs = []
    for outcome in ("fail", "complete", "complete"):
        call = asyncio.create_task(api.post("/api/v1/clone", json=wish("stubborn")))
        if len(jobs) < 2:
            worker = await taken(gateway, api, bus, "stubborn", but=jobs)
            await (worker.fail() if outcome == "fail" else worker.complete())
        jobs.append((await call).json()["job_id"])
    assert jobs[0] != jobs[1], "the site was mended in between"
    assert jobs[1] == jobs[2], "the answer was lost in between"


async def test_the_store_goes_away_while_a_call_waits() -> None:
    """The job is stored: whoever asked learns its id, and asks for no other."""
    with running_gateway(rate_limit_per_minute=0, sync_seconds=20) as own, running_status(own):
        async with httpx2.AsyncClient(base_url=own.url, timeout=60, trust_env=False) as client:
            calls = [
                asyncio.create_task(client.post(path, json=wish(path)))
                for path in ("/clone?async=false", "/api/v1/clone")
            ]

            async def both() -> bool:
                return len((await client.get("/jobs")).json()["jobs"]) == 2

            await eventually(both, what="both jobs")
            await asyncio.sleep(0.3)
            own.stop_nats()
            answers = await asyncio.gather(*calls)
            assert [answer.status_code for answer in answers] == [202, 202]
            assert all(answer.json()["job_id"].startswith("clone-") for answer in answers)


@pytest.mark.parametrize("form", [{"params": {"async": "false"}}, {"headers": {"Prefer": "wait=30"}}])
async def test_todays_call_can_wait(gateway: Gateway, api: httpx2.AsyncClient, bus: Bus, form: dict[str, Any]) -> None:
    name = f"waits-{next(iter(form))}"
    call = asyncio.create_task(api.post("/clone", json=wish(name), **form))
    worker = await taken(gateway, api, bus, name)
    await worker.complete()
    answer = await call
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    assert answer.json()["result"]["password"] == "correct-horse-7"
    assert answer.headers["location"] == f"/jobs/{worker.job_id}"
    assert answer.headers.get("preference-applied") == (f"wait={SECONDS}" if "headers" in form else None)


async def test_who_waits_too_long_is_told_where_to_look(api: httpx2.AsyncClient) -> None:
    began = time.monotonic()
    answer = await api.post("/clone", json=wish("endless"), headers={"Prefer": "respond-async, wait=1"})
    assert answer.status_code == 202
    assert time.monotonic() - began >= 0.9
    assert answer.headers["location"].startswith("/jobs/clone-")
    assert answer.headers["preference-applied"] == "wait=1"
    restore = {"source_url": "https://stage.example.com", "source_username": "a", "source_password": "b"}
    restore |= {"target_url": "https://shop.example.com", "target_username": "a", "target_password": "b"}
    assert (await api.post("/restore?async=false", json=restore, headers={"Prefer": "wait=1"})).status_code == 202
    assert (await api.post("/clone?async=maybe", json=wish("maybe"))).status_code == 422


async def test_v2_is_another_name_of_todays_calls(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/api/v2/clone", json=wish("second"))
    assert answer.status_code == 202
    assert (await api.get(f"/api/v2/jobs/{answer.json()['job_id']}")).json()["job_id"] == answer.json()["job_id"]
    assert (await api.get("/api/v2/nothing")).status_code == 404
    assert (await api.post("/api/v2/api/v1/clone", json=wish("third"))).status_code == 404
    assert (await api.get("/api/v1/nothing")).json()["success"] is False


async def test_an_operator_sees_who_still_calls_how(api: httpx2.AsyncClient) -> None:
    text = (await api.get("/metrics")).text
    for form in ("async", "waiting", "v1"):
        assert f'siteferry_gateway_submissions_total{{form="{form}",key="local"}}' in text


@pytest.mark.parametrize(
    ("prefer", "wanted", "default", "seconds"),
    [
        (None, None, False, 0),
        (None, None, True, 55),
        (None, False, False, 55),
        (None, True, True, 0),
        ("respond-async", None, True, 0),
        ("respond-async", False, False, 55),
        ("wait=10", None, False, 10),
        ("respond-async, wait=10", None, False, 10),
        ("wait=900", None, False, 55),
        ("wait=10", True, True, 0),
        ("handling=lenient", None, False, 0),
    ],
)
def test_how_long_a_call_waits(prefer: str | None, wanted: bool | None, default: bool, seconds: int) -> None:
    headers = Headers({} if prefer is None else {"prefer": prefer})
    assert seconds_to_wait(GatewaySettings(sync_default=default), headers, wanted) == seconds
