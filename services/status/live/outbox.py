"""What one connection still has to be sent: bounded, and honest when it can not keep up. Pure: no await, no clock.

Progress of the same step is merged, because only the latest matters; nothing else ever is. When too much waits all
the same, everything that waits for subscriptions is dropped and each gets a fresh snapshot instead.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count

from services.status.live.wire import text_frame

LIMIT = 256
"""Frames that may wait."""


@dataclass(frozen=True, slots=True)
class Change:
    """One visible change of a job or clone, encoded once for all who watch."""

    job_id: str
    seq: int
    n: int
    body: str
    """`"seq":…,"n":…,"event":{…}`: the inside of an `ev` frame."""
    merge: str | None
    """Neighbouring changes of a job with the same key may be merged into the later one; None: never."""
    ends: str | None = None
    """The terminal state this change brought."""
    tenant: str = ""
    """Whose job it is."""
    merged: int = 0
    """Earlier changes that this one was made with in one go."""
    _frames: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    def text(self, quoted: str, merged: int) -> str:
        """The frame for a subscription; `quoted` is its id as JSON, `merged` counts all changes that are in it too."""
        told = f'"merged":{merged},' if merged else ""
        return f'{{"type":"ev","id":{quoted},{told}{self.body}}}'

    def frame(self, quoted: str) -> bytes:
        """`text` as it goes over the wire, made once for all subscriptions of the same id."""
        known = self._frames.get(quoted)
        if known is None:
            known = self._frames[quoted] = text_frame(self.text(quoted, self.merged))
        return known


@dataclass(slots=True)
class Waiting:
    """A frame in the queue."""

    text: str
    sub: str | None = None
    change: Change | None = None
    merged: int = 0

    def encode(self) -> str:
        """The frame as it goes out."""
        return self.text if self.change is None else self.change.text(self.text, self.merged)


class Outbox:
    """An ordered queue of frames for one connection."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._keys = count()
        self._queue: OrderedDict[int, Waiting] = OrderedDict()
        self._latest: dict[tuple[str, str], int] = {}
        """Where the last waiting change of each subscription and job stands; only that one may be merged into, so a
        job's changes keep their order."""
        self.resync: set[str] = set()
        """Subscriptions whose changes were dropped; they need a fresh snapshot."""
        self.merged = 0
        """Changes that were merged into later ones."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do for the connection's writer."""
        return not self._queue and not self.resync

    def put(self, text: str, *, sub: str | None = None) -> None:
        """Queue a frame that is not a change. With `sub`, it is dropped when that subscription is resynchronised."""
        self._queue[next(self._keys)] = Waiting(text, sub)

    def change(self, sub: str, quoted: str, change: Change) -> None:
        """Queue a change for a subscription; `quoted` is its id as JSON."""
        if sub in self.resync:
            return  # the snapshot to come includes it
        place = (sub, change.job_id)
        before = self._queue.get(self._latest.get(place, -1))
        if before is not None and before.change is not None and mergeable(before.change, change):
            before.merged += change.n - before.change.n
            before.change = change
            self.merged += 1
        elif len(self._queue) >= self._limit:
            self._overflow(sub)
        else:
            self._latest[place] = key = next(self._keys)
            self._queue[key] = Waiting(quoted, sub, change, change.merged)

    def snapshot(self, sub: str, text: str) -> None:
        """Queue a snapshot: whatever else waits for the subscription is older and is dropped."""
        self.forget(sub)
        self.put(text, sub=sub)

    def forget(self, sub: str) -> None:
        """Drop everything that waits for a subscription."""
        self.resync.discard(sub)
        self._drop({sub})

    def take(self, most: int = 32) -> list[str]:
        """The next frames, oldest first."""
        taken: list[str] = []
        while self._queue and len(taken) < most:
            key, waiting = self._queue.popitem(last=False)
            if waiting.change is not None and waiting.sub is not None:
                place = (waiting.sub, waiting.change.job_id)
                if self._latest.get(place) == key:
                    del self._latest[place]
            taken.append(waiting.encode())
        return taken

    def _overflow(self, sub: str) -> None:
        late = {sub} | {waiting.sub for waiting in self._queue.values() if waiting.change is not None and waiting.sub}
        self._drop(late)
        self.resync |= late

    def _drop(self, subs: set[str]) -> None:
        for key in [key for key, waiting in self._queue.items() if waiting.sub in subs]:
            del self._queue[key]
        for place in [place for place in self._latest if place[0] in subs]:
            del self._latest[place]


def mergeable(before: Change, after: Change) -> bool:
    """Whether the later change says everything the earlier one said."""
    return before.merge is not None and before.merge == after.merge
