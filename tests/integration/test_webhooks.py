"""Webhooks end to end: a real receiver on a socket, real gateway, two real status processes, a real nats-server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.status.webhooks.send import Sender
from shared.contract.webhooks import new_secret, sign
from tests.live.guarded import Guarded, guarded
from tests.live.simulator import Simulated
from tests.live.stack import eventually

Answer = Callable[["Receiver"], Awaitable[bytes]]
OK = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


@dataclass
class Message:
    """One request the receiver got."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Receiver:
    """A program that takes webhooks, and how it answers."""

    port: int = 0
    answers: list[bytes] = field(default_factory=list)
    """What it answers one after the other; then OK."""
    silent: bool = False
    got: list[Message] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            names = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            values = {name.lower(): value for name, value in names.items()}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append(Message(values, body))
            if self.silent:
                await reader.read()  # until the other side gives up
                return
            writer.write(self.answers.pop(0) if self.answers else OK)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def receiver(**options: Any) -> AsyncIterator[Receiver]:
    it = Receiver(**options)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Guarded]:
    # 0.2 s, 0.8 s, 3.2 s; given up after 7.2 s
    async with guarded(webhook_networks="127.0.0.0/8", webhook_first_retry="0.2", webhook_retry_hours="0.002") as found:
        yield found


async def register(it: Guarded, url: str, *, tenant: str = "agency", events: list[str] | None = None) -> dict[str, Any]:
    async with it.client(tenant) as client:
        answer = await client.post("/webhooks", json={"url": url, "events": events or []})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


async def remove(it: Guarded, hook: dict[str, Any], *, tenant: str = "agency") -> None:
    async with it.client(tenant) as client:
        assert (await client.delete(f"/webhooks/{hook['id']}")).status_code == 204


async def deliveries(it: Guarded, hook: dict[str, Any], *, tenant: str = "agency") -> list[dict[str, Any]]:
    async with it.client(tenant) as client:
        found: list[dict[str, Any]] = (await client.get(f"/webhooks/{hook['id']}/deliveries")).json()["deliveries"]
        return found


async def complete(it: Guarded, *, tenant: str = "agency") -> Simulated:
    job = await Simulated(it.bus, tenant=tenant, ticks=1).submit()
    await job.start()
    await job.complete()
    return job


async def test_a_completed_job_is_told_once_signed_and_without_a_secret(it: Guarded) -> None:
    async with receiver() as hooks:
        hook = await register(it, hooks.url)
        job, _ = await complete(it), await complete(it, tenant="other")
        await eventually(lambda: hooks.got, what="the message")
        message = hooks.got[0]
        stamp = int(message.headers["webhook-timestamp"])
        assert message.headers["webhook-signature"] == sign(hook["secret"], message.id, stamp, message.body)
        assert message.told["type"] == "clone.completed"
        assert message.told["data"]["job"]["job_id"] == job.job_id
        assert message.told["data"]["job"]["status"] == "completed"
        assert b"passw" not in message.body
        log = await eventually(lambda: deliveries(it, hook), what="the log")
        assert (log[0]["id"], log[0]["state"], log[0]["attempts"][0]["status_code"]) == (message.id, "delivered", 204)
        await remove(it, hook)
        assert len(hooks.got) == 1, "told twice, or of another tenant's job"


async def test_what_is_not_taken_comes_again_with_the_same_id_and_is_given_up_in_the_end(it: Guarded) -> None:
    broken = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000
    async with receiver(answers=[broken, moved, endless]) as hooks, receiver(answers=[broken] * 20) as never:
        hook, lost = await register(it, hooks.url), await register(it, never.url)
        job = await Simulated(it.bus, tenant="agency").submit()
        await job.start()
        await job.fail()

        async def done(which: dict[str, Any], state: str) -> bool:
            log = await deliveries(it, which)
            return bool(log) and log[0]["state"] == state

        await eventually(lambda: done(hook, "delivered"), timeout=30, what="the third try")
        assert len({message.id for message in hooks.got}) == 1
        attempts = (await deliveries(it, hook))[0]["attempts"]
        assert [attempt["status_code"] for attempt in attempts] == [200, 302, 500]
        assert [attempt["outcome"] for attempt in attempts] == ["delivered", "retrying", "retrying"]
        await eventually(lambda: done(lost, "failed"), timeout=30, what="giving up")
        assert (await deliveries(it, lost))[0]["next_attempt_at"] is None
        await remove(it, hook)
        await remove(it, lost)


