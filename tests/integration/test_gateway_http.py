"""HTTP as clients expect it, on a real gateway and a real status service behind nothing."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.ids import new_id
from siteferry.embedded.servers.ports import free_port
from tests.integration.gateway_process import Gateway, end, running_gateway, wait_ready

FOREIGN, STRANGER = "https://app.example.com", "https://evil.example"
WISH = {"source_url": "https://shop.example.com", "username": "admin", "password": "geheim-77"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0, allowed_origins=FOREIGN) as running:
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"alpha:{'0' * 64}\n")
    with running_gateway(api_keys_file=file, allowed_origins=FOREIGN) as running:
        yield running


PATHS = {
    "/clone": "OPTIONS, POST",
    "/jobs": "GET, HEAD, OPTIONS",
    "/jobs/{job}": "GET, HEAD, OPTIONS",
    "/jobs/{job}/cancel": "OPTIONS, POST",
    "/clones/{job}": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/batches": "GET, HEAD, OPTIONS, POST",
    "/webhooks": "GET, HEAD, OPTIONS, POST",
    "/session": "DELETE, GET, HEAD, OPTIONS, POST",
    "/livez": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("path", PATHS)
def test_every_method_of_an_address_is_named(api: httpx2.Client, path: str) -> None:
    there = path.format(job=new_id("clone"))
    answer = api.request("OPTIONS", there)
    assert (answer.status_code, answer.headers["allow"]) == (204, PATHS[path])
    refused = api.request("PUT", there)
    assert (refused.status_code, refused.headers["allow"]) == (405, PATHS[path])
    assert PATHS[path] in refused.json()["hint"]


def test_options_of_nothing(api: httpx2.Client) -> None:
    assert api.request("OPTIONS", "/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/jobs", "/version", "/docs", "/openapi.json", "/livez", "/jobs/clone-0", "/nothing"])
def test_head_is_get_without_its_body(api: httpx2.Client, path: str) -> None:
    get, head = api.get(path), api.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    if not path.startswith(("/jobs/", "/nothing")):  # whose trace ids are of one length, too
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "PUT"])
@pytest.mark.parametrize("path", ["/jobs", "/clone", "/nothing", "/livez"])
def test_every_answer_has_a_request_id(api: httpx2.Client, method: str, path: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", api.request(method, path).headers["x-request-id"])
    mine = {"X-Request-ID": "order-4711/a.b:c"}
    assert api.request(method, path, headers=mine).headers["x-request-id"] == mine["X-Request-ID"]
    for bad in ("a b", "x" * 200, "a\tb", "<script>"):
        assert api.request(method, path, headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


def test_pages_of_an_allowed_origin_may_call_with_a_key(keyed: Gateway) -> None:
    with keyed.client() as api:
        preflight = api.request("OPTIONS", "/clone", headers={"Origin": FOREIGN, **PREFLIGHT})
        assert preflight.status_code == 204  # a browser asks without the key
        assert preflight.headers["access-control-allow-origin"] == FOREIGN
        assert "POST" in preflight.headers["access-control-allow-methods"]
        for field in ("authorization", "content-type", "idempotency-key", "x-request-id", "prefer"):
            assert field in preflight.headers["access-control-allow-headers"].lower()
        refused = api.post("/clone", json=WISH, headers={"Origin": FOREIGN})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == FOREIGN  # so that the page can read why
        for field in ("location", "etag", "ratelimit", "retry-after", "x-request-id"):
            assert field in refused.headers["access-control-expose-headers"].lower()
        assert "origin" in refused.headers["vary"].lower()
        assert "access-control-allow-credentials" not in refused.headers


def test_pages_of_other_origins_may_not(api: httpx2.Client) -> None:
    for answer in (
        api.request("OPTIONS", "/clone", headers={"Origin": STRANGER, **PREFLIGHT}),
        api.get("/jobs", headers={"Origin": STRANGER}),
        api.post("/clone", json=WISH, headers={"Origin": STRANGER}),
        api.get("/jobs"),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "origin" in answer.headers["vary"].lower()
    assert api.post("/clone", json=WISH, headers={"Origin": STRANGER}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/jobs?stauts=failed", "/jobs?limit=5&page=2", "/clones?x", "/batches?q=a", "/livez?a=1", "/clone?wait=1"]
)
def test_unknown_parameters_are_refused_like_unknown_fields(api: httpx2.Client, path: str) -> None:
    answer = api.post(path, json=WISH) if path.startswith("/clone?") else api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"]
    assert "takes" in answer.json()["hint"]


def test_a_slash_too_many_leads_on_relative_to_this_server(api: httpx2.Client) -> None:
    for path, there in (("/jobs/", "/jobs"), ("/jobs/?limit=1", "/jobs?limit=1"), ("/clone//", "/clone")):
        answer = api.get(path)
        assert (answer.status_code, answer.headers["location"]) == (308, there)
    for path in ("//evil.example/", "/nothing/", "//"):
        assert "location" not in api.get(path).headers


def test_lists_are_compressed_and_what_holds_a_password_is_not(api: httpx2.Client) -> None:
    for number in range(8):
        job = api.post("/clone", json={**WISH, "name": f"Compressed {number}"}).json()["job_id"]
    zipped = {"Accept-Encoding": "gzip"}
    assert api.get("/openapi.json", headers=zipped).headers["content-encoding"] == "gzip"
    deadline = time.monotonic() + 30  # no projector is here: the gateway finds them by itself
    while len((answer := api.get("/jobs?limit=20", headers=zipped)).json()["jobs"]) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert "content-encoding" not in api.get("/openapi.json", headers={"Accept-Encoding": "identity"}).headers
    assert "content-encoding" not in api.get(f"/jobs/{job}", headers=zipped).headers


def test_version(api: httpx2.Client) -> None:
    assert api.get("/version").json() == {"name": "siteferry", "version": version("siteferry")}


def test_times_have_one_form(api: httpx2.Client) -> None:
    job = api.post("/clone", json=WISH).json()["job_id"]
    told = api.get(f"/jobs/{job}").text + api.get(f"/jobs/{job}/story").text + api.get("/jobs?limit=2").text
    times = re.findall(r'"(?:time|[a-z_]+_at)":"([^"]+)"', told)
    assert times
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time) for time in times)


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.example.com/%0d%0aX-Evil: 1",
        "https://shop.example.com/%0D%0A",
        "https://shop.example.com/a%00b",
        "https://shop.example.com/%1b]0;x",
        "https://shop.example.com/%7f",
        "https://shop.example.com/%c2%85",
        "https://shop.example.com/a\u2028b",
        "https://shop.example.com/a\u202eb",
        "https://shop.example.com/a\x85b",
        "https://shop%0d%0a.example.com",
        "https://shop.example.com\r\n.evil.example",
        "https://[::1%0d]/",
        "https://[zz]/",
        "https://" + "a" * 60 + "!.example",
        "https://" + "a." * 200,
    ],
)
def test_an_address_that_is_none_is_named_at_once(api: httpx2.Client, address: str) -> None:
    began = time.monotonic()
    for path, body in (
        ("/clone", {**WISH, "source_url": address}),
        ("/preflight", {"source_url": address}),
        ("/batches", {"clones": [{**WISH, "source_url": address}]}),
    ):
        answer = api.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), path
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["/jobs/{}%0a", "/jobs/{}%0d%0a", "/clones/{}%0a", "/jobs/{}%0a/story", "/jobs/{}%00"])
def test_an_id_with_a_line_end_is_no_id(api: httpx2.Client, path: str) -> None:
    assert api.get(path.format(new_id("clone"))).status_code == 404


PATH = "wp-content/uploads/" + "x" * 900


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/clone", {**WISH, "options": {"exclude_paths": ["x" * 2000]}}, 422),
        ("/clone", {**WISH, "options": {"exclude_tables": ["x" * 200]}}, 422),
        ("/clone", {**WISH, "options": {"allow_http": ["x" * 300]}}, 422),
        ("/clone", {**WISH, "options": {"exclude_paths": [f"{PATH}{n}" for n in range(200)]}}, 422),
        ("/clone", {**WISH, "options": {"exclude_paths": [f"{PATH}{n}" for n in range(400)]}}, 413),
        ("/clone", {**WISH, "options": {"exclude_paths": [f"{PATH}{n}" for n in range(100)]}}, 202),
        ("/batches", {"clones": [{**WISH, "options": {"exclude_paths": [f"{PATH}{n}" for n in range(500)]}}]}, 422),
    ],
)
def test_a_command_has_bounds(api: httpx2.Client, path: str, body: dict[str, Any], status: int) -> None:
    assert api.post(path, json=body).status_code == status


def test_a_refused_body_is_heard_out_before_its_answer(api: httpx2.Client) -> None:
    """Through a proxy, whoever answers while a body is still coming takes the answer's end with the connection."""
    at = (api.base_url.host, api.base_url.port)
    head = f"POST /clone HTTP/1.1\r\nHost: localhost\r\nContent-Length: {300_000}\r\n\r\n"
    with socket.create_connection(at, timeout=0.5) as connection:
        connection.sendall(head.encode() + b"x" * 150_000)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(b"x" * 150_000)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_batchs_defaults_are_not_multiplied_without_bounds(gateway: Gateway, api: httpx2.Client) -> None:
    options = {"exclude_paths": [f"{PATH[:180]}{n}" for n in range(450)]}
    clones = [{"source_url": f"https://site-{n}.example", "pairing_key": "x"} for n in range(1000)]
    before = peak_memory(gateway)
    answer = api.post("/batches", json={"defaults": {"options": options}, "clones": clones})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert peak_memory(gateway) - before < 60e6
    few = api.post("/batches", json={"defaults": {"options": options}, "clones": clones[:20]})
    assert few.status_code == 202


