"""One stream as it grows, for all connections of this process.

An ephemeral consumer without acknowledgements, read with our own pulls. It is made anew behind the last message seen
whenever it is gone, fell silent, or skipped one, so nothing is missed across server restarts.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import aclosing

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError

from services.status.story import Entry, Unreadable, entry_of
from shared.bus.connection import Bus
from shared.bus.pull import PAUSE, Feed, place
from shared.contract import streams
from shared.contract.subjects import Kind
from shared.log import get

log = get(__name__)

INACTIVE = 30.0
"""Seconds after which the server removes our consumer when we are gone."""


class Hole(Exception):
    """The consumer gave us a message that does not follow the one before."""


class Tail:
    """Follows one stream and hands every readable message on, in order, exactly once per epoch, with its age."""

    def __init__(
        self,
        bus: Bus,
        kind: Kind,
        on_entries: Callable[[list[tuple[Entry, float]]], None],
        on_epoch: Callable[[], None],
    ) -> None:
        self.kind = kind
        self.epoch = ""
        """Identity of the stream; another one means that sequences have begun anew."""
        self.seq = 0
        """Last sequence handed on."""
        self._bus = bus
        self._on_entries = on_entries
        self._on_epoch = on_epoch
        self._feed: Feed | None = None

    def alive(self, within: float = 4.0) -> bool:
        """Whether what we show is current: the server gave a sign of life in the last seconds."""
        return self._feed is not None and self._bus.nc.is_connected and self._feed.alive(within)

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await self._follow()
            except Hole:
                log.debug("the tail missed a message, beginning behind the last one", stream=self.kind, seq=self.seq)
            except (NatsError, JetStreamError, TimeoutError) as error:
                log.debug("the tail was lost, beginning again", stream=self.kind, error=repr(error))
                await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        stream = streams.STREAMS[self.kind]
        info = await self._bus.js.stream_info(stream)
        epoch = hashlib.sha256(f"{stream} {info.created}".encode()).hexdigest()[:12]
        if epoch != self.epoch:
            again, self.epoch, self.seq = bool(self.epoch), epoch, info.state.last_seq
            if again:
                log.warning("the stream was made anew", stream=stream)
                self._on_epoch()
        consumer = await self._bus.js.add_consumer(
            stream,
            ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self.seq + 1,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=INACTIVE,
                mem_storage=True,
                num_replicas=1,
            ),
        )
        self._feed = Feed(self._bus.nc, stream, consumer.name, give_up=True)
        self._feed.heard_at = time.monotonic()  # it was just made
        async with aclosing(self._feed.batches()) as batches:
            expected = 1
            async for msgs in batches:
                self._hand_on(msgs, expected)
                expected += len(msgs)

    def _hand_on(self, msgs: list[Msg], expected: int) -> None:
        arrived: list[tuple[Entry, float]] = []
        try:
            for number, msg in enumerate(msgs, expected):
                stream_seq, consumer_seq, stored_at = place(msg)
                if consumer_seq != number:
                    raise Hole
                self.seq = stream_seq
                try:
                    entry = entry_of(msg.subject, stream_seq, msg.data)
                except Unreadable:
                    continue
                arrived.append((entry, max(0.0, time.time() - stored_at)))
        finally:
            self._on_entries(arrived)
