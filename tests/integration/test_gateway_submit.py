"""POST /clone: stored before it is answered, refused in plain words, once per key, never with a secret in clear."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from shared.bus.connection import connect
from shared.contract import streams
from shared.ids import is_job_id
from shared.secrets.vault import KeyRing, Vault
from tests.integration.gateway_process import Gateway, running_gateway

PASSWORD = "s3cret-Kolibri-9271"
WISH = {"source_url": "https://shop.example.com", "username": "admin", "password": PASSWORD}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as client:
        yield client


def test_answer_is_exactly_what_was_promised(api: httpx2.Client) -> None:
    answer = api.post("/clone", json=WISH | {"ttl_minutes": 60, "name": "Shop", "priority": "high"})
    job_id = answer.json()["job_id"]
    assert answer.status_code == 202
    assert is_job_id(job_id)
    assert answer.text.startswith(f'{{"job_id":"{job_id}","status":"pending","status_url":"/jobs/{job_id}"')
    assert answer.headers["location"] == f"/jobs/{job_id}"
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["links"] == {
        "self": f"/jobs/{job_id}",
        "events": f"/jobs/{job_id}/events",
        "cancel": f"/jobs/{job_id}/cancel",
    }


def test_job_is_found_right_after_with_nobody_projecting(api: httpx2.Client) -> None:
    for _ in range(20):
        job_id = api.post("/clone", json=WISH).json()["job_id"]
        answer = api.get(f"/jobs/{job_id}")
        assert answer.status_code == 200
        job = answer.json()
        assert (job["status"], job["progress"], job["source_url"]) == ("pending", 0, "https://shop.example.com")
        assert (job["type"], job["step"], job["result"], job["error"]) == ("clone", None, None, None)


async def test_worker_finds_command_and_secret(gateway: Gateway, api: httpx2.Client) -> None:
    job_id = api.post("/clone", json=WISH | {"password": " spaces matter "}).json()["job_id"]
    async with connect(gateway.settings, service="test") as bus:
        message = await bus.js.get_last_msg("CLONES", f"clone.requested.normal.{job_id}")
        command = json.loads(message.data or b"")
        vault = Vault(await bus.bucket(streams.VAULT), KeyRing.load(gateway.directory / "vault.key"))
        assert await vault.get(command["secret_ref"]) == {"username": "admin", "password": " spaces matter "}
        assert (message.headers or {})["Nats-Msg-Id"] == f"{job_id}:requested"
        pairing = api.post("/clone", json={"source_url": "http://a.test", "pairing_key": "sf1_k"}).json()["job_id"]
        assert await vault.get(pairing) == {"pairing_key": "sf1_k"}


def test_no_secret_on_disk_or_in_any_answer(gateway: Gateway, api: httpx2.Client) -> None:
    answers = [
        api.post("/clone", json=WISH, headers={"Idempotency-Key": "disk"}),
        api.post("/clone", json=WISH | {"passwort": PASSWORD, "ttl_minutes": PASSWORD}),
        api.post("/clone", json=WISH | {"username": {"is": PASSWORD}}),
        api.post("/clone", json={"source_url": f"https://u:{PASSWORD}@a.test", "username": "a", "password": PASSWORD}),
        api.post("/clone", content=f'{{"password": "{PASSWORD}"', headers={"Content-Type": "application/json"}),
    ]
    assert [answer.status_code for answer in answers] == [202, 422, 422, 422, 400]
    assert all(PASSWORD not in answer.text for answer in answers)
    files = [path for path in gateway.directory.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) > 10_000
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"source_url": "shop.example.com"}, "source_url", "must begin with https:// or http://"),
        ({"source_url": "ftp://shop.example.com"}, "source_url", "must begin with https:// or http://"),
        ({"source_url": "https://u:p@shop.example.com"}, "source_url", "must not hold a login"),
        ({"ttl_minutes": 4}, "ttl_minutes", "greater than or equal to 5"),
        ({"ttl_minutes": 43_201}, "ttl_minutes", "less than or equal to 43200"),
        ({"priority": "urgent"}, "priority", "'high', 'normal' or 'low'"),
        ({"pasword": "x"}, "pasword", "is not a field of this request"),
        ({"options": {"exclude_tabels": []}}, "options.exclude_tabels", "is not a field of this request"),
        ({"password": None}, "body", "belong together"),
        ({"pairing_key": "k"}, "body", "not both"),
        ({"name": ""}, "name", "at least 1 character"),
    ],
)
def test_refusals_name_the_field(api: httpx2.Client, change: dict[str, object], field: str, message: str) -> None:
    answer = api.post("/clone", json=WISH | change)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == "invalid_request"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert message in problem["errors"][0]["message"]
    assert message in problem["detail"]


def test_every_error_is_a_problem_with_code_and_trace(api: httpx2.Client) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    cases = [
        (api.get("/nowhere", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}), 404, "not_found"),
        (api.put("/clone", json={}), 405, "method_not_allowed"),
        (api.post("/clone", content=b"{", headers={"Content-Type": "application/json"}), 400, "malformed_json"),
        (api.post("/clone", data=WISH), 415, "unsupported_media_type"),
        (api.post("/clone", json=WISH | {"name": "x" * 300_000}), 413, "body_too_large"),
        (api.get("/jobs/clone-0k3v9x2m7c1p5t8w"), 404, "job_not_found"),
        (api.get("/jobs/.."), 404, "not_found"),
        (api.get("/jobs/clone-*"), 404, "job_not_found"),
        (api.get("/jobs?limit=many"), 422, "invalid_request"),
    ]
    for answer, status, code in cases:
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["detail"]
        assert len(problem["trace_id"]) == 32
    assert cases[0][0].json()["trace_id"] == trace
    assert cases[1][0].headers["allow"] == "OPTIONS, POST"


def test_same_key_and_body_give_the_same_job(api: httpx2.Client) -> None:
    key = {"Idempotency-Key": "order-4711"}
    first, second = api.post("/clone", json=WISH, headers=key), api.post("/clone", json=WISH, headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.text == first.text
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["idempotency-replayed"] == "true"
    other = api.post("/clone", json=WISH | {"name": "Another"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert api.post("/clone", json=WISH).json()["job_id"] != first.json()["job_id"]


def test_refused_request_leaves_the_key_free(api: httpx2.Client) -> None:
    key = {"Idempotency-Key": "second-try"}
    assert api.post("/clone", json=WISH | {"ttl_minutes": 1}, headers=key).status_code == 422
    assert api.post("/clone", json=WISH, headers=key).status_code == 202


async def test_simultaneous_requests_with_one_key_make_one_job(gateway: Gateway) -> None:
    def submit(_: int) -> httpx2.Response:
        with gateway.client() as client:
            return client.post("/clone", json=WISH | {"name": "race"}, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert all(answer.json()["code"] == "idempotency_in_flight" for answer in answers if answer.status_code == 409)
    ids = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert len(ids) == 1


async def test_request_that_died_on_the_way_is_taken_over_under_its_id(gateway: Gateway, api: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "died"}
    first = api.post("/clone", json=WISH, headers=headers).json()["job_id"]
    async with connect(gateway.settings, service="test") as bus:
        bucket = await bus.bucket(streams.IDEMPOTENCY)
        for name in await bucket.keys():
            record = json.loads((await bucket.get(name)).value or b"")
            if record["id"] == first:  # as a gateway leaves it that was killed before it could answer
                await bucket.put(name, json.dumps(record | {"answer": None}).encode())
                assert api.post("/clone", json=WISH, headers=headers).status_code == 409
                await bucket.put(name, json.dumps(record | {"answer": None, "at": record["at"] - 60}).encode())
        again = api.post("/clone", json=WISH, headers=headers)
        assert (again.status_code, again.json()["job_id"]) == (202, first)
        info = await bus.js.stream_info("CLONES", subjects_filter=f"clone.requested.*.{first}")
        assert sum((info.state.subjects or {}).values()) == 1


def test_connector_for_installing_by_hand_is_a_small_zip_without_a_key(api: httpx2.Client) -> None:
    answer = api.get("/connector.zip")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert "siteferry-connector.zip" in answer.headers["content-disposition"]
    assert len(answer.content) < 100_000
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert any(name.endswith(".php") for name in names)
    assert not any(name.endswith("/key.php") for name in names)
