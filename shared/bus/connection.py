"""The connection to NATS: publish events, read projections. A thin adapter over nats-py with its traps closed.

Every publish is awaited to its acknowledgement and tried again with the same Nats-Msg-Id, so a lost reply does not
become a lost or doubled event.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError
from nats.js.kv import KeyValue

from shared.contract import streams
from shared.contract.events import Message
from shared.contract.subjects import EventType, subject
from shared.contract.times import stamp
from shared.log import get
from shared.settings import Settings

log = get(__name__)

PUBLISH_TRIES = 6
PUBLISH_TIMEOUT = 2.0
"""Seconds one try waits; six tries outlast a leader election."""
SKEW_EVERY = 60.0
SKEW_ALLOWED = 3.0
"""Seconds by which clocks may differ without anybody caring."""
AMBIGUOUS = (asyncio.TimeoutError, NoStreamResponseError, NoRespondersError, ServiceUnavailableError)


class Publish(Protocol):
    """Stores one message and returns its acknowledgement, like `JetStreamContext.publish`."""

    async def __call__(self, subject: str, payload: bytes, *, timeout: float, headers: dict[str, str]) -> PubAck: ...


class Bus:
    """JetStream as this product uses it."""

    def __init__(self, nc: Client, *, source: str) -> None:
        self.nc = nc
        self.js: JetStreamContext = nc.jetstream(timeout=5)
        self.source = source
        """Who publishes: `<service>/<instance>`, the CloudEvents source."""
        self.skew = 0.0
        """Seconds by which the server's clock is ahead of ours, as last measured."""
        self._skew_at = -SKEW_EVERY
        self._buckets: dict[str, KeyValue] = {}

    async def bucket(self, name: str) -> KeyValue:
        """A bucket by its name in `shared.contract.streams`. Raises BucketNotFoundError before `streams.install`."""
        if name not in self._buckets:
            self._buckets[name] = await self.js.key_value(name)
        return self._buckets[name]

    async def publish(
        self,
        message: Message,
        *,
        msg_id: str | None = None,
        headers: dict[str, str] | None = None,
        tries: int = PUBLISH_TRIES,
        via: Publish | None = None,
    ) -> PubAck:
        """Store an event or command on its stream and return the acknowledgement with its sequence.

        `msg_id` makes it once-only within the duplicate window; `via` stores it together with others. Raises nats
        errors when the stream stays unreachable.
        """
        event = EventType(message.type)  # type: ignore[attr-defined]
        where = subject(message.kind, event, message.lane, message.job_id)
        return await self._store(where, message, event, msg_id, headers or {}, tries, via or self.js.publish)

    async def schedule(self, message: Message, *, slot: EventType, at: datetime, msg_id: str | None = None) -> PubAck:
        """Have the server publish `message` at a time (ADR-51). `slot` is the schedule's subject token.

        One schedule per job and slot: scheduling again replaces it. `at` is by our clock; it fires in as much time
        from now, whatever the server's clock says.
        """
        event = EventType(message.type)  # type: ignore[attr-defined]
        await self._measure_skew()
        at += timedelta(seconds=self.skew)
        when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        target = subject(message.kind, event, message.lane, message.job_id)
        headers = {"Nats-Schedule": f"@at {when}", "Nats-Schedule-Target": target}
        where = subject(message.kind, slot, message.lane, message.job_id)
        return await self._store(where, message, event, msg_id, headers, PUBLISH_TRIES, self.js.publish)

    async def _measure_skew(self) -> None:
        """Compare our clock with the server's, from time to time. Without an answer the last comparison stands."""
        if time.monotonic() - self._skew_at < SKEW_EVERY:
            return
        begun = time.time()
        try:
            reply = await self.nc.request(f"$JS.API.STREAM.INFO.{streams.PROBE}", b"", timeout=PUBLISH_TIMEOUT)
            told = datetime.fromisoformat(json.loads(reply.data)["ts"][:19] + "+00:00").timestamp()
        except (NatsError, TimeoutError, ValueError, KeyError):
            return
        self._skew_at = time.monotonic()
        skew = told + 0.5 - (begun + time.time()) / 2  # the answer is cut to whole seconds
        self.skew = skew if abs(skew) > SKEW_ALLOWED else 0.0
        if self.skew:
            log.warning("this machine's clock and that of NATS differ; set them by NTP", seconds=round(self.skew))

    async def unschedule(self, message: Message, *, slot: EventType) -> None:
        """Drop a schedule that has not fired. Nothing happens when there is none."""
        where = subject(message.kind, slot, message.lane, message.job_id)
        await self.js.purge_stream(streams.STREAMS[message.kind], subject=where)

    async def _store(
        self,
        where: str,
        message: Message,
        event: EventType,
        msg_id: str | None,
        headers: dict[str, str],
        tries: int,
        publish: Publish,
    ) -> PubAck:
        event_id = msg_id or secrets.token_hex(10)
        all_headers = {
            "Nats-Msg-Id": event_id,
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-source": self.source,
            "ce-type": f"siteferry.{message.kind}.{event}",
            "ce-time": stamp(message.time),
            "ce-subject": message.job_id,
            **headers,
        }
        payload = message.model_dump_json(exclude_none=True).encode()
        for attempt in range(1, tries + 1):
            try:
                # nats-py writes into the headers it is given
                return await publish(where, payload, timeout=PUBLISH_TIMEOUT, headers=dict(all_headers))
            except AMBIGUOUS as error:
                if attempt == tries:
                    raise
                log.debug("publishing again", subject=where, attempt=attempt, error=repr(error))
                await asyncio.sleep(min(0.1 * 2**attempt, 2.0))
        raise AssertionError("unreachable")


def instance_id() -> str:
    """A short name for this process, unique enough to tell replicas apart."""
    return secrets.token_hex(3)


@asynccontextmanager
async def connect(settings: Settings, *, service: str, **options: Any) -> AsyncIterator[Bus]:
    """A connected bus that reconnects for ever; closed without waiting for parked pulls on exit."""

    closing = False

    async def on_error(error: Exception) -> None:
        log.debug("nats", error=repr(error))

    async def on_disconnect() -> None:
        if not closing:
            log.warning("connection to NATS lost, reconnecting")

    async def on_reconnect() -> None:
        log.info("connection to NATS is back")

    handlers: dict[str, Any] = {
        "error_cb": on_error,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
        **options,
    }
    nc = await nats.connect(
        servers=[server.strip() for server in settings.nats_url.split(",")],
        **settings.nats_login,
        name=f"siteferry-{service}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.5,
        connect_timeout=5,
        drain_timeout=5,
        **handlers,
    )
    try:
        yield Bus(nc, source=f"siteferry/{service}/{instance_id()}")
    finally:
        closing = True
        try:
            await asyncio.wait_for(nc.flush(), 2)
        except (TimeoutError, NatsError):
            log.warning("left NATS without a last flush")
        await nc.close()
