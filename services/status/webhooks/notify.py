"""From what happened to what has to be sent: one message for each endpoint that wants to know."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from services.status.live import shape
from services.status.projection import Projection, State
from services.status.story import Entry, Unreadable, entry_of
from services.status.webhooks.endpoints import Endpoints
from shared.bus.connection import Bus
from shared.bus.pull import PAUSE, Feed
from shared.bus.webhook_messages import Outgoing
from shared.contract import streams
from shared.contract.events import JobEvent, Message
from shared.contract.subjects import Kind
from shared.contract.times import stamp
from shared.contract.webhooks import delivery_id
from shared.log import get

log = get(__name__)


class Notifier:
    """Reads the ends of one stream's jobs. All replicas share one durable consumer."""

    def __init__(self, bus: Bus, kind: Kind) -> None:
        self.kind = kind
        self._bus = bus
        self._feed = Feed(bus.nc, streams.STREAMS[kind], streams.NOTIFIER)
        self._projection = Projection(bus)
        self._endpoints = Endpoints(bus)

    async def run(self) -> None:
        """For ever. What fails is not acknowledged, so it comes again; stored twice it is sent once."""
        async for msgs in self._feed.batches():
            for msg in msgs:
                try:
                    await self._tell(msg)
                except (NatsError, JetStreamError, TimeoutError) as error:
                    log.warning("could not store a webhook, it comes again", error=repr(error))
                    await asyncio.sleep(PAUSE)
                except Exception as error:  # one event's trouble must not stop the others
                    log.error("an event can not be told to webhooks", subject=msg.subject, exc_info=error)
                    await msg.ack()

    async def _tell(self, msg: Msg) -> None:
        try:
            entry = entry_of(msg.subject, msg.metadata.sequence.stream, msg.data)
        except Unreadable:
            await msg.ack()
            return
        endpoints = await self._endpoints.all()
        if entry.message is not None and endpoints:
            type_, event_id = f"{self.kind}.{entry.event}", (msg.headers or {}).get("ce-id")
            tenant, data = await self._told(entry, entry.message)
            body = encode(type_, entry.message.time, data)
            for endpoint in endpoints:
                # the stream's own time: publishers' clocks may differ from the one that stamped the registration
                if endpoint.wants(tenant, type_, max(msg.metadata.timestamp, entry.message.time)):
                    delivery = delivery_id(event_id or f"{msg.subject} {entry.seq}", endpoint.id)
                    await Outgoing(endpoint.id, delivery, type_, entry.job_id, body).send(self._bus)
        await msg.ack()

    async def _told(self, entry: Entry, message: Message) -> tuple[str, shape.Json]:
        """Whose event it is, and what is said about it."""
        if isinstance(message, JobEvent):
            job = message.job.model_copy(update={"seq": entry.seq})
            return job.tenant, {"job": shape.job_detail(State(job))}
        state = await self._projection.load(entry.job_id)
        state = state.after(await self._projection.behind(entry.job_id, state.seq))
        data: shape.Json = {"reason": getattr(message, "reason", "")}
        if state.job is not None:
            data["job"] = shape.job_summary(state.job)
        if state.clone is not None:
            data["clone"] = shape.clone_summary(state.clone)
        return (state.job.tenant if state.job is not None else ""), data


def encode(type_: str, time: datetime, data: shape.Json) -> bytes:
    """The body, as Standard Webhooks lays it out."""
    body = {"type": type_, "timestamp": stamp(time), "data": data}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
