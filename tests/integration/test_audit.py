"""The audit log, on a real nats-server with a gateway."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.gateway.audit import NOBODYS_A_MINUTE, TENANTS_A_MINUTE
from services.gateway.audit_actions import ACTIONS
from services.gateway.scopes import NEEDED
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.api_keys import tenant_token
from shared.contract.audit import Record
from shared.contract.events import now
from shared.contract.subjects import audit
from shared.contract.times import stamp
from shared.ids import new_id
from tests.integration.gateway_process import Gateway, running_gateway
from tests.integration.test_api_keys import NOBODYS, OPERATOR, WISH
from tests.live import command
from tests.live.stack import eventually


@dataclass
class Stand:
    """What a test works with."""

    gateway: Gateway
    bus: Bus

    @property
    def url(self) -> str:
        return self.gateway.url


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stand]:
    digest = hashlib.sha256(OPERATOR.encode()).hexdigest()
    with tempfile.TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name:
        keys = Path(name) / "keys"
        keys.write_text(f"boss:{digest}:house::operator\n")
        with running_gateway(audit_days=9, audit_mb=7, api_keys_file=keys) as gateway:
            async with connect(gateway.settings, service="test") as bus:
                yield Stand(gateway, bus)


async def call(it: Stand, secret: str | None, method: str, path: str, **options: Any) -> httpx2.Response:
    headers = ({"Authorization": f"Bearer {secret}"} if secret else {}) | options.pop("headers", {})
    async with httpx2.AsyncClient(base_url=it.url, timeout=40, trust_env=False) as client:
        return await client.request(method, path, headers=headers, **options)


async def make(it: Stand, by: str = OPERATOR, **wish: Any) -> dict[str, Any]:
    answer = await call(it, by, "POST", "/keys", json={"name": "test", **wish})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def records(it: Stand, secret: str = OPERATOR, **wish: Any) -> list[dict[str, Any]]:
    answer = await call(it, secret, "GET", "/audit", params=wish)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["records"]
    return found


async def ended(it: Stand, number: int = 1, **wish: Any) -> list[dict[str, Any]]:
    """So many records, once all of them say how they ended."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await records(it, **wish)
        return len(found) >= number and all(each["status"] for each in found)

    await eventually(there, timeout=10, what=f"records of {wish}")
    assert len(found) == number
    return found


async def test_a_submission_is_recorded_with_who_whence_and_what_became_of_it(it: Stand) -> None:
    key = await make(it, name="CI der Bäckerei", tenant="bakery")
    asked = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Request-ID": "ci-run-17"}
    answer = await call(it, key["secret"], "POST", "/clone", json=WISH, headers=asked)
    job = answer.json()["job_id"]
    [record] = await ended(it, object=job)
    assert record["action"] == "clone.request"
    assert (record["tenant"], record["key"], record["name"]) == ("bakery", key["id"], "CI der Bäckerei")
    assert (record["address"], record["request_id"]) == ("198.51.100.7", "ci-run-17")
    assert (record["outcome"], record["status"], record["code"], record["objects"]) == ("done", 202, None, [job])
    job_trace = (await it.bus.js.get_last_msg("CLONES", f"clone.requested.*.{job}")).headers or {}
    assert job_trace["traceparent"].split("-")[1] == record["trace_id"]

    gone = await call(it, key["secret"], "POST", f"/jobs/{NOBODYS['job_id']}/cancel")
    assert gone.status_code == 404
    [record] = await ended(it, object=NOBODYS["job_id"], tenant="bakery")
    assert (record["action"], record["outcome"], record["code"]) == ("job.cancel", "refused", "job_not_found")


async def test_no_secret_is_in_the_log(it: Stand) -> None:
    made = await make(it, tenant="secrets")
    link = (await call(it, made["secret"], "POST", "/session/links")).json()["url"].rpartition("/")[2]
    began = await call(it, None, "POST", "/session", json={"link": link})
    assert began.status_code == 200
    ticket = (await call(it, made["secret"], "POST", "/tickets")).json()["ticket"]
    await call(it, made["secret"], "POST", "/clone", json=WISH)
    await ended(it, 4, tenant="secrets", key=made["id"])
    state = (await it.bus.js.stream_info(streams.AUDIT)).state
    whole = b"".join(
        [
            (await it.bus.js.get_msg(streams.AUDIT, seq)).data or b""
            for seq in range(state.first_seq, state.last_seq + 1)
        ]
    )
    assert b"session.begin" in whole
    for secret in (made["secret"], link, ticket, WISH["password"], OPERATOR, began.headers["set-cookie"][20:50]):
        assert secret.encode() not in whole


