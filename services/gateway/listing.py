"""Lists of jobs and clones: an index of a bucket, brought up to date with what changed since the last look."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Generic, TypeVar

from nats.js.errors import NotFoundError
from pydantic import BaseModel, ValidationError

from services.gateway import reader
from services.gateway.domain import sort_key
from shared.bus.connection import Bus
from shared.log import get

log = get(__name__)

T = TypeVar("T", bound=BaseModel)


class Index(Generic[T]):
    """The values of a bucket in the order their keys were made.

    `keep` turns a stored value into what the list needs of it.
    """

    def __init__(self, bus: Bus, bucket: str, keep: Callable[[bytes], T]) -> None:
        self._bus = bus
        self._bucket = bucket
        self._keep = keep
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
            if info.state.last_seq > self._seq:
                await self._read_changes()

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
        try:
            item = self._keep(value)
        except ValidationError:
            log.warning("skipped an entry that can not be read", bucket=self._bucket, key=key)
            return
        if key not in self._items:
            insort(self._order, (sort_key(key), key))
        self._items[key] = item

    def _drop(self, key: str) -> None:
        if self._items.pop(key, None) is not None:
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
