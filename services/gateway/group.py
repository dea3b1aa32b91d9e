"""Group commit: what many callers store at the same time is made durable in one go.

With `sync_interval: always` every message costs a sync of the disk, and those queue up. A batch costs a handful,
however long it is. On a quick disk (0.2 ms a sync) that is as fast; where a sync takes 1 ms, 50 submitters get their
answers four times sooner at p99.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import APIError

from shared.bus.batch import Outgoing, publish_batch
from shared.log import get

log = get(__name__)

FEW = 8
"""Fewer messages than this are stored sooner one by one."""
MANY = 200
"""No batch is larger, so that nobody waits for a long one."""

Waiting = tuple[Outgoing, asyncio.Future[PubAck]]


class Group:
    """Stores messages of one stream. One write is under way at a time; what comes meanwhile is the next one.

    So nobody waits for others to come, and the more load there is, the more is written at once.
    """

    def __init__(
        self, js: JetStreamContext, *, timeout: float, before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`before` comes before each message, in its caller's context."""
        self._before = before
        self._js = js
        self._timeout = timeout
        self._waiting: deque[Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def publish(
        self, subject: str, payload: bytes, *, timeout: float | None = None, headers: dict[str, str] | None = None
    ) -> PubAck:
        """Store a message, like `JetStreamContext.publish`: returns what the server acknowledged, raises what it said
        about this message, and TimeoutError when it said nothing in time, waiting included."""
        if self._before is not None:
            await self._before()
        future: asyncio.Future[PubAck] = asyncio.get_running_loop().create_future()
        self._waiting.append((Outgoing(subject, payload, headers or {}), future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="group commit")
        return await asyncio.wait_for(future, timeout or self._timeout)

    async def _write(self) -> None:
        try:
            while group := self._next():
                await self._store(group)
        finally:
            self._writer = None

    def _next(self) -> list[Waiting]:
        group: list[Waiting] = []
        while self._waiting and len(group) < MANY:
            waiting = self._waiting.popleft()
            if not waiting[1].done():  # else its caller is gone
                group.append(waiting)
        return group

    async def _store(self, group: list[Waiting]) -> None:
        if len(group) < FEW:
            await self._one_by_one(group)
            return
        try:
            acks = await publish_batch(self._js, [message for message, _ in group], timeout=self._timeout)
        except APIError as error:  # refused as a whole; alone, each gets the answer that is its own
            log.debug("batch refused", messages=len(group), error=repr(error))
            await self._one_by_one(group)
        except Exception as error:  # as silent to all of them as it would have been to each
            for _, future in group:
                _settle(future, error)
        else:
            for (_, future), ack in zip(group, acks, strict=True):
                _settle(future, ack)

    async def _one_by_one(self, group: list[Waiting]) -> None:
        await asyncio.gather(*(self._store_one(message, future) for message, future in group))

    async def _store_one(self, message: Outgoing, future: asyncio.Future[PubAck]) -> None:
        try:
            # nats-py writes into the headers it is given
            ack = await self._js.publish(
                message.subject, message.payload, timeout=self._timeout, headers=dict(message.headers) or None
            )
        except Exception as error:
            _settle(future, error)
        else:
            _settle(future, ack)


def _settle(future: asyncio.Future[PubAck], outcome: PubAck | Exception) -> None:
    if future.done():  # its caller waited no longer
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