async def test_gone_means_gone(it: Guarded) -> None:
    async with receiver(answers=[b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"]) as hooks:
        hook = await register(it, hooks.url)
        await complete(it)

        async def disabled() -> bool:
            async with it.client("agency") as client:
                return (await client.get(f"/webhooks/{hook['id']}")).json()["disabled"] is not None

        await eventually(disabled, what="the end of the endpoint")
        await complete(it)
        async with receiver() as other:
            witness = await register(it, other.url)
            await complete(it)
            await eventually(lambda: other.got, what="the witness")
            await remove(it, witness)
        assert len(hooks.got) == 1
        await remove(it, hook)


async def test_a_silent_receiver_delays_nobody_else(it: Guarded) -> None:
    async with receiver(silent=True) as silent, receiver() as quick:
        dead, well = await register(it, silent.url), await register(it, quick.url)
        jobs = [await complete(it) for _ in range(20)]
        told = await eventually(
            lambda: len({m.told["data"]["job"]["job_id"] for m in quick.got}) == len(jobs) and quick.got,
            timeout=15,
            what="all messages to the quick one",
        )
        assert Counter(message.told["type"] for message in told) == {"clone.completed": len(jobs)}
        assert silent.most_open <= 2 * 4, "more at once than each of two processes may"
        async with it.client("agency") as client:  # the projection goes on as well
            assert (await client.get(f"/jobs/{jobs[-1].job_id}")).json()["status"] == "completed"
        await remove(it, dead)
        await remove(it, well)


async def test_addresses_inside_are_refused_when_registered_and_others_webhooks_do_not_exist(it: Guarded) -> None:
    async with it.client("agency") as client:
        for url in ("http://10.0.0.8/hook", "http://169.254.169.254/latest", "http://[fd00::1]/", "http://[::1]:9/"):
            refused = await client.post("/webhooks", json={"url": url})
            assert (refused.status_code, refused.json()["code"]) == (422, "webhook_address_refused"), url
        for body in ({"url": "ftp://a.example"}, {"url": "http://127.0.0.1/", "events": ["clone.eaten"]}, {}):
            assert (await client.post("/webhooks", json=body)).status_code == 422
    hook = await register(it, "http://127.0.0.1:9/hook")
    async with it.client("other") as client:
        assert (await client.get("/webhooks")).json() == {"webhooks": []}
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
            answer = await client.request(method, f"/webhooks/{hook['id']}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found")
    async with it.client("agency") as client:
        listed = (await client.get("/webhooks")).json()["webhooks"]
        assert [item["id"] for item in listed] == [hook["id"]]
        assert "secret" not in listed[0]
        sent = (await client.post(f"/webhooks/{hook['id']}/test")).json()["id"]
    log = await eventually(lambda: deliveries(it, hook), what="the test's outcome")
    assert (log[0]["id"], log[0]["type"], log[0]["state"]) == (sent, "webhook.test", "failed")
    await remove(it, hook)


async def test_an_address_is_looked_at_again_when_a_message_is_sent() -> None:
    async with receiver() as hooks:
        outcome = await Sender(()).post(hooks.url.replace("127.0.0.1", "localhost"), new_secret(), "msg_1", b"{}")
        assert not outcome.taken
        assert "private network" in outcome.error
        assert hooks.most_open == 0, "it was connected to"


async def test_a_killed_sender_loses_nothing(it: Guarded) -> None:
    async with receiver(answers=[b"HTTP/1.1 503 Later\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"]) as hooks:
        hook = await register(it, hooks.url)
        await complete(it)
        await eventually(lambda: hooks.got, what="the first try")
        await eventually(lambda: deliveries(it, hook), what="the log of it")
        it.replicas[1].kill()
        await eventually(lambda: len(hooks.got) > 1, timeout=20, what="the second try, by the other process")
        assert hooks.got[0].id == hooks.got[1].id
        await remove(it, hook)
