"""Pulling messages one by one: strict order of the lanes, no client buffer, safe against reconnects.

nats-py's `fetch` loses pulls when the server restarts and messages when it is cancelled (research: jetstream.md part
3). Here all answers come to one subscription, each pull with a reply subject of its own, and no pull is ever
cancelled: whatever arrives is either wanted, or handed back at once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus.connection import Bus
from shared.contract.subjects import LANES, Lane
from shared.log import get

log = get(__name__)

PROBE_TIMEOUT = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two questions to a consumer that is not there."""
ELECTION = 10.0
"""Seconds for which a consumer may be without a leader."""
TICK = 0.5
"""Seconds between two looks at the connection while parked."""


class Aging:
    """Which lane is asked first. Strictly by priority, but nobody is passed over for ever. Pure."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._passed = dict.fromkeys(LANES, 0)

    def order(self, lanes: Iterable[Lane]) -> list[Lane]:
        """These lanes, first to ask first."""
        wanted = set(lanes)
        by_priority = [lane for lane in LANES if lane in wanted]
        return sorted(by_priority, key=lambda lane: self._passed[lane] < self._patience)

    def turns(self, lane: Lane) -> int:
        """Jobs that may be taken from this lane together, before another one may have waited for long enough."""
        behind = LANES[LANES.index(lane) + 1 :]
        return max(1, min((self._patience - self._passed[other] for other in behind), default=self._patience))

    def picked(self, lane: Lane) -> None:
        """A job was taken from this lane: those behind it were passed over."""
        rank = LANES.index(lane)
        for other in LANES[rank + 1 :]:
            self._passed[other] += 1
        self._passed[lane] = 0

    def empty(self, lane: Lane) -> None:
        """The lane had nothing: nobody in it is waiting."""
        self._passed[lane] = 0


@dataclass
class _Refusal:
    """A source the server knows nothing of: its consumer is gone, or has no leader just now."""

    since: float
    pause: float
    until: float


@dataclass
class _Pull:
    source: str
    expires: float
    left: int = 1
    """Messages it may still bring."""
    answer: asyncio.Event = field(default_factory=asyncio.Event)


class Puller:
    """Pulls from several durables of one stream, called sources here, by a name of the caller's choice."""

    def __init__(self, bus: Bus, stream: str, durables: dict[str, str], *, park: float) -> None:
        self._nc = bus.nc
        self._stream = stream
        self._durables = durables
        self._park = park
        self._pulls: dict[str, _Pull] = {}
        self._parked: dict[str, str] = {}
        self._arrived: list[tuple[str, Msg]] = []
        self._wake = asyncio.Event()
        self._count = 0
        self._reconnects = 0
        self._refused: dict[str, _Refusal] = {}
        self._subscription: Subscription | None = None
        self._inbox = ""
        self.last_answer = time.monotonic()
        """When the server last answered a pull, by `time.monotonic`."""

    async def open(self) -> None:
        """Subscribe to the answers."""
        self._inbox = self._nc.new_inbox()
        self._reconnects = self._nc.stats["reconnects"]
        self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_answer)

    async def close(self) -> None:
        """Take no more; hand back what arrived meanwhile."""
        self._parked.clear()
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.drain()  # type: ignore[no-untyped-call] # what is on its way still arrives
        for _, message in self.collect():
            await message.nak()

    def collect(self) -> list[tuple[str, Msg]]:
        """The messages that have arrived, with the source of each."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def wake(self) -> None:
        """End `wait` now: what the caller wants may have changed."""
        self._wake.set()

    @property
    def missing(self) -> list[str]:
        """Sources that have had no consumer for longer than an election takes."""
        late = time.monotonic() - ELECTION
        return sorted(source for source, refusal in self._refused.items() if refusal.since < late)

    async def probe(self, source: str, most: int = 1) -> bool:
        """Ask a source that is not parked for messages that are there now. True when some have arrived."""
        if self._is_parked(source) or self._is_refused(source):
            return False
        pull = await self._send(source, {"batch": most, "no_wait": True}, PROBE_TIMEOUT, most=most)
        try:
            await asyncio.wait_for(pull.answer.wait(), PROBE_TIMEOUT)
        except TimeoutError:
            return False
        return bool(self._arrived)

    async def park(self, sources: Sequence[str]) -> None:
        """Have the server answer as soon as one of these sources has a message."""
        for source in sources:
            if not self._is_parked(source) and not self._is_refused(source):
                await self._send(source, {"batch": 1, "expires": int(self._park * 1e9)}, self._park, parked=True)

    async def wait(self) -> None:
        """Until something arrives, `wake` is called, or the connection must be looked at."""
        if not self._arrived:
            try:
                await asyncio.wait_for(self._wake.wait(), TICK)
            except TimeoutError:
                pass
        self._wake.clear()
        if self._nc.stats["reconnects"] != self._reconnects:  # the server has forgotten our pulls
            self._reconnects = self._nc.stats["reconnects"]
            self._parked.clear()

    def _is_parked(self, source: str) -> bool:
        token = self._parked.get(source)
        pull = self._pulls.get(token) if token else None
        return pull is not None and time.monotonic() < pull.expires

    def _is_refused(self, source: str) -> bool:
        refusal = self._refused.get(source)
        return refusal is not None and time.monotonic() < refusal.until

    def _refuse(self, source: str) -> None:
        """Ask less and less often, and say it once."""
        now = time.monotonic()
        known = self._refused.get(source)
        if known is None:
            self._refused[source] = _Refusal(now, FIRST_PAUSE, now + FIRST_PAUSE)
            return
        if known.pause < LONGEST_PAUSE <= known.pause * 2:
            log.warning("nobody feeds this queue: its consumer is gone", stream=self._stream, queue=source)
        known.pause = min(LONGEST_PAUSE, known.pause * 2)
        known.until = now + known.pause

    async def _send(
        self, source: str, request: dict[str, object], seconds: float, *, parked: bool = False, most: int = 1
    ) -> _Pull:
        self._forget_old()
        self._count += 1
        token = f"{source}-{self._count}"
        pull = self._pulls[token] = _Pull(source, time.monotonic() + seconds, most)
        if parked:
            self._parked[source] = token
        where = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durables[source]}"
        await self._nc.publish(where, json.dumps(request).encode(), reply=f"{self._inbox}.{token}")
        return pull

    def _forget_old(self) -> None:
        old = time.monotonic() - 1.0
        for token in [token for token, pull in self._pulls.items() if pull.expires < old]:
            del self._pulls[token]

    async def _on_answer(self, message: Msg) -> None:
        token = message.subject.rpartition(".")[2] if message.subject.startswith(self._inbox) else ""
        status = (message.headers or {}).get("Status")
        if status is None:
            # A delivery keeps the subject it was stored under; which pull it answers is told by its consumer.
            source = self._source_of(message)
            self._arrived.append((source, message))
            self._refused.pop(source, None)
            self._brought(self._newest(source))
        else:
            pull = self._pulls.get(token)
            self._answered(token)
            if pull is not None and status in {"503", "409"}:
                self._refuse(pull.source)
            elif pull is not None:
                self._refused.pop(pull.source, None)
            if status not in {"404", "408"}:
                log.debug("pull refused", status=status, why=(message.headers or {}).get("Description"))
        if status not in {"503"}:
            self.last_answer = time.monotonic()
        self._wake.set()

    def _brought(self, token: str | None) -> None:
        pull = self._pulls.get(token) if token else None
        if pull is not None:
            pull.left -= 1
            if pull.left <= 0:
                self._answered(token)

    def _answered(self, token: str | None) -> None:
        pull = self._pulls.pop(token, None) if token else None
        if pull is not None:
            pull.answer.set()

    def _source_of(self, message: Msg) -> str:
        consumer = message.metadata.consumer
        return next(source for source, durable in self._durables.items() if durable == consumer)

    def _newest(self, source: str) -> str | None:
        """Older pulls of the source were lost or have expired: we never ask twice at once."""
        return next((token for token in reversed(self._pulls) if self._pulls[token].source == source), None)
