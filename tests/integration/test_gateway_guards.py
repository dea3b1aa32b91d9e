"""Who may ask what: host names, origins, API keys, tenants, lanes, rates."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.gateway.limits import RateLimit
from services.gateway.problems import Problem
from shared.bus.connection import connect
from tests.integration.gateway_process import Gateway, running_gateway

WISH = {"source_url": "https://shop.example.com", "username": "admin", "password": "geheim-77"}
KEYS = {"alpha": "sk-alpha", "beta": "sk-beta", "slow": "sk-slow", "extra": "sk-extra"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="module")
def keyed() -> Iterator[Gateway]:
    """A gateway that needs keys: two of tenant acme, one of beta, one for the low lane only."""
    digest = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in KEYS.items()}
    with tempfile.TemporaryDirectory(prefix="siteferry-") as directory:
        file = Path(directory) / "keys"
        file.write_text(
            f"# keys\nalpha:{digest['alpha']}:acme:high\nextra:{digest['extra']}:acme\n"
            f"beta:{digest['beta']}\nslow:{digest['slow']}:acme:low\n"
        )
        with running_gateway(api_keys_file=file) as running:
            yield running


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_loopback_names_are_answered(api: httpx2.Client, gateway: Gateway, host: str) -> None:
    assert api.get("/jobs", headers={"Host": f"{host}:{gateway.port}"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "clone-0k3v9x2m7c1p5t8w.localhost", "localhost.evil.example", ""])
def test_other_names_are_not(api: httpx2.Client, gateway: Gateway, host: str) -> None:
    answer = api.get("/jobs", headers={"Host": f"{host}:{gateway.port}" if host else ""})
    assert (answer.status_code, answer.json()["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://clone-0k3v9x2m7c1p5t8w.localhost:8080"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_change_nothing(api: httpx2.Client, headers: dict[str, str]) -> None:
    for method, path in [
        ("POST", "/clone"),
        ("DELETE", "/clones/x"),
        ("POST", "/jobs/x/cancel"),
        ("PATCH", "/clones/x"),
    ]:
        answer = api.request(method, path, json=WISH, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
    assert api.get("/jobs", headers=headers).status_code == 200


def test_own_pages_may(api: httpx2.Client, gateway: Gateway) -> None:
    for headers in ({"Origin": gateway.url}, {"Sec-Fetch-Site": "same-origin"}, {}):
        assert api.post("/clone", json=WISH, headers=headers).status_code == 202


def test_forms_and_bodies_without_length_are_refused(api: httpx2.Client) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = api.post("/clone", content=json.dumps(WISH), headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    chunks = (part for part in [b'{"a"', b":1}"])
    answer = api.post("/clone", content=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


def test_answers_may_not_be_kept_or_embedded_elsewhere(api: httpx2.Client) -> None:
    for path in ("/jobs", "/docs", "/nowhere"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
    assert "default-src 'none'" in api.get("/docs").headers["content-security-policy"]


def test_docs_need_nothing_from_elsewhere(api: httpx2.Client) -> None:
    page = api.get("/docs").text
    assert "//cdn" not in page
    for operation in ("requestClone", "getJob", "extendClone"):
        assert f'id="{operation}"' in page
    for path, media_type in (("/docs.css", "text/css"), ("/docs.js", "text/javascript")):
        answer = api.get(path)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, media_type)


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer sk-wrong", "Basic c2stYWxwaGE6"])
def test_without_a_valid_key_nothing_is_told(keyed: Gateway, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    with keyed.client(headers=headers) as api:
        for method, path in [("GET", "/jobs"), ("POST", "/clone"), ("GET", "/nowhere"), ("DELETE", "/clones/x")]:
            answer = api.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert api.get("/livez").status_code == 200
        assert api.get("/docs").status_code == 200


def test_jobs_belong_to_their_tenant(keyed: Gateway) -> None:
    with keyed.client() as api:
        job_id = api.post("/clone", json=WISH, headers=bearer("alpha")).json()["job_id"]
        assert api.get(f"/jobs/{job_id}", headers=bearer("alpha")).json()["priority"] == "high"
        assert api.get(f"/jobs/{job_id}", headers=bearer("extra")).status_code == 200
        for method, path in [("GET", ""), ("GET", "/story"), ("POST", "/cancel"), ("POST", "/retry")]:
            answer = api.request(method, f"/jobs/{job_id}{path}", headers=bearer("beta"))
            assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_idempotency_keys_belong_to_their_tenant(keyed: Gateway) -> None:
    with keyed.client(headers={"Idempotency-Key": "same"}) as api:
        ids = {
            api.post("/clone", json=WISH, headers=bearer(name)).json()["job_id"] for name in ("alpha", "extra", "beta")
        }
        assert len(ids) == 2


def test_key_limits_the_lane(keyed: Gateway) -> None:
    with keyed.client(headers=bearer("slow")) as api:
        job_id = api.post("/clone", json=WISH).json()["job_id"]
        assert api.get(f"/jobs/{job_id}").json()["priority"] == "low"
        refused = api.post("/clone", json=WISH | {"priority": "normal"})
        assert (refused.status_code, refused.json()["code"]) == (403, "priority_not_allowed")


def test_any_host_name_will_do_where_keys_are_needed(keyed: Gateway) -> None:
    with keyed.client(headers=bearer("beta") | {"Host": "siteferry.example.com"}) as api:
        assert api.get("/jobs").status_code == 200


def test_too_many_changes_are_put_off_and_looking_is_not() -> None:
    with running_gateway(rate_limit_per_minute=30, rate_limit_burst=5) as running, running.client() as api:
        accepted = [api.post("/clone", json=WISH) for _ in range(5)]
        assert [answer.status_code for answer in accepted] == [202] * 5
        assert [answer.headers["ratelimit"].partition(";t")[0] for answer in accepted] == [
            f'"changes";r={left}' for left in (4, 3, 2, 1, 0)
        ]
        assert accepted[0].headers["ratelimit-policy"] == '"changes";q=5;w=10'
        refused = api.post("/clone", json=WISH)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "2"
        assert refused.headers["ratelimit"].startswith('"changes";r=0')
        assert api.get("/jobs").status_code == 200


async def test_replicas_share_one_limit(gateway: Gateway) -> None:
    async with connect(gateway.settings, service="a") as one, connect(gateway.settings, service="b") as two:
        replicas = [RateLimit(bus, per_minute=1, burst=40) for bus in (one, two)]

        async def take(number: int) -> bool:
            try:
                await replicas[number % 2].take("shared-by-two")
            except Problem as problem:
                return problem.status != 429
            return True

        granted = await asyncio.gather(*(take(number) for number in range(100)))
        assert sum(granted) == 40
