"""HTTP as clients expect it, through the one origin: Caddy, gateway and status, with curl's eyes and in Chromium."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

from shared.contract.events import Expired
from shared.contract.jobs import CloneState
from shared.ids import new_id
from shared.web import HEAD_MAX
from tests.live.guarded import KEYS, write_keys
from tests.live.simulator import Simulated
from tests.live.stack import eventually
from tests.live.stage import Stage, chromium, stage

STRANGER = "https://evil.example"
KEY = {"Authorization": f"Bearer {KEYS['agency']}"}
WISH = {"source_url": "https://shop.example.com", "username": "admin", "password": "geheim-77"}
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f-]{36}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TIMES = re.compile(r'"(?:time|timestamp|start|since|until|[a-z_]+_(?:at|until))": ?"([^"]+)"')


class _Page(BaseHTTPRequestHandler):
    """An empty page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def page_of_another_origin() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def friend() -> Iterator[str]:
    """An origin that is allowed."""
    with page_of_another_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
async def it(friend: str) -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name:
        write_keys(Path(name) / "keys", *KEYS)
        async with stage(api_keys_file=f"{name}/keys", allowed_origins=friend, sync_seconds="1") as found:
            yield found


@pytest.fixture
async def api(it: Stage) -> AsyncIterator[httpx2.AsyncClient]:
    address = it.url.replace("localhost", "127.0.0.1")
    async with httpx2.AsyncClient(base_url=address, headers=KEY, timeout=20, trust_env=False) as client:
        yield client


