"""Many jobs or clones at once: one call, an operation to follow, done once whatever dies meanwhile."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from shared.bus.batch import Outgoing, publish_batch
from shared.bus.connection import Bus, connect
from shared.contract.events import JobEvent, decode, fold, now
from shared.contract.jobs import ErrorInfo, Job, Status
from shared.contract.subjects import EventType, Lane, subject
from siteferry.embedded.servers.ports import free_port
from tests.integration.gateway_process import Gateway, end, launch, running_gateway, running_status, wait_ready
from tests.live.simulator import Simulated
from tests.live.stack import eventually

COMMON = {"username": "agency", "password": "gemeinsam-4711", "ttl_minutes": 60}
OTHER = "other-key"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    lines = [f"{name}:{sha256(key.encode()).hexdigest()}:{name}" for name, key in (("mine", "k"), ("other", OTHER))]
    keys.write_text("\n".join(lines) + "\n")
    with running_gateway(rate_limit_per_minute=0, api_keys_file=keys) as running, running_status(running):
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client(headers={"Authorization": "Bearer k"}) as client:
        yield client


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


async def submitted(api: httpx2.Client, site: str, count: int) -> list[str]:
    clones = [{"source_url": f"https://{site}-{number}.example.com"} for number in range(count)]
    answer = api.post("/batches", json={"defaults": COMMON, "clones": clones})
    assert answer.status_code == 202, answer.text

    async def listed() -> bool:
        return bool(api.get("/jobs", params={"source": site, "count": "true"}).json()["total"] == count)

    await eventually(listed, timeout=60, what="every job in the list")
    ids: list[str] = answer.json()["job_ids"]
    return ids


async def failed(api: httpx2.Client, bus: Bus, site: str, ids: list[str]) -> None:
    """As workers would leave them."""
    told = []
    for job_id in ids:
        error = ErrorInfo(code="source_unreachable", message="Nothing answers there.")
        raw = await bus.js.get_last_msg("CLONES", f"clone.requested.normal.{job_id}")
        job: Job = job_of(raw.data or b"", raw.seq or 0)
        ended = {"status": Status.FAILED, "error": error, "attempt": 1, "fence": 1, "finished_at": now()}
        event = JobEvent(type=EventType.FAILED, job_id=job_id, job=job.model_copy(update=ended))
        where = subject("clone", EventType.FAILED, Lane.NORMAL, job_id)
        told.append(Outgoing(where, event.model_dump_json().encode()))
    await publish_batch(bus.js, told, timeout=10)

    async def listed() -> bool:
        found = api.get("/jobs", params={"source": site, "status": "failed", "count": "true"}).json()
        return bool(found["total"] == len(ids))

    await eventually(listed, timeout=60, what="every job failed")


def job_of(payload: bytes, seq: int) -> Job:
    message = decode(EventType.REQUESTED, payload)
    assert message is not None
    job = fold(None, message, seq)
    assert job is not None
    return job


async def followed(api: httpx2.Client, operation_id: str, *, timeout: float = 60) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def completed() -> bool:
        found.update(api.get(f"/operations/{operation_id}").json())
        return bool(found["status"] == "completed")

    await eventually(completed, timeout=timeout, what="the operation")
    return found


async def wishes(bus: Bus, event: str, ids: list[str]) -> Counter[str]:
    """How many wishes the stream holds of each job."""
    info = await bus.js.stream_info("CLONES", subjects_filter=f"clone.{event}.normal.*")
    counted = {key.rpartition(".")[2]: count for key, count in (info.state.subjects or {}).items()}
    return Counter({job_id: counted.get(job_id, 0) for job_id in ids})


async def test_hundreds_that_failed_run_again_once_although_the_gateway_is_killed_meanwhile(
    gateway: Gateway, bus: Bus, api: httpx2.Client
) -> None:
    ids = await submitted(api, "retried", 300)
    await failed(api, bus, "retried", ids)
    body = {"filter": {"error": "source_unreachable", "source": "retried"}, "changes": {"ttl_minutes": 90}}
    headers = {"Idempotency-Key": "retry-them"}
    answer = api.post("/jobs/retry", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    operation_id = answer.json()["operation_id"]
    assert answer.headers["location"] == f"/operations/{operation_id}"
    assert (answer.json()["total"], answer.json()["status"]) == (300, "running")

    async def begun() -> bool:
        return sum((await wishes(bus, "retry", ids)).values()) > 0

    await eventually(begun, timeout=30, what="the first wish")
    gateway.popen.send_signal(signal.SIGKILL)
    gateway.popen.wait()
    halfway = sum((await wishes(bus, "retry", ids)).values())
    assert 0 < halfway < 300, "killed too late to tell anything"
    gateway.popen, _ = launch(gateway.directory, gateway.nats, gateway.port, **_settings(gateway))
    wait_ready(gateway.url, gateway.popen)

    found = await followed(api, operation_id)
    assert (found["done"], found["refused"], found["refusals"]) == (300, 0, [])
    assert set((await wishes(bus, "retry", ids)).values()) == {1}
    message = await bus.js.get_last_msg("CLONES", f"clone.retry.normal.{ids[7]}")
    assert json.loads(message.data or b"")["changes"] == {"ttl_minutes": 90}
    assert api.get(f"/jobs/{ids[0]}").json()["status"] == "pending"
    again = api.post("/jobs/retry", json=body, headers=headers)
    assert (again.status_code, again.json()["operation_id"]) == (202, operation_id)


def _settings(gateway: Gateway) -> dict[str, str]:
    names = ("RATE_LIMIT_PER_MINUTE", "API_KEYS_FILE")
    return {name.lower(): gateway.environment[f"SITEFERRY_{name}"] for name in names}


async def test_two_gateways_share_one_operation_without_doing_anything_twice(
    gateway: Gateway, bus: Bus, api: httpx2.Client
) -> None:
    """The one that began is stopped as if its machine slept, and wakes up once the other one has taken over."""
    ids = await submitted(api, "slept", 200)
    await failed(api, bus, "slept", ids)
    directory = gateway.directory / "second"
    directory.mkdir()
    (directory / "vault.key").write_bytes((gateway.directory / "vault.key").read_bytes())
    port = free_port()
    second, _ = launch(directory, gateway.nats, port, **_settings(gateway))
    try:
        wait_ready(f"http://localhost:{port}", second)
        operation_id = api.post("/jobs/retry", json={"filter": {"source": "slept"}}).json()["operation_id"]
        gateway.popen.send_signal(signal.SIGSTOP)
        try:
            other = httpx2.Client(
                base_url=f"http://localhost:{port}", headers={"Authorization": "Bearer k"}, trust_env=False
            )
            with other:
                found = await followed(other, operation_id)
        finally:
            gateway.popen.send_signal(signal.SIGCONT)
        assert (found["done"], found["refused"]) == (200, 0)
        assert set((await wishes(bus, "retry", ids)).values()) == {1}
    finally:
        end(second)


async def test_what_can_not_be_done_is_named_with_its_reason(gateway: Gateway, bus: Bus, api: httpx2.Client) -> None:
    ids = await submitted(api, "named", 3)
    await failed(api, bus, "named", ids[:1])
    strangers = "clone-0000000000000000"
    with gateway.client(headers={"Authorization": f"Bearer {OTHER}"}) as other:
        theirs = other.post("/clone", json=COMMON | {"source_url": "https://theirs.example.com"}).json()["job_id"]
    wish = {"ids": [ids[0], ids[0], ids[1], theirs, strangers, "no id at all"]}
    accepted = api.post("/jobs/retry", json=wish).json()
    assert accepted["total"] == 5, "an id that is sent twice counts once"
    found = await followed(api, accepted["operation_id"])
    assert (found["done"], found["refused"]) == (1, 4)
    assert [(refusal["id"], refusal["code"]) for refusal in found["refusals"]] == [
        (ids[1], "not_retryable"),
        (theirs, "job_not_found"),
        (strangers, "job_not_found"),
        ("no id at all", "job_not_found"),
    ]
    with gateway.client(headers={"Authorization": f"Bearer {OTHER}"}) as other:
        assert other.get(f"/operations/{accepted['operation_id']}").status_code == 404


async def test_cancelling_by_filter_leaves_alone_what_does_not_fit(bus: Bus, api: httpx2.Client) -> None:
    ids = await submitted(api, "ended", 30)
    kept = await submitted(api, "kept", 2)
    accepted = api.post("/jobs/cancel", json={"filter": {"source": "ended", "status": ["pending"]}}).json()
    found = await followed(api, accepted["operation_id"])
    assert (found["total"], found["done"], found["refused"]) == (30, 30, 0)
    assert set((await wishes(bus, "cancel", ids)).values()) == {1}
    assert set((await wishes(bus, "cancel", kept)).values()) == {0}
    assert {api.get(f"/jobs/{job_id}").json()["phase"] for job_id in ids[:3]} == {"cancelling"}


async def test_clones_get_the_same_new_end_and_are_deleted_together(
    gateway: Gateway, bus: Bus, api: httpx2.Client
) -> None:
    made = [await Simulated(bus, tenant="mine", source_url="https://kept.example", ticks=1).submit() for _ in range(5)]
    for clone in made:
        await clone.start()
        await clone.complete()
    await Simulated(bus, tenant="other", source_url="https://kept.example", ticks=1).play()

    async def there() -> bool:
        return len(api.get("/clones").json()["clones"]) == 5

    await eventually(there, timeout=30, what="the clones")
    longer = api.post("/clones/extend", json={"filter": {"source": "kept.example"}, "ttl_minutes": 10080})
    found = await followed(api, longer.json()["operation_id"])
    assert (found["total"], found["done"]) == (5, 5)
    assert len({api.get(f"/clones/{clone.job_id}").json()["expires_at"] for clone in made}) == 1
    schedule = await bus.js.get_last_msg("CLONES", f"clone.schedule-expire.normal.{made[0].job_id}")
    assert schedule.headers is not None

    gone = api.post("/clones/delete", json={"ids": [clone.job_id for clone in made]}).json()
    found = await followed(api, gone["operation_id"])
    assert (found["done"], found["refused"]) == (5, 0)
    assert {api.get(f"/clones/{clone.job_id}").json()["state"] for clone in made} == {"deleting"}
    ended = api.post("/clones/extend", json={"ids": [made[0].job_id], "ttl_minutes": 60}).json()
    found = await followed(api, ended["operation_id"])
    assert [refusal["code"] for refusal in found["refusals"]] == ["clone_gone"]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/jobs/retry", {"filter": {}}, "empty_filter"),
        ("/jobs/cancel", {"filter": {"status": []}}, "empty_filter"),
        ("/clones/delete", {"filter": {"source": None}}, "empty_filter"),
        ("/clones/delete", {}, "invalid_request"),
        ("/clones/delete", {"filter": {"status": ["active"]}}, "invalid_request"),
        ("/jobs/cancel", {"ids": [], "filter": {"q": "x"}}, "invalid_request"),
        ("/jobs/cancel", {"ids": ["x"] * 10_001}, "invalid_request"),
        ("/jobs/cancel", {"filter": {"created_before": 1764000000}}, "invalid_request"),
        ("/clones/extend", {"ids": ["x"]}, "invalid_request"),
        ("/clones/extend", {"ids": ["x"], "expires_at": "2020-01-01T00:00:00Z"}, "invalid_request"),
        ("/jobs/retry", {"ids": ["x"], "changes": {"password": "y"}}, "invalid_request"),
    ],
)
def test_what_is_refused_at_once(api: httpx2.Client, path: str, body: dict[str, Any], code: str) -> None:
    answer = api.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


@pytest.mark.parametrize("path", ["/jobs/retry", "/jobs/cancel", "/clones/delete", "/clones/extend"])
def test_what_is_done_to_many_is_no_jobs_or_clones_address(api: httpx2.Client, path: str) -> None:
    assert api.options(path).headers["allow"] == "OPTIONS, POST"
    for method in ("GET", "DELETE", "PATCH"):
        answer = api.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


async def test_options_of_another_kind_of_job_are_refused(bus: Bus, api: httpx2.Client) -> None:
    ids = await submitted(api, "kinds", 1)
    await failed(api, bus, "kinds", ids)
    for changes in ({"accept_loss": True}, {"options": {"preserve_tables": ["wp_options"]}}):
        answer = api.post(f"/jobs/{ids[0]}/retry", json=changes)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    answer = api.post(f"/jobs/{ids[0]}/retry", json={"options": {"exclude_paths": ["wp-content/video"]}})
    assert answer.status_code == 202, answer.text
    message = await bus.js.get_last_msg("CLONES", f"clone.retry.normal.{ids[0]}")
    assert json.loads(message.data or b"")["changes"]["options"]["exclude_paths"] == ["wp-content/video"]
