"""Lists of jobs and clones: an index of a bucket, brought up to date with what changed since the last look."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from nats.js.errors import NotFoundError
from pydantic import BaseModel

from services.gateway import reader
from services.gateway.behind import Behind
from services.gateway.domain import sort_key
from services.gateway.store import decoded
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import Message
from shared.contract.subjects import Kind
from shared.log import get

log = get(__name__)

T = TypeVar("T", bound=BaseModel)
F = TypeVar("F", bound=BaseModel, contravariant=True)


class Follower(Protocol[F]):
    """Hears what an index gets and loses."""

    def put(self, key: str, item: F) -> None: ...

    def drop(self, key: str, item: F) -> None: ...

    def clear(self) -> None: ...


class Index(Generic[T]):
    """The values of a bucket in the order their keys were made.

    `keep` turns a stored value into what the list needs of it, None: nothing. What the projection is `behind` of is
    folded with `fold` from the streams of these `kinds`.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: str,
        keep: Callable[[bytes], T | None],
        *,
        fold: Callable[[T | None, Message, int], T | None],
        kinds: Sequence[Kind],
        behind: Behind,
        follower: Follower[T] | None = None,
    ) -> None:
        self._follower = follower
        self._bus = bus
        self._bucket = bucket
        self._keep = keep
        self._fold = fold
        self._kinds = kinds
        self._behind = behind
        self._folded: dict[Kind, int] = {}
        """How far streams were read that the projection is behind of."""
        self._lock = asyncio.Lock()
        self._items: dict[str, T] = {}
        self._order: list[tuple[str, str]] = []
        self._created: datetime | None = None
        self._seq = 0

    async def refresh(self) -> None:
        """Read what changed. A bucket that was dropped and rebuilt is read again from its beginning."""
        async with self._lock:
            try:
                info = await self._bus.js.stream_info(f"KV_{self._bucket}")
            except NotFoundError:
                return
            if info.created != self._created or info.state.last_seq < self._seq:
                self._items, self._order, self._seq, self._created = {}, [], 0, info.created
                self._folded.clear()
                if self._follower is not None:
                    self._follower.clear()
            if info.state.last_seq > self._seq:
                await self._read_changes()
            for kind in self._kinds:
                await self._read_behind(kind)

    async def _read_behind(self, kind: Kind) -> None:
        floor = self._behind.floors.get(kind)
        if floor is None:
            self._folded.pop(kind, None)
            return
        start = max(floor, self._folded.get(kind, 0)) + 1
        newer = reader.read(self._bus.nc, streams.STREAMS[kind], f"{kind}.>", start=start)
        async with aclosing(newer) as messages:  # type: ignore[type-var]
            async for stored in messages:
                self._folded[kind] = stored.seq
                message = decoded(stored)
                if message is not None:
                    item = self._fold(self._items.get(message.job_id), message, stored.seq)
                    if item is not None:
                        self._put(message.job_id, item)

    async def _read_changes(self) -> None:
        prefix = f"$KV.{self._bucket}."
        changes = reader.read(self._bus.nc, f"KV_{self._bucket}", f"{prefix}>", start=self._seq + 1)
        async with aclosing(changes) as messages:  # type: ignore[type-var]
            async for stored in messages:
                self._seq = stored.seq
                key = stored.subject.removeprefix(prefix)
                if "KV-Operation" in stored.headers:
                    self._drop(key)
                else:
                    self._set(key, stored.data)

    def _set(self, key: str, value: bytes) -> None:
        item = self._keep(value)
        if item is None:
            log.warning("skipped an entry that can not be read", bucket=self._bucket, key=key)
            return
        known = self._items.get(key)
        if known is None or _seq(known) <= _seq(item):  # what was folded from the stream may be newer
            self._put(key, item)

    def _put(self, key: str, item: T) -> None:
        if key not in self._items:
            insort(self._order, (sort_key(key), key))
        self._items[key] = item
        if self._follower is not None:
            self._follower.put(key, item)

    def _drop(self, key: str) -> None:
        item = self._items.pop(key, None)
        if item is not None:
            if self._follower is not None:
                self._follower.drop(key, item)
            del self._order[bisect_left(self._order, (sort_key(key), key))]

    def get(self, key: str) -> T | None:
        """The value of a key, as it was at the last `refresh`."""
        return self._items.get(key)

    def newest_first(self, *, after: str | None = None) -> Iterator[tuple[str, T]]:
        """Keys and values, newest first, beginning after a key (which need not exist any more)."""
        start = len(self._order) if after is None else bisect_left(self._order, (sort_key(after), after))
        for position in range(start - 1, -1, -1):
            key = self._order[position][1]
            yield key, self._items[key]


def _seq(item: BaseModel) -> int:
    seq: int = getattr(item, "seq", 0)
    return seq


class Sort(StrEnum):
    """Orders of a list."""

    NEWEST = "newest"
    OLDEST = "oldest"
    UPDATED = "updated"
    """What changed last comes first."""
    NAME = "name"
    """By the name people gave, or the address."""


@dataclass(frozen=True)
class Look(Generic[T]):
    """What of a list is asked for."""

    wanted: Callable[[T], bool]
    """Everything but the state."""
    state: Callable[[T], str]
    states: frozenset[str]
    """Only these; empty: all."""
    limit: int
    order: Callable[[T], Any] | None = None
    """Key of an order other than newest first; `backwards` turns it round."""
    backwards: bool = False
    after: str | None = None
    offset: int = 0
    count: bool = False


@dataclass
class Found(Generic[T]):
    """Some of a list, and of how many. `total` and `counts` (by state, whatever states were asked for) are there when
    they were asked for."""

    items: list[T]
    more: bool
    total: int | None = None
    counts: Counter[str] | None = field(default=None)


def find(index: Index[T], look: Look[T]) -> Found[T]:
    """A piece of a list. Looks no further than it must unless it has to count or to sort."""
    if not look.count and look.order is None:
        candidates = (item for _, item in index.newest_first(after=look.after) if look.wanted(item))
        matching = (item for item in candidates if not look.states or look.state(item) in look.states)
        piece = list(islice(matching, look.offset, look.offset + look.limit + 1))
        return Found(piece[: look.limit], len(piece) > look.limit)
    all_wanted = [(key, item) for key, item in index.newest_first() if look.wanted(item)]
    counts = Counter(look.state(item) for _, item in all_wanted)
    chosen = [pair for pair in all_wanted if not look.states or look.state(pair[1]) in look.states]
    start = look.offset
    if look.after is not None:
        start += sum(sort_key(key) >= sort_key(look.after) for key, _ in chosen)
    if look.order is not None:
        order = look.order
        chosen.sort(key=lambda pair: order(pair[1]), reverse=look.backwards)
    piece = [item for _, item in chosen[start : start + look.limit]]
    more = start + look.limit < len(chosen)
    return Found(piece, more, len(chosen), counts) if look.count else Found(piece, more)


OF_AN_ID = 5
"""Characters: a shorter word is not looked for in ids, where chance puts every letter and digit."""


def words_in(q: str | None) -> list[str]:
    """What somebody searches for, word by word."""
    return q.casefold().split() if q else []


def has_words(words: list[str], *, texts: tuple[str, ...], ids: tuple[str, ...]) -> bool:
    """Whether every word is in one of the texts or, if it is long enough, in one of the ids."""
    text, known = " ".join(texts).casefold(), " ".join(ids).casefold()
    return all(word in text or (len(word) >= OF_AN_ID and word in known) for word in words)
