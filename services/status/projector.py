"""The loop that keeps the projection current: one durable consumer per stream, shared by all replicas.

A message is a doorbell. What is folded is the story behind the stored state, read from the stream, so it does not
matter which replica is rung, how often or in which order. As long as this process is the only one being served (the
consumer's sequence has no holes) the messages themselves are that story, and the read is saved: for states that reach
into the time without holes, whenever they are stored.

A job that only tells its progress is written a few times a second, with all it told meanwhile; whoever needs to know
sooner reads the stream behind the stored state. Everything else is written at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

from nats.aio.msg import Msg

from services.status import metrics
from services.status.projection import Conflict, Projection, State
from services.status.story import Entry, Unreadable, entry_of
from shared.bus.connection import Bus
from shared.bus.pull import Feed, place
from shared.contract import streams
from shared.contract.subjects import EventType, Kind
from shared.log import get

log = get(__name__)

CACHE = 2000
"""Jobs whose state is kept in memory."""
PARALLEL = 32
"""Jobs folded at the same time."""
TRIES = 20
"""Times a job is read again because another replica was faster or a follower was behind."""
GATHER = 0.05
"""Seconds within which messages are taken together."""
WRITE_EVERY = 0.5
"""Least seconds between two writes of a job that only tells its progress."""
POISON = 20
"""Deliveries after which a message is given up: it fails for a reason that does not pass."""


class Behind(Exception):
    """The server we read from does not hold the message yet that another one delivered."""


@dataclass(frozen=True, slots=True)
class Ring:
    """One delivered message with what it says."""

    msg: Msg
    entry: Entry


@dataclass(slots=True)
class Waiting:
    """What was delivered of one job and is not stored yet."""

    rings: list[Ring]
    due: float = 0.0
    """time.monotonic() at which it is to be stored."""


class Projector:
    """Folds one stream."""

    def __init__(self, bus: Bus, kind: Kind) -> None:
        self.kind = kind
        self.feed = Feed(bus.nc, streams.STREAMS[kind], streams.PROJECTOR, gather=GATHER)
        self._projection = Projection(bus)
        self._known: OrderedDict[str, State] = OrderedDict()
        self._consumer_seq = self._stream_seq = 0
        self._unbroken_from = 0
        """Every message delivered to anybody from this sequence of the stream on was delivered to us."""
        self._slots = asyncio.Semaphore(PARALLEL)
        self._waiting: dict[str, Waiting] = {}
        self._written: OrderedDict[str, float] = OrderedDict()
        """When jobs were written last."""
        self._storing = asyncio.Lock()

    async def run(self) -> None:
        """Fold for ever. One message's trouble is logged and counted, and never stops the others."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store_late(), name=f"{self.feed.name} late")
            async for msgs in self.feed.batches():
                await self.take(msgs)

    async def take(self, msgs: list[Msg]) -> None:
        """Fold what was delivered, in the order of delivery, and store what is due."""
        self._watch_for_holes(msgs)
        for msg in msgs:
            ring = self._read(msg)
            if ring is None or ring.entry.message is None:
                await msg.ack()
            else:
                self._keep(ring)
        await self.store()

    def _keep(self, ring: Ring) -> None:
        job_id = ring.entry.job_id
        waiting = self._waiting.get(job_id)
        if waiting is None:
            waiting = self._waiting[job_id] = Waiting([], self._written.get(job_id, 0.0) + WRITE_EVERY)
        waiting.rings.append(ring)
        if ring.entry.event is not EventType.PROGRESS:
            waiting.due = 0.0

    async def store(self, *, everything: bool = False) -> None:
        """Store what is due, or `everything` that waits."""
        async with self._storing:
            now = time.monotonic()
            due = [job_id for job_id, waiting in self._waiting.items() if everything or waiting.due <= now]
            await asyncio.gather(*(self._story(job_id, self._waiting.pop(job_id).rings) for job_id in due))
            for job_id in due:
                self._written[job_id] = now
                self._written.move_to_end(job_id)
            while len(self._written) > CACHE:
                self._written.popitem(last=False)

    async def _store_late(self) -> None:
        """Store in time what no later message brings along."""
        while True:
            await asyncio.sleep(WRITE_EVERY / 5)
            if self._waiting:
                await self.store()

    def _watch_for_holes(self, msgs: list[Msg]) -> None:
        """Notice when another replica was given messages in between, or some never reached us."""
        for msg in msgs:
            seq = place(msg)
            # both: a new leader of the consumer may give numbers away again that the old one had used for others
            if seq.consumer != self._consumer_seq + 1 or seq.stream != self._stream_seq + 1:
                self._known.clear()
                self._unbroken_from = seq.stream
            self._consumer_seq, self._stream_seq = seq.consumer, seq.stream

    def _read(self, msg: Msg) -> Ring | None:
        try:
            return Ring(msg, entry_of(msg.subject, place(msg).stream, msg.data))
        except Unreadable as error:
            metrics.SKIPPED.labels(self.kind).inc()
            log.warning("skipped a message that can not be read", message=str(error))
            return None

    async def _story(self, job_id: str, rings: list[Ring]) -> None:
        async with self._slots:
            try:
                await self._fold(job_id, rings)
            except Exception as error:
                self._known.pop(job_id, None)
                metrics.FAILED.labels(self.kind).inc()
                deliveries = max(ring.msg.metadata.num_delivered for ring in rings)
                log.warning("could not store a job's state", job=job_id, error=repr(error), deliveries=deliveries)
                if deliveries < POISON:
                    return  # not acknowledged, so it comes again
                metrics.SKIPPED.labels(self.kind).inc(len(rings))
                log.error("gave up a message", job=job_id, seq=[ring.entry.seq for ring in rings])
        for ring in rings:
            await ring.msg.ack()
        metrics.FOLDED.labels(self.kind).inc(len(rings))
        metrics.LAG.labels(self.kind).set(max(0.0, time.time() - place(rings[-1].msg).stored_at))

    async def _fold(self, job_id: str, rings: list[Ring]) -> None:
        known = self._known.pop(job_id, None)
        # Older ones are put there by whoever was storing when the hole was noticed, or stores late what came before it.
        if known is not None and known.seq >= self._unbroken_from:
            entries = sorted((ring.entry for ring in rings), key=lambda entry: entry.seq)
            try:
                self._remember(job_id, await self._projection.save(known, known.after(entries)))
                return
            except Conflict:
                metrics.CONFLICTS.labels(self.kind).inc()
        self._remember(job_id, await self._catch_up(job_id, max(ring.entry.seq for ring in rings)))

    async def _catch_up(self, job_id: str, until: int) -> State:
        """Fold from the stored state to at least the message that rang. Raises Behind, nats errors."""
        for attempt in range(TRIES):
            state = await self._projection.load(job_id)
            if state.seq >= until:
                return state
            entries = await self._projection.behind(job_id, state.seq)
            if entries and entries[-1].seq >= until:
                try:
                    return await self._projection.save(state, state.after(entries))
                except Conflict:
                    metrics.CONFLICTS.labels(self.kind).inc()
            await asyncio.sleep(0.01 * attempt)
        raise Behind(job_id)

    def _remember(self, job_id: str, state: State) -> None:
        self._known[job_id] = state
        while len(self._known) > CACHE:
            self._known.popitem(last=False)
