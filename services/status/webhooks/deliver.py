"""Sending what waits: at least once, a few at a time for each endpoint, tried again for a day.

A retry is a schedule of the stream (ADR-51), so it frees its place and outlives every process. What would wait too
long for its endpoint's turn is put back the same way: a slow or dead receiver holds up its own messages only.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.status import metrics
from services.status.settings import StatusSettings
from services.status.webhooks.endpoints import Endpoints
from services.status.webhooks.send import Outcome, Sender
from shared.bus.connection import Bus
from shared.bus.pull import Feed
from shared.bus.webhook_messages import Outgoing
from shared.contract import streams
from shared.contract.events import now
from shared.contract.subjects import webhook_log
from shared.contract.webhooks import TEST, Attempt, Endpoint, parse_networks, purpose
from shared.log import get
from shared.secrets.vault import KeyRing, SecretGone

log = get(__name__)

AT_ONCE = 4
"""Messages one process sends to one endpoint at the same time."""
PATIENCE = 25.0
"""Seconds a message may wait here for its turn; with the attempt itself less than the consumer's ack_wait."""
GROWTH = 4.0
RETRY_MOST = 6 * 3600.0
PUT_BACK_MOST = 900.0
JITTER = 0.1
POISON = 20
"""Deliveries after which a message is given up: it fails for a reason of ours that does not pass."""


@dataclass
class Lane:
    """What goes to one endpoint from this process."""

    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    waiting: int = 0
    usual: float = 0.5
    """Seconds an attempt takes, lately."""
    put_back: int = 0

    def wait(self) -> float:
        """Seconds the next message would have to wait, about."""
        return self.waiting * self.usual / AT_ONCE

    def took(self, seconds: float) -> None:
        """Learn from an attempt."""
        self.usual += 0.3 * (seconds - self.usual)


class Deliverer:
    """Sends. All replicas share one durable consumer."""

    def __init__(self, bus: Bus, settings: StatusSettings) -> None:
        self._bus = bus
        self._settings = settings
        self._sender = Sender(parse_networks(settings.webhook_networks))
        self._endpoints = Endpoints(bus)
        self._ring: KeyRing | None = None
        self._lanes: defaultdict[str, Lane] = defaultdict(Lane)
        self._feed = Feed(bus.nc, streams.OUTGOING, streams.DELIVERER)

    async def run(self) -> None:
        """For ever. What is cut off comes again."""
        async with asyncio.TaskGroup() as group:
            async for msgs in self._feed.batches():
                for msg in msgs:
                    group.create_task(self._safely(msg))

    async def _safely(self, msg: Msg) -> None:
        try:
            out = Outgoing.read(msg)
        except ValueError:
            await msg.ack()
            return
        lane = self._lanes[out.endpoint]
        try:
            await self._take(out, msg, lane)
        except (NatsError, JetStreamError, TimeoutError) as error:
            log.warning("a webhook comes again", webhook=out.endpoint, error=repr(error))
        except Exception as error:  # one message's trouble must not stop the others
            log.error("a webhook can not be sent", webhook=out.endpoint, exc_info=error)
            if msg.metadata.num_delivered >= POISON:
                await msg.ack()
        finally:
            if not lane.waiting:
                lane.put_back = 0

    async def _take(self, out: Outgoing, msg: Msg, lane: Lane) -> None:
        began = time.monotonic()
        if lane.wait() > PATIENCE:
            await self._put_back(out, msg, lane)
            return
        lane.waiting += 1
        try:
            async with lane.slots:
                if time.monotonic() - began > PATIENCE:
                    await self._put_back(out, msg, lane)
                else:
                    await self._deliver(out, lane)
                    await msg.ack()
        finally:
            lane.waiting -= 1

    async def _put_back(self, out: Outgoing, msg: Msg, lane: Lane) -> None:
        lane.put_back += 1
        seconds = min(PUT_BACK_MOST, max(5.0, (lane.waiting + lane.put_back) * lane.usual / AT_ONCE))
        at = now() + timedelta(seconds=_about(seconds))
        await out.send_at(self._bus, at, msg_id=f"{out.delivery}:{msg.metadata.sequence.stream}:back")
        await msg.ack()

    async def _deliver(self, out: Outgoing, lane: Lane) -> None:
        endpoint = await self._endpoints.one(out.endpoint)
        if endpoint is None or (endpoint.disabled is not None and out.type != TEST):
            return
        at = now()
        first = out.first_at or at
        try:
            secret = self._keys().open(endpoint.sealed_secret, purpose=purpose(endpoint.id))
        except SecretGone:
            outcome = Outcome(False, error="its secret can not be opened with the keys of this installation")
        else:
            outcome = await self._sender.post(endpoint.url, secret, out.delivery, out.body)
            lane.took(outcome.duration)
        seconds = self._next(out, outcome, (at - first).total_seconds())
        next_at = None if seconds is None else now() + timedelta(seconds=seconds)
        if next_at is not None:
            again = Outgoing(out.endpoint, out.delivery, out.type, out.job_id, out.body, out.attempt + 1, first)
            await again.send_at(self._bus, next_at, msg_id=f"{out.delivery}:try{again.attempt}")
        elif outcome.gone:
            await self._endpoints.disable(endpoint.id, "It answered 410 Gone.")
        told: Literal["delivered", "retrying", "failed"] = (
            "delivered" if outcome.taken else "failed" if next_at is None else "retrying"
        )
        metrics.WEBHOOKS.labels(told).inc()
        await self._note(
            endpoint,
            Attempt(
                delivery=out.delivery,
                type=out.type,
                job_id=out.job_id or None,
                attempt=out.attempt,
                at=at,
                outcome=told,
                status_code=outcome.status_code,
                error=outcome.error,
                duration_ms=round(outcome.duration * 1000),
                next_at=next_at,
            ),
        )

    def _next(self, out: Outgoing, outcome: Outcome, age: float) -> float | None:
        """Seconds until the next try; None when there is none."""
        if outcome.taken or outcome.gone or out.type == TEST:
            return None
        steps = min(out.attempt - 1, 20)
        seconds = min(RETRY_MOST, self._settings.webhook_first_retry * GROWTH**steps)
        seconds = _about(max(seconds, outcome.retry_after))
        return None if age + seconds > self._settings.webhook_retry_hours * 3600 else seconds

    async def _note(self, endpoint: Endpoint, attempt: Attempt) -> None:
        body = attempt.model_dump_json().encode()
        headers = {"Nats-Msg-Id": f"{attempt.delivery}:{attempt.attempt}:{attempt.at.timestamp():.3f}"}
        await self._bus.js.publish(webhook_log(endpoint.id), body, headers=headers)

    def _keys(self) -> KeyRing:
        if self._ring is None:
            self._ring = KeyRing.load(self._settings.vault_key_file)
        return self._ring


def _about(seconds: float) -> float:
    """Spread a little, so that what failed together does not come back together."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)