async def test_signing_in_out_and_keys_are_recorded(it: Stand) -> None:
    made = await make(it, tenant="doors", scope="admin")
    began = await call(it, None, "POST", "/session", json={"api_key": made["secret"]})
    cookie = {"Cookie": began.headers["set-cookie"].partition(";")[0], "Sec-Fetch-Site": "same-origin"}
    assert (await call(it, None, "DELETE", "/session", headers=cookie)).status_code == 204
    other = await make(it, made["secret"], name="second")
    assert (await call(it, made["secret"], "POST", f"/keys/{other['id']}/rotate")).status_code == 200
    assert (await call(it, made["secret"], "DELETE", f"/keys/{other['id']}")).status_code == 204
    found = await ended(it, 5, tenant="doors")
    assert [each["action"] for each in reversed(found)] == [
        "session.begin",
        "session.end",
        "key.create",
        "key.rotate",
        "key.revoke",
    ]
    assert {each["key"] for each in found} == {made["id"]}
    assert [each["objects"] for each in found[:3]] == [[other["id"]]] * 3


async def test_each_operation_that_changes_something_leaves_a_record(it: Stand) -> None:
    """Asked about what is not there, by a key of its own each, so that none is only counted."""
    document = (await call(it, None, "GET", "/openapi.json")).json()
    tried = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = operation["operationId"]
            assert operation.get("x-audit") == (ACTIONS[name].value if name in ACTIONS else None)
            assert (name in ACTIONS) or method == "get", f"{name} has no action in the audit log"
            if name not in ACTIONS or name not in NEEDED:  # sign in and out: above
                continue
            tenant = f"tried-{name}"
            secret = (await make(it, tenant=tenant, scope="admin"))["secret"]
            body = {"json": {}} if "requestBody" in operation else {}
            answer = await call(it, secret, method.upper(), path.format(**NOBODYS), **body)
            [record] = await ended(it, tenant=tenant)
            assert record["action"] == ACTIONS[name], name
            assert record["status"] == answer.status_code
            tried += 1
    assert tried == len(ACTIONS) - 2


async def test_who_sees_what(it: Stand) -> None:
    admin, other = await make(it, tenant="seeing", scope="admin"), await make(it, tenant="unseen", scope="admin")
    for key in (admin, other):
        await call(it, key["secret"], "POST", "/tickets")
    await ended(it, tenant="seeing")
    assert {each["tenant"] for each in await records(it, admin["secret"])} == {"seeing"}
    assert await records(it, admin["secret"], tenant="unseen") == []
    for scope in ("read", "submit"):
        secret = (await make(it, tenant="seeing", scope=scope))["secret"]
        assert (await call(it, secret, "GET", "/audit")).status_code == 403
    assert (await call(it, None, "GET", "/audit")).status_code == 401


async def test_strangers_do_not_fill_it(it: Stand) -> None:
    for cookie in ({}, {"Cookie": "of_another_port=1"}):
        nothing = await call(it, None, "GET", "/session", headers={"X-Request-ID": "shows-nothing"} | cookie)
        assert nothing.status_code == 401
    claimed = NOBODYS["key_id"].removeprefix("key-")
    wrong = f"sfk_{claimed}_{'x' * 43}"
    await asyncio.gather(*(call(it, wrong, "GET", "/jobs") for _ in range(60)))

    async def seen() -> bool:
        return bool(await records(it, action="session.refused", key=NOBODYS["key_id"]))

    await eventually(seen, timeout=10, what="a refused key")
    found = await records(it, action="session.refused", limit=500)
    assert "shows-nothing" not in {each["request_id"] for each in found}
    assert len(found) <= 2 * NOBODYS_A_MINUTE, "of all tests, in two minutes at most"
    [first, *_] = [each for each in found if each["key"] == NOBODYS["key_id"]]
    assert (first["tenant"], first["status"], first["outcome"]) == ("", 401, "refused")

    member = await make(it, tenant="shouting")
    await asyncio.gather(*(call(it, member["secret"], "POST", "/webhooks", json={}) for _ in range(60)))
    assert len(await ended(it, TENANTS_A_MINUTE, tenant="shouting", limit=500)) == TENANTS_A_MINUTE


