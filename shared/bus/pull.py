"""Reading from JetStream without nats-py's `fetch`.

`fetch` waits out its whole timeout when the server restarts under it, and takes "consumer deleted" for "no messages"
(nats.py#504, #234). Here every request has its own inbox and asks for idle heartbeats, so silence means loss and is
noticed within seconds.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from shared.log import get

log = get(__name__)

BATCH = 256
EXPIRES = 5.0
"""Seconds one pull stays open."""
BEAT = 1.0
"""Seconds between the server's idle heartbeats within a pull."""
SILENCE = 2.5
"""Seconds without message or heartbeat after which a pull is given up as lost."""
PAUSE = 0.5
"""Seconds between tries while the server has no answer."""
DIRECT_BATCH = 500
DIRECT_TIMEOUT = 5.0


class Silence(NatsError):
    """Nothing came in time."""


class Inbox:
    """Messages for one request, in order. A full queue of nats-py's own never applies: the request bounds them."""

    def __init__(self) -> None:
        self._queue: deque[Msg] = deque()
        self._some = asyncio.Event()

    async def put(self, msg: Msg) -> None:
        self._queue.append(msg)
        self._some.set()

    async def take(self, timeout: float) -> list[Msg]:
        """Everything that has come; waits for the first. Raises Silence after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._some.wait()
        except TimeoutError:
            raise Silence from None
        self._some.clear()
        msgs = list(self._queue)
        self._queue.clear()
        return msgs


@asynccontextmanager
async def request(nc: Client, subject: str, body: dict[str, Any]) -> AsyncIterator[Inbox]:
    """Send a request that gets many replies."""
    inbox = Inbox()
    reply = nc.new_inbox()
    sub = await nc.subscribe(reply, cb=inbox.put)
    try:
        await nc.publish(subject, json.dumps(body).encode(), reply=reply)
        yield inbox
    finally:
        if not nc.is_closed:
            await sub.unsubscribe()


class Feed:
    """An endless pull from one consumer, through server restarts and leader elections.

    `give_up` is for consumers that die with the server: a pull that gets lost or refused raises Silence then.
    `gather` is for busy streams: messages that follow one within so many seconds are fetched together. Each message
    that comes by itself costs as much as ten that come in one piece.
    """

    def __init__(
        self,
        nc: Client,
        stream: str,
        durable: str,
        *,
        batch: int = BATCH,
        give_up: bool = False,
        gather: float = 0.0,
    ) -> None:
        self._nc = nc
        self._batch = batch
        self._give_up = give_up
        self._gather = gather
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self.name = f"{stream}/{durable}"
        self.heard_at = 0.0
        """time.monotonic() of the last sign of life of the consumer."""

    def alive(self, within: float = 10.0) -> bool:
        """Whether the consumer gave a sign of life in the last seconds."""
        return time.monotonic() - self.heard_at < within

    async def batches(self) -> AsyncGenerator[list[Msg], None]:
        """Messages as they come, together what came together. Never ends; raises Silence only with `give_up`."""
        while True:
            try:
                async with aclosing(self._gathered() if self._gather else self._pull(self._batch)) as pull:
                    async for msgs in pull:
                        yield msgs
            except Silence:
                if self._give_up:
                    raise
                log.debug("pull lost, asking again", consumer=self.name)
            if not self._nc.is_connected:
                await asyncio.sleep(PAUSE)

    async def _gathered(self) -> AsyncGenerator[list[Msg], None]:
        """One message, whenever it comes, then what came meanwhile as long as there is any."""
        async for first in self._pull(1):
            yield first
            some = True
            while some:
                await asyncio.sleep(self._gather)
                some = False
                async for msgs in self._pull(self._batch, wait=False):
                    some = True
                    yield msgs

    async def _pull(self, batch: int, *, wait: bool = True) -> AsyncGenerator[list[Msg], None]:
        """What one request brings; without `wait` only what is there already."""
        waiting = {"expires": int(EXPIRES * 1e9), "idle_heartbeat": int(BEAT * 1e9)}
        body = {"batch": batch, **(waiting if wait else {"no_wait": True})}
        async with request(self._nc, self._subject, body) as inbox:
            left = batch
            while left > 0:
                msgs = await inbox.take(SILENCE)
                real = [msg for msg in msgs if status(msg) is None]
                codes = {code for msg in msgs if (code := status(msg)) is not None}
                if real or not codes <= {"503"}:
                    self.heard_at = time.monotonic()
                left -= len(real)
                if real:
                    yield real
                ended = codes - {"100"}
                if ended:
                    if ended - ({"408"} if wait else {"404", "408"}):
                        if self._give_up:
                            raise Silence
                        log.debug("pull ended by the server", consumer=self.name, status=sorted(ended))
                        await asyncio.sleep(PAUSE)
                    return


class Place(NamedTuple):
    """Where a delivered message stands."""

    stream: int
    """Its sequence in the stream."""
    consumer: int
    """Its number among the consumer's deliveries."""
    stored_at: float
    """When the server stored it, as time.time()."""


def place(msg: Msg) -> Place:
    """What a message's reply subject tells, without the objects `Msg.metadata` makes of it: busy streams feel those.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`; servers with a domain put it
    and an account behind ACK.
    """
    tokens = msg.reply.split(".")
    first = 5 if len(tokens) == 9 else 7
    return Place(int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 2]) / 1e9)


def status(msg: Msg) -> str | None:
    """The status code of a control message, None for a real one."""
    if not msg.headers:
        return None
    return msg.headers.get("Status")


async def direct(nc: Client, stream: str, *, seq: int, subject: str) -> AsyncGenerator[Msg, None]:
    """Stored messages from `seq` on whose subject matches, up to the end of the stream as it was when read.

    Messages have `Nats-Subject`, `Nats-Sequence` and `Nats-Time-Stamp` headers. Raises Silence when the server does not
    answer in time.
    """
    where = f"$JS.API.DIRECT.GET.{stream}"
    while True:
        last, pending = seq, 0
        async with request(nc, where, {"seq": seq, "next_by_subj": subject, "batch": DIRECT_BATCH}) as inbox:
            ended = False
            while not ended:
                for msg in await inbox.take(DIRECT_TIMEOUT):
                    code = status(msg)
                    if code is None:
                        last = int((msg.headers or {})["Nats-Sequence"])
                        yield msg
                    elif code == "404":
                        return
                    elif code == "204":
                        pending = int((msg.headers or {}).get("Nats-Num-Pending", "0"))
                        ended = True
                    else:
                        raise Silence
        if pending == 0:
            return
        seq = last + 1
