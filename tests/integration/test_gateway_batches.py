"""Batches over REST: all or none, found at once and by anybody who has the streams, cancelled as a whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from services.status.rebuild import rebuild
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import now
from shared.contract.jobs import Status
from shared.contract.subjects import EventType
from shared.ids import batch_member
from shared.secrets.vault import KeyRing, Vault
from tests.integration.gateway_process import Gateway, end, launch, running_gateway, running_status, wait_ready
from tests.live.simulator import Simulated
from tests.live.stack import eventually

PASSWORD = "gemeinsam-4711"
COMMON = {"username": "agency", "password": PASSWORD, "ttl_minutes": 60}


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


def request(size: int, **defaults: Any) -> dict[str, Any]:
    clones = [{"source_url": f"https://site{number}.example.com"} for number in range(size)]
    return {"defaults": COMMON | defaults, "clones": clones}


def submitted(api: httpx2.Client, size: int, **defaults: Any) -> str:
    answer = api.post("/batches", json=request(size, **defaults))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["batch_id"])


async def played(gateway: Gateway, bus: Bus, batch_id: str, number: int) -> Simulated:
    """A job of the batch in the hands of a simulated worker."""
    keys = KeyRing.load(gateway.directory / "vault.key")
    return await Simulated(bus, job_id=batch_member(batch_id, number), keys=keys).adopt()


async def cancelled(worker: Simulated) -> None:
    await worker.emit(EventType.CANCELLED, status=Status.CANCELLED, phase=None, finished_at=now(), message="Cancelled")


async def stored(bus: Bus, pattern: str) -> int:
    info = await bus.js.stream_info("CLONES", subjects_filter=pattern)
    return sum((info.state.subjects or {}).values())


async def test_a_thousand_are_accepted_and_found_at_once_with_nobody_projecting(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    answer = api.post("/batches", json=request(1000))
    accepted = answer.json()
    batch_id, job_ids = accepted["batch_id"], accepted["job_ids"]
    assert (answer.status_code, accepted["status"], accepted["total"]) == (202, "pending", 1000)
    assert answer.headers["location"] == accepted["status_url"] == f"/batches/{batch_id}"
    assert len(set(job_ids)) == 1000

    batch = api.get(f"/batches/{batch_id}").json()
    assert [job["job_id"] for job in batch["jobs"]] == job_ids
    assert [job["source_url"] for job in batch["jobs"]] == [f"https://site{n}.example.com" for n in range(1000)]
    assert batch["counts"] == {"pending": 1000, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}
    assert (batch["status"], batch["progress"], batch["phase"]) == ("pending", 0, None)
    for number in (0, 31, 32, 999):
        job = api.get(f"/jobs/{job_ids[number]}").json()
        assert (job["status"], job["batch_id"]) == ("pending", batch_id)

    commands = [await bus.js.get_last_msg("CLONES", f"clone.requested.normal.{job_ids[n]}") for n in (0, 999)]
    assert (commands[1].seq or 0) - (commands[0].seq or 0) == 999, "stored as neighbours, in one batch"
    assert {(command.headers or {})["Nats-Batch-Id"] for command in commands} == {
        (commands[0].headers or {})["Nats-Batch-Id"]
    }
    vault = Vault(await bus.bucket(streams.VAULT), KeyRing.load(gateway.directory / "vault.key"))
    assert await vault.get(job_ids[999]) == {"username": "agency", "password": PASSWORD}
    files = [path for path in gateway.directory.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


async def test_items_add_to_the_defaults(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    body = {
        "defaults": COMMON | {"priority": "low", "options": {"keep_transients": True}},
        "clones": [
            {"source_url": "https://a.example.com/wp-admin/", "name": "A", "options": {"exclude_paths": ["x"]}},
            {"source_url": "https://b.example.com", "pairing_key": "sf1_k", "priority": "high", "ttl_minutes": 5},
        ],
    }
    first, second = api.post("/batches", json=body).json()["job_ids"]
    one = json.loads((await bus.js.get_last_msg("CLONES", f"clone.requested.low.{first}")).data or b"")
    two = json.loads((await bus.js.get_last_msg("CLONES", f"clone.requested.high.{second}")).data or b"")
    assert (one["source_url"], one["name"], one["ttl_minutes"]) == ("https://a.example.com", "A", 60)
    assert one["options"] == {
        "exclude_tables": [],
        "exclude_paths": ["x"],
        "keep_transients": True,
        "fresh": False,
        "media": "copy",
        "allow_http": [],
        "constants": [],
    }
    assert two["ttl_minutes"] == 5
    vault = Vault(await bus.bucket(streams.VAULT), KeyRing.load(gateway.directory / "vault.key"))
    assert await vault.get(second) == {"pairing_key": "sf1_k"}


async def test_one_bad_item_refuses_the_whole_and_is_named(api: httpx2.Client, bus: Bus) -> None:
    before = (await bus.js.stream_info("CLONES")).state.last_seq, (await bus.js.stream_info("KV_vault")).state.last_seq
    body = request(200)
    body["clones"][3]["source_url"] = "ftp://files.example.com"
    body["clones"][150] |= {"ttl_minutes": 1, "pasword": PASSWORD}
    answer = api.post("/batches", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_request")
    assert {error["field"] for error in problem["errors"]} == {
        "clones.3.source_url",
        "clones.150.ttl_minutes",
        "clones.150.pasword",
    }
    assert "clones.3.source_url must begin with https:// or http://" in problem["detail"]
    assert PASSWORD not in answer.text

    many = api.post("/batches", json=request(1000) | {"defaults": {}}).json()
    assert len(many["errors"]) == 100
    assert "and 995 more" in many["detail"]
    after = (await bus.js.stream_info("CLONES")).state.last_seq, (await bus.js.stream_info("KV_vault")).state.last_seq
    assert after == before


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (request(0), 422, "clones"),
        (request(1001), 422, "clones"),
        (request(1, ttl_minutes=1), 422, "defaults.ttl_minutes"),
        (request(1, source_url="https://a.example.com"), 422, "defaults.source_url"),
        ({"clones": ["https://a.example.com"]}, 422, "clones.0"),
        ({"clones": {"0": {}}}, 422, "clones"),
        ([], 422, "body"),
    ],
)
def test_refusals_name_the_field(api: httpx2.Client, body: object, status: int, field: str) -> None:
    answer = api.post("/batches", json=body)
    assert answer.status_code == status
    assert field in [error["field"] for error in answer.json()["errors"]]


def test_body_is_large_but_bounded(api: httpx2.Client) -> None:
    tables = [f"a_table_with_a_rather_long_name_{number}" for number in range(60)]
    body = request(1000)
    for clone in body["clones"]:
        clone["options"] = {"exclude_tables": tables}
    assert 2_000_000 < len(json.dumps(body)) < 4_000_000
    assert api.post("/batches", json=body).status_code == 202
    for clone in body["clones"]:
        clone["options"] = {"exclude_tables": tables * 2}
    answer = api.post("/batches", json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_same_key_and_body_give_the_same_batch(api: httpx2.Client, bus: Bus) -> None:
    key = {"Idempotency-Key": "fleet"}
    first, second = (api.post("/batches", json=request(20), headers=key) for _ in range(2))
    assert second.text == first.text
    assert second.headers["idempotency-replayed"] == "true"
    other = api.post("/batches", json=request(21), headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    # as a gateway leaves it that was killed after it stored the batch and before it could say so
    bucket = await bus.bucket(streams.IDEMPOTENCY)
    name = sha256(b"local POST /batches\nfleet").hexdigest()
    record = json.loads((await bucket.get(name)).value or b"")
    await bucket.put(name, json.dumps(record | {"answer": None, "at": record["at"] - 60}).encode())
    before = (await bus.js.stream_info("CLONES")).state.last_seq
    again = api.post("/batches", json=request(20), headers=key)
    assert (again.status_code, again.text) == (202, first.text)
    assert (await bus.js.stream_info("CLONES")).state.last_seq == before


async def test_state_follows_the_jobs(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    batch_id = submitted(api, 3)
    one, two, three = [await played(gateway, bus, batch_id, number) for number in range(3)]
    await one.start()
    await one.run_steps(upto="files")
    batch = api.get(f"/batches/{batch_id}").json()
    assert (batch["status"], batch["counts"]["running"], batch["counts"]["pending"]) == ("running", 1, 2)
    assert batch["progress"] == pytest.approx(batch["jobs"][0]["progress"] / 3, abs=0.1)
    assert batch["finished_at"] is None

    await one.complete()
    await two.start()
    await two.fail()
    await cancelled(three)
    answer = api.get(f"/batches/{batch_id}")
    batch = answer.json()
    assert (batch["status"], batch["progress"]) == ("partially_completed", 100)
    assert batch["counts"] == {"pending": 0, "running": 0, "completed": 1, "failed": 1, "cancelled": 1}
    assert [job["error"] for job in batch["jobs"]] == [None, "source_unreachable", None]
    assert batch["finished_at"]
    same = api.get(f"/batches/{batch_id}", headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")

    assert api.post(f"/jobs/{two.job_id}/retry").status_code == 202
    assert api.get(f"/batches/{batch_id}").json()["status"] == "running"


async def test_cancel_reaches_every_job_that_has_not_ended_once(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    batch_id = submitted(api, 1000)
    ended = await played(gateway, bus, batch_id, 7)
    await ended.start()
    await ended.complete()
    assert api.post(f"/jobs/{batch_member(batch_id, 8)}/cancel").status_code == 202
    for _ in range(2):
        answer = api.post(f"/batches/{batch_id}/cancel")
        assert (answer.status_code, answer.json()["phase"]) == (202, "cancelling")
        assert api.get(f"/batches/{batch_id}").json()["phase"] == "cancelling"
    wishes = [await stored(bus, f"clone.cancel.*.{batch_member(batch_id, number)}") for number in (0, 7, 8, 999)]
    assert wishes == [1, 0, 1, 1]


async def test_simultaneous_cancels_store_each_wish_once(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    batch_id = submitted(api, 30)

    def cancel(_: int) -> httpx2.Response:
        with gateway.client() as client:
            return client.post(f"/batches/{batch_id}/cancel")

    with ThreadPoolExecutor(6) as pool:
        answers = await asyncio.to_thread(lambda: list(pool.map(cancel, range(6))))
    assert {(answer.status_code, answer.json()["phase"]) for answer in answers} == {(202, "cancelling")}
    wishes = [await stored(bus, f"clone.cancel.*.{batch_member(batch_id, number)}") for number in range(30)]
    assert wishes == [1] * 30


async def test_cancel_of_what_has_ended_changes_nothing(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    batch_id = submitted(api, 1)
    worker = await played(gateway, bus, batch_id, 0)
    await worker.start()
    await worker.complete()
    answer = api.post(f"/batches/{batch_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "completed")
    assert await stored(bus, f"clone.cancel.*.{worker.job_id}") == 0


def test_unknown_batches_do_not_exist(api: httpx2.Client) -> None:
    for batch_id in ("batch-0k3v9x2m7c1p5t00", "batch-0k3v9x2m7c1p5t01", "batch-*", "clone-0k3v9x2m7c1p5t00"):
        for answer in (api.get(f"/batches/{batch_id}"), api.post(f"/batches/{batch_id}/cancel")):
            assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
    job_id = api.post("/clone", json=COMMON | {"source_url": "https://a.example.com"}).json()["job_id"]
    assert api.get(f"/batches/batch-{job_id.removeprefix('clone-')[:-2]}00").status_code == 404


async def test_another_gateway_and_a_lost_projection_tell_the_same() -> None:
    with running_gateway(rate_limit_per_minute=0) as gateway, gateway.client() as api:
        async with connect(gateway.settings, service="test") as bus:
            with running_status(gateway):
                batch_id = submitted(api, 3)
                newer = submitted(api, 2)
                one, two, _ = [await played(gateway, bus, batch_id, number) for number in range(3)]
                await one.start()
                await one.complete()
                await two.start()
                await two.fail()

                def listed(**query: Any) -> list[str]:
                    return [item["batch_id"] for item in api.get("/batches", params=query).json()["batches"]]

                def first() -> Any:
                    return next(iter(api.get("/batches", params={"status": "running"}).json()["batches"]), None)

                def projected() -> bool:
                    counts = (first() or {"counts": {}})["counts"]
                    return counts.get("completed") == counts.get("failed") == 1

                await eventually(projected, what="the projection")
                told = api.get(f"/batches/{batch_id}").json()
                assert listed() == [newer, batch_id]
                assert listed(status="pending") == [newer]
                assert first() == {name: value for name, value in told.items() if name != "jobs"}
                page = api.get("/batches", params={"limit": 1}).json()
                assert listed(limit=1, cursor=page["next_cursor"]) == [batch_id]
                members = {job["job_id"] for job in api.get("/jobs", params={"batch": batch_id}).json()["jobs"]}
                assert members == {job["job_id"] for job in told["jobs"]}
            await bus.js.delete_key_value(streams.JOBS)
            end(gateway.popen)
            gateway.popen, _ = launch(gateway.directory, gateway.nats, gateway.port, rate_limit_per_minute=0)
            wait_ready(gateway.url, gateway.popen)
            assert api.get(f"/batches/{batch_id}").json() == told
            await rebuild(bus)
            assert api.get(f"/batches/{batch_id}").json() == told
            assert listed() == [newer, batch_id]


async def test_nothing_is_accepted_while_nats_is_away() -> None:
    with running_gateway(rate_limit_per_minute=0) as gateway, gateway.client() as api:
        gateway.stop_nats()
        key = {"Idempotency-Key": "later"}
        answer = api.post("/batches", json=request(5), headers=key)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        gateway.start_nats()
        wait_ready(gateway.url, gateway.popen)
        async with connect(gateway.settings, service="test") as bus:
            assert (await bus.js.stream_info("CLONES")).state.messages == 0
            assert (await bus.js.stream_info("KV_vault")).state.messages == 0
            assert api.post("/batches", json=request(5), headers=key).status_code == 202
            assert (await bus.js.stream_info("CLONES")).state.messages == 5


def test_batches_belong_to_their_tenant_and_its_lane(tmp_path_factory: pytest.TempPathFactory) -> None:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(
        "".join(f"{name}:{sha256(name.encode()).hexdigest()}:{name}:normal\n" for name in ("alpha", "beta"))
    )
    with running_gateway(rate_limit_per_minute=0, api_keys_file=keys) as gateway:
        alpha, beta = ({"Authorization": f"Bearer {name}"} for name in ("alpha", "beta"))
        with gateway.client(headers=alpha) as api:
            batch_id = submitted(api, 2)
            assert api.get(f"/batches/{batch_id}").status_code == 200
            for method, path in [("GET", ""), ("POST", "/cancel")]:
                answer = api.request(method, f"/batches/{batch_id}{path}", headers=beta)
                assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
            refused = api.post("/batches", json=request(2, priority="high"))
            assert (refused.status_code, refused.json()["code"]) == (403, "priority_not_allowed")
            assert "clones.0, clones.1" in refused.json()["detail"]


def test_ten_clones_cost_one_call() -> None:
    with running_gateway(rate_limit_per_minute=30, rate_limit_burst=20) as gateway, gateway.client() as api:
        answer = api.post("/batches", json=request(150))
        assert (answer.status_code, answer.headers["ratelimit"].partition(";t")[0]) == (202, '"changes";r=5')
        refused = api.post("/batches", json=request(100))
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 8 <= int(refused.headers["retry-after"]) <= 10
        assert api.post("/batches", json=request(50)).status_code == 202
    with running_gateway(rate_limit_per_minute=30, rate_limit_burst=20) as gateway, gateway.client() as api:
        whole = api.post("/batches", json=request(1000))  # would cost 100: never more than a full bucket
        assert (whole.status_code, whole.headers["ratelimit"].partition(";t")[0]) == (202, '"changes";r=0')


@pytest.mark.parametrize("wish", ["submit", "cancel"])
async def test_a_gateway_killed_on_the_way_leaves_all_or_nothing(wish: str) -> None:
    """Killed at several moments, from before the request is read to after it is answered."""
    with running_gateway(rate_limit_per_minute=0) as gateway:
        async with connect(gateway.settings, service="test") as bus:
            outcomes = set()
            for delay in (0.0, 0.08, None):
                with gateway.client() as api:
                    batch_id = submitted(api, 1000) if wish == "cancel" else ""
                pattern = "clone.cancel.>" if wish == "cancel" else "clone.requested.>"
                before = await stored(bus, pattern)
                path = f"/batches/{batch_id}/cancel" if wish == "cancel" else "/batches"
                body = None if wish == "cancel" else request(1000)
                async with httpx2.AsyncClient(base_url=gateway.url, timeout=10, trust_env=False) as client:
                    asked = asyncio.create_task(client.post(path, json=body))
                    await (asyncio.wait([asked]) if delay is None else asyncio.sleep(delay))
                    gateway.popen.kill()
                    answered = await asyncio.gather(asked, return_exceptions=True)
                gateway.popen.wait(5)
                came = await settled(bus, pattern) - before
                assert came in (0, 1000)
                if isinstance(answered[0], httpx2.Response):
                    assert (answered[0].status_code, came) == (202, 1000), "what was answered is stored"
                outcomes.add(came)
                gateway.popen, _ = launch(gateway.directory, gateway.nats, gateway.port, rate_limit_per_minute=0)
                wait_ready(gateway.url, gateway.popen)
                if wish == "cancel":
                    with gateway.client() as api:
                        again = api.post(path)
                    assert (again.status_code, again.json()["phase"]) == (202, "cancelling")
                    assert await stored(bus, pattern) - before == 1000
            assert outcomes == {0, 1000}, "killed neither always too early nor always too late"


async def settled(bus: Bus, pattern: str) -> int:
    """How many messages are stored once the server has taken in what a dead client sent."""
    last = -1
    while (now := await stored(bus, pattern)) != last:
        last = now
        await asyncio.sleep(0.2)
    return last