async def said(it: Stage, request: str) -> tuple[int, dict[str, str], str]:
    """What a request written by hand is answered: status, header fields, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(it.url.rpartition(":")[2]))
    try:
        writer.write(request.encode("latin-1"))
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(fields.get("content-length", 0)))
        return int(first.split()[1]), fields, body.decode()
    finally:
        writer.close()


AT_HOME = "Host: localhost\r\n"
SIGNED = f"{AT_HOME}Authorization: {KEY['Authorization']}\r\n"
BODIES = {411: "0\r\n\r\n", 413: "x" * 300_000}
"""Of the requests that are refused for it."""
LAYERS = [
    ("GET /livez HTTP/1.1", AT_HOME, 200),
    ("GET /jobs HTTP/1.1", AT_HOME, 401),
    ("GET /nothing HTTP/1.1", SIGNED, 404),
    ("PUT /jobs HTTP/1.1", f"{SIGNED}Content-Length: 0\r\n", 405),
    ("POST /clone HTTP/1.1", f"{SIGNED}Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n", 411),
    ("POST /clone HTTP/1.1", f"{SIGNED}Content-Length: 300000\r\nContent-Type: application/json\r\n", 413),
    ("GET /jobs HTTP/1.1", "Host: evil.example\r\n", 421),
    ("GET /jobs HTTP/1.1", f"{AT_HOME}Cookie: {'x' * HEAD_MAX}\r\n", 431),
    (f"GET /{'x' * (HEAD_MAX - 500)} HTTP/1.1", f"{AT_HOME}Cookie: {'x' * 1000}\r\n", 431),
    ("ODD /jobs HTTP/1.1", AT_HOME, 400),
    ("GET /jobs/clone-0/events HTTP/1.1", AT_HOME, 401),
    ("GET /jobs/clone-0/events?x=1 HTTP/1.1", AT_HOME, 422),
    ("PUT /jobs/clone-0/events HTTP/1.1", f"{AT_HOME}Content-Length: 0\r\n", 405),
    ("GET /jobs/clone-0/events HTTP/1.1", f"{AT_HOME}Cookie: {'x' * HEAD_MAX}\r\n", 431),
    ("GET /assets/nothing.js HTTP/1.1", AT_HOME, 404),
    ("GET /ws HTTP/1.1", AT_HOME, 426),
    (
        "GET /ws HTTP/1.1",
        f"{AT_HOME}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {STRANGER}\r\n",
        403,
    ),
]


@pytest.mark.parametrize(("line", "fields", "status"), LAYERS, ids=[f"{line[:40]} {s}" for line, _, s in LAYERS])
async def test_every_answer_of_every_layer_has_a_request_id(it: Stage, line: str, fields: str, status: int) -> None:
    for given, told in (("", None), ("order-4711/a:b", "order-4711/a:b"), ("a b<script>", None), ("x" * 300, None)):
        own = f"X-Request-ID: {given}\r\n" if given else ""
        found, answer, body = await said(it, f"{line}\r\n{own}{fields}\r\n{BODIES.get(status, '')}")
        assert found == status, body
        if told and found != 400:  # what can not be read as HTTP may have no fields, either
            assert answer["x-request-id"] == told
        else:
            assert ID.fullmatch(answer["x-request-id"])
        if status >= 400 and status != 421:
            problem = json.loads(body)
            assert answer["content-type"] == "application/problem+json"
            assert (problem["status"], bool(problem["hint"] or problem["detail"])) == (status, True)
            assert len(body) < 1000  # a long address is not told again


ERRORS = [
    ("GET", "/jobs", {"Authorization": "Bearer no-key"}, None, 401),
    ("GET", "/nothing", {}, None, 404),
    ("GET", "/jobs/clone-0", {}, None, 404),
    ("DELETE", "/jobs", {}, None, 405),
    ("POST", "/clone", {"Content-Type": "text/plain"}, b"{}", 415),
    ("POST", "/clone", {"Content-Type": "application/json"}, b"{", 400),
    ("POST", "/clone", {"Content-Type": "application/json"}, b"{}", 422),
    ("GET", "/jobs?stauts=failed", {}, None, 422),
    ("GET", "/jobs", {"Cookie": "x" * HEAD_MAX}, None, 431),
    ("GET", "/clones/clone-0/mail", {}, None, 404),
    ("GET", "/jobs/clone-0/events", {}, None, 404),
]


@pytest.mark.parametrize(("method", "path", "fields", "body", "status"), ERRORS)
async def test_pages_of_an_allowed_origin_read_errors_and_others_do_not(
    api: httpx2.AsyncClient, friend: str, method: str, path: str, fields: dict[str, str], body: bytes, status: int
) -> None:
    answer = await api.request(method, path, headers={**fields, "Origin": friend}, content=body)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == friend
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].lower().split(",")}
    assert {"location", "etag", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"} <= exposed
    assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    refused = await api.request(method, path, headers={**fields, "Origin": STRANGER}, content=body)
    assert not [name for name in refused.headers if name.startswith("access-control-")]


async def test_a_page_reads_that_it_asks_too_much(friend: str, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys", *KEYS)
    settings = {"rate_limit_per_minute": "1", "rate_limit_burst": "1"}
    async with (
        stage(api_keys_file=str(tmp_path / "keys"), allowed_origins=friend, **settings) as it,
        httpx2.AsyncClient(base_url=it.url, headers={**KEY, "Origin": friend}, trust_env=False, timeout=20) as api,
    ):
        answers = [await api.post("/clone", json=WISH) for _ in range(3)]
        assert [answer.status_code for answer in answers][-1] == 429
        assert answers[-1].headers["access-control-allow-origin"] == friend
        assert int(answers[-1].headers["retry-after"]) > 0
        it.house.kill()

        async def answered() -> httpx2.Response | None:  # a busy gateway notices a moment later that its store is gone
            answer = await api.get("/jobs/clone-0")
            return None if answer.status_code == 404 else answer

        away = await eventually(answered, timeout=20, what="that the store is gone")
        assert (away.status_code, away.headers["access-control-allow-origin"]) == (503, friend)
        it.status.close()
        away = await api.get("/jobs/clone-0/events")  # so is a service: Caddy itself answers
        assert (away.status_code, away.json()["code"]) == (502, "service_away")
        assert (away.headers["access-control-allow-origin"], away.headers["retry-after"]) == (friend, "2")
        assert ID.fullmatch(away.headers["x-request-id"])
        stranger = await api.get("/jobs/clone-0/events", headers={"Origin": STRANGER, "X-Request-ID": "mine"})
        assert (stranger.status_code, stranger.headers["x-request-id"]) == (502, "mine")
        assert "access-control-allow-origin" not in stranger.headers


async def test_every_path_answers_options_and_head_and_names_its_methods(api: httpx2.AsyncClient, friend: str) -> None:
    document = (await api.get("/openapi.json")).json()
    assert {"/jobs/{job_id}/events", "/ws"} <= document["paths"].keys()
    for path, item in document["paths"].items():
        there = re.sub(r"\{\w+\}", new_id("clone"), path)
        methods = {method.upper() for method in item} | {"OPTIONS"}
        methods |= {"HEAD"} if "get" in item else set()
        plain = await api.request("OPTIONS", there, headers={"Authorization": ""})
        assert (plain.status_code, set(plain.headers["allow"].split(", "))) == (204, methods), path
        wanted = {"Origin": friend, "Access-Control-Request-Method": "POST", "Authorization": ""}
        preflight = await api.request("OPTIONS", there, headers=wanted)
        assert set(preflight.headers["access-control-allow-methods"].split(", ")) == methods, path
        refused = await api.request("PATCH" if "PATCH" not in methods else "PUT", there)
        assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, methods), path
        if "HEAD" in methods:
            get, head = await api.get(there), await api.head(there)
            assert (head.status_code, head.content) == (get.status_code, b""), path


@pytest.mark.parametrize("path", ["/jobs", "/clones", "/clone", "/jobs/clone-0/events", "/livez", "/keys"])
async def test_an_unknown_parameter_is_refused_by_its_name(api: httpx2.AsyncClient, path: str) -> None:
    ask = api.post if path == "/clone" else api.get
    answer = await ask(f"{path}?limti=5", **({"json": WISH} if path == "/clone" else {}))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "limti" in answer.json()["detail"]
    pasted = await ask(f"{path}?geheim%2077", **({"json": WISH} if path == "/clone" else {}))
    assert pasted.status_code == 422
    assert "geheim" not in pasted.text


@pytest.mark.parametrize(
    ("path", "fields", "body", "status"),
    [
        ("/api/v1/clone", {"Authorization": "Bearer no-key"}, WISH, 401),
        ("/api/v1/clone", {}, {}, 422),
        ("/api/v1/clone", {}, WISH, 202),
        ("/api/v1/restore", {}, {"clone_id": "clone-0"}, 422),
        ("/api/v1/nothing", {}, {}, 404),
    ],
)
async def test_all_that_v1_answers_says_that_it_ends(
    api: httpx2.AsyncClient, path: str, fields: dict[str, str], body: dict[str, Any], status: int
) -> None:
    answer = await api.post(path, json=body, headers=fields)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert answer.headers["deprecation"] == "@1796083200"
    assert 'rel="deprecation"' in answer.headers["link"]


async def test_times_have_one_form_everywhere(it: Stage, api: httpx2.AsyncClient) -> None:
    made = (await api.post("/clone", json=WISH)).json()["job_id"]
    job = await Simulated(it.bus, job_id=made, keys=it.keys, ticks=1).adopt()
    await job.start()
    await job.run_steps()
    await job.complete()
    await eventually(lambda: _is(api, f"/clones/{made}", state="active"), timeout=20, what="the clone")
    whole = {"expires_at": "2026-12-20T12:00:00+01:00"}  # a moment without a fraction, of another zone
    told = [await api.patch(f"/clones/{made}", json=whole)]
    assert told[0].json()["expires_at"] == "2026-12-20T11:00:00.000000Z"
    for path in (f"/jobs/{made}", f"/jobs/{made}/story", "/jobs", "/clones", "/statistics"):
        told.append(await api.get(path))
    told.append(await api.get(f"/jobs/{made}/events", headers={"Accept": "application/json"}))
    told.append(await api.get(f"/jobs/{made}/events"))  # ends, because the job has
    assert told[-1].headers["content-type"].startswith("text/event-stream")
    assert told[-1].text.rstrip().rpartition("event: ")[2].startswith("end")
    for answer in told:
        found = TIMES.findall(answer.text)
        assert found, answer.text
        assert [time for time in found if not TIME.fullmatch(time)] == [], answer.request.url


async def _is(api: httpx2.AsyncClient, path: str, **wanted: str) -> bool:
    answer = await api.get(path)
    return answer.status_code == 200 and wanted.items() <= answer.json().items()


async def test_what_holds_secrets_is_never_compressed(it: Stage, api: httpx2.AsyncClient) -> None:
    zipped = {"Accept-Encoding": "gzip, br"}
    for path in ("/openapi.json", "/docs", "/metrics", "/assets/app.css"):
        answer = await api.get(path, headers=zipped)
        assert answer.headers["content-encoding"] == "gzip", path
        assert "accept-encoding" in answer.headers["vary"].lower()
    wish = {**WISH, "name": "x" * 100, "options": {"exclude_paths": ["a" * 900, "b" * 900]}}
    made = (await api.post("/clone", json=wish)).json()["job_id"]
    for path in (f"/jobs/{made}", f"/clones/{made}", "/session"):
        assert "content-encoding" not in (await api.get(path, headers=zipped)).headers


async def test_slashes_too_many_lead_on_below_the_same_origin(api: httpx2.AsyncClient) -> None:
    for path, there in (("/jobs/", "/jobs"), ("/jobs/?limit=1", "/jobs?limit=1")):
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["location"]) == (308, there)


async def test_mail_of_a_deleted_clone_is_gone(it: Stage, api: httpx2.AsyncClient) -> None:
    job = await Simulated(it.bus, tenant="agency", keys=it.keys, ticks=1).submit()
    await job.start()
    await job.complete()
    await it.bus.publish(Expired(job_id=job.job_id, reason="deleted"))
    await eventually(
        lambda: _is(api, f"/clones/{job.job_id}", state=CloneState.DELETED), timeout=20, what="the deletion"
    )
    for path in (f"/clones/{job.job_id}/mail", f"/clones/{job.job_id}/mail/1"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "clone_gone")


ASK = """async ([url, key]) => {
    const ask = async (path, options) => {
        const headers = {Authorization: `Bearer ${key}`, ...(options?.headers ?? {})};
        const answer = await fetch(url + path, {...options, headers});
        const read = (name) => answer.headers.get(name);
        return {status: answer.status, location: read("location"), id: read("x-request-id"),
            left: read("ratelimit"), code: (await answer.json()).code ?? null};
    };
    const json = {"Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID(), Prefer: "respond-async"};
    const wish = {source_url: "https://shop.example.com", username: "a", password: "b"};
    try {
        return {
            made: await ask("/clone", {method: "POST", headers: json, body: JSON.stringify(wish)}),
            listed: await ask("/jobs"),
            wrong: await ask("/clone", {method: "POST", headers: json, body: "{}"}),
            nowhere: await ask("/jobs/clone-0"),
        };
    } catch (error) { return {failed: String(error)}; }
}"""


async def test_in_a_browser_an_allowed_origin_works_and_another_does_not(it: Stage, friend: str) -> None:
    with page_of_another_origin() as stranger:
        async with chromium() as browser, await browser.new_context() as context:
            page = await context.new_page()
            await page.goto(friend)
            seen = await page.evaluate(ASK, [it.url, KEYS["agency"]])
            assert (seen["made"]["status"], seen["made"]["location"][:12]) == (202, "/jobs/clone-")
            assert seen["made"]["left"]
            assert seen["listed"]["status"] == 200
            assert (seen["wrong"]["status"], seen["wrong"]["code"]) == (422, "invalid_request")
            assert (seen["nowhere"]["status"], seen["nowhere"]["code"]) == (404, "job_not_found")
            assert all(ID.fullmatch(each["id"]) for each in seen.values())
            wrong = await page.evaluate(ASK, [it.url, "no-key"])
            assert {each["code"] for each in wrong.values()} == {"unauthenticated"}
            await page.goto(stranger)
            assert "Failed to fetch" in (await page.evaluate(ASK, [it.url, KEYS["agency"]]))["failed"]


async def test_a_call_is_tried_from_the_page_that_describes_it(it: Stage, tmp_path: Path) -> None:
    async with chromium() as browser, await browser.new_context() as context:
        page = await context.new_page()
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        elsewhere: list[str] = []
        page.on("request", lambda asked: elsewhere.append(asked.url) if not asked.url.startswith(it.url) else None)
        await page.goto(f"{it.url}/docs")
        await page.get_by_label("API key").fill(KEYS["agency"])
        listing = page.locator("#listJobs")
        await listing.locator("summary").click()
        await listing.get_by_label("limit").fill("1")
        await listing.get_by_role("button", name="Send").click()
        shown = listing.locator("output")
        await shown.get_by_text('"next_cursor"').wait_for(timeout=20_000)
        told = await shown.inner_text()
        assert told.startswith("200")
        assert "x-request-id: " in told
        await page.screenshot(path=tmp_path / "docs.png")
        assert (wrong, elsewhere) == ([], [])
        colour = "getComputedStyle(document.body).backgroundColor"
        docs = await page.evaluate(colour)
        await page.goto(it.url)
        assert await page.evaluate(colour) == docs  # the dashboard's own