async def test_pages_filters_and_following(it: Stand) -> None:
    key = await make(it, tenant="paging", scope="admin")
    start = int((await call(it, OPERATOR, "GET", "/audit", params={"after": "newest"})).json()["next_cursor"])
    for _ in range(7):
        assert (await call(it, key["secret"], "POST", "/tickets")).status_code == 201
    middle = now()
    for _ in range(4):
        assert (await call(it, key["secret"], "DELETE", f"/webhooks/{NOBODYS['webhook_id']}")).status_code == 404
    whole = await ended(it, 11, tenant="paging")
    pages: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await call(
            it, key["secret"], "GET", "/audit", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
        )
        pages += answer.json()["records"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        assert len(answer.json()["records"]) == 3
    assert pages == whole
    assert [each["at"] for each in whole] == sorted((each["at"] for each in whole), reverse=True)
    assert len(await records(it, tenant="paging", until=stamp(middle))) == 7
    assert len(await records(it, tenant="paging", since=stamp(middle))) == 4
    assert len(await records(it, tenant="paging", outcome="refused")) == 4
    assert len(await records(it, tenant="paging", action="session.ticket")) == 7
    assert await records(it, tenant="paging", until=stamp(middle - timedelta(days=3))) == []
    for late in ("9999-12-31T23:59:59Z", "2500-01-01T00:00:00Z"):
        assert len(await records(it, tenant="paging", until=late)) == 11
    assert await records(it, tenant="paging", until="0001-01-01T00:00:00+14:00") == []
    followed = (await call(it, key["secret"], "GET", "/audit", params={"after": str(start)})).json()
    assert followed["records"] == whole[::-1]
    again = (await call(it, key["secret"], "GET", "/audit", params={"after": followed["next_cursor"]})).json()
    assert again == {"records": [], "next_cursor": followed["next_cursor"]}


async def test_what_was_begun_and_never_answered_is_told_as_unknown(it: Stand) -> None:
    """As a gateway leaves it that is killed between."""
    begun = Record(
        id=new_id("record"),
        at=now(),
        tenant="killed",
        key="key-x",
        address="",
        request_id="r",
        trace_id="t",
        action="job.cancel",
    )
    where = audit(tenant_token("killed"), begun.action, begun.id)
    await it.bus.js.publish(where, begun.model_dump_json().encode())
    [record] = await records(it, tenant="killed")
    assert (record["outcome"], record["status"], record["ended_at"]) == ("unknown", None, None)
    done = begun.model_copy(update={"ended_at": now(), "status": 202})
    await it.bus.js.publish(where, done.model_dump_json().encode())
    [record] = await records(it, tenant="killed")
    assert record["outcome"] == "done"
    assert await records(it, tenant="killed", limit=1, outcome="unknown") == []


async def test_nobody_takes_something_out_of_it_and_settings_say_how_much_is_kept(it: Stand) -> None:
    config = (await it.bus.js.stream_info(streams.AUDIT)).config
    assert (config.max_age, config.max_bytes) == (9 * 86_400, 7_000_000)
    await streams.install(it.bus.js)
    assert (await it.bus.js.stream_info(streams.AUDIT)).config.max_bytes == 7_000_000, "who does not know leaves it"
    await call(it, OPERATOR, "POST", "/tickets")
    last = (await it.bus.js.stream_info(streams.AUDIT)).state.last_seq
    with pytest.raises((NatsError, JetStreamError)):
        await it.bus.js.delete_msg(streams.AUDIT, last)
    with pytest.raises((NatsError, JetStreamError)):
        await it.bus.js.purge_stream(streams.AUDIT)


async def siteferry(it: Stand, *arguments: str) -> tuple[int, str, str]:
    return await command.siteferry(it.url, OPERATOR, "audit", *arguments)


async def test_the_command_shows_filters_and_follows(it: Stand) -> None:
    key = await make(it, name="Tester", tenant="typing")
    job = (await call(it, key["secret"], "POST", "/clone", json=WISH)).json()["job_id"]
    await ended(it, object=job)
    code, out, _ = await siteferry(it, "--about", job)
    assert code == 0
    assert out.splitlines()[1].split("\t")[1:] == [f"Tester ({key['id']})", "127.0.0.1", "clone.request", job, "done"]
    code, out, _ = await siteferry(it, "--tenant", "typing", "--since", "1h", "--json")
    assert [each["objects"] for each in json.loads(out)["records"]] == [[job]]
    code, _, err = await siteferry(it, "--action", "no.such")
    assert (code, "action" in err) == (2, True)
    pipe = asyncio.subprocess.PIPE
    following = await asyncio.create_subprocess_exec(
        command.SITEFERRY,
        *("--url", it.url, "--api-key", OPERATOR, "audit", "--follow", "--json", "--tenant", "typing"),
        stdout=pipe,
    )
    try:
        assert following.stdout is not None
        line = asyncio.create_task(following.stdout.readline())
        while not line.done():
            await call(it, key["secret"], "POST", "/tickets")
            await asyncio.wait([line], timeout=0.5)
        assert json.loads(line.result())["action"] == "session.ticket"
    finally:
        following.kill()
        await following.wait()


async def test_nothing_is_done_that_can_not_be_recorded(it: Stand) -> None:
    """The last one: it takes the log away."""
    key = await make(it, tenant="unrecorded", scope="admin")
    config = (await it.bus.js.stream_info(streams.AUDIT)).config
    await it.bus.js.delete_stream(streams.AUDIT)
    last = (await it.bus.js.stream_info("CLONES")).state.last_seq
    for method, path, body in (
        ("POST", "/clone", WISH),
        ("POST", "/keys", {"name": "unseen"}),
        ("DELETE", f"/keys/{key['id']}", None),
        ("POST", "/session/links", None),
    ):
        answer = await call(it, key["secret"], method, path, **({"json": body} if body else {}))
        assert answer.status_code == 503, (path, answer.text)
    assert (await it.bus.js.stream_info("CLONES")).state.last_seq == last
    assert (await call(it, key["secret"], "GET", "/keys")).json()["keys"][0]["state"] == "active"
    await it.bus.js.add_stream(config)
    assert (await call(it, key["secret"], "POST", "/clone", json=WISH)).status_code == 202