def peak_memory(gateway: Gateway) -> float:
    status = Path(f"/proc/{gateway.popen.pid}/status").read_text()
    return float(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]


@pytest.fixture(scope="module")
def status_url(gateway: Gateway) -> Iterator[str]:
    port = free_port()
    environment = {**gateway.environment, "SITEFERRY_STATUS_PORT": str(port)}
    popen = subprocess.Popen([sys.executable, "-m", "services.status"], env=environment)
    try:
        wait_ready(f"http://127.0.0.1:{port}", popen, timeout=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(popen)


def test_the_status_service_answers_its_own_names_only(status_url: str) -> None:
    with httpx2.Client(base_url=status_url, timeout=10, trust_env=False) as client:
        for host in ("evil.example", "localhost:80@evil.example", "localhost.evil.example", ""):
            for path in ("/", "/assets/js/main.js", f"/jobs/{new_id('clone')}/events"):
                assert client.get(path, headers={"Host": host}).status_code == 421, (host, path)
        assert client.get("/").status_code == 200
        assert client.get("/livez", headers={"Host": "10.0.0.7:8082"}).status_code == 200


def test_the_status_service_speaks_http_as_the_gateway_does(status_url: str, api: httpx2.Client) -> None:
    job = api.post("/clone", json=WISH).json()["job_id"]
    with httpx2.Client(base_url=status_url, timeout=10, trust_env=False) as client:
        page = client.get("/assets/app.css", headers={"Accept-Encoding": "gzip"})
        assert page.headers["content-encoding"] == "gzip"
        assert "--row" in page.text
        again = {"Accept-Encoding": "gzip", "If-None-Match": page.headers["etag"]}
        assert client.get("/assets/app.css", headers=again).status_code == 304
        plain = client.get("/assets/app.css", headers={"Accept-Encoding": "identity"})
        assert plain.text == page.text
        assert plain.headers["etag"] != page.headers["etag"]
        events = f"/jobs/{job}/events"
        head = client.head(events, headers={"X-Request-ID": "mine", "Origin": FOREIGN})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["x-request-id"] == "mine"
        assert head.headers["access-control-allow-origin"] == FOREIGN
        preflight = client.request("OPTIONS", events, headers={"Origin": FOREIGN, **PREFLIGHT})
        assert preflight.headers["access-control-allow-origin"] == FOREIGN
        assert preflight.headers["allow"] == "GET, HEAD, OPTIONS"
        assert "access-control-allow-origin" not in client.get("/", headers={"Origin": STRANGER}).headers


def test_a_gzipped_body_is_the_same(api: httpx2.Client) -> None:
    with api.stream("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert json.loads(gzip.decompress(raw)) == api.get("/openapi.json", headers={"Accept-Encoding": "identity"}).json()


def test_others_are_answered_while_the_description_is_made() -> None:
    waits = []
    with running_gateway() as fresh, fresh.client() as client, ThreadPoolExecutor(1) as pool:
        client.get("/livez")
        description = pool.submit(client.get, "/openapi.json", timeout=90)
        while not description.done():
            began = time.monotonic()
            assert client.get("/livez").status_code == 200
            waits.append(time.monotonic() - began)
        assert description.result().json()["info"]["title"]
    assert max(waits) < sum(waits) / 2, "one of them waited for all of it"
