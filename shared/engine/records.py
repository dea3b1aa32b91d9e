"""Key-value entries with compare-and-set, message TTLs and fenced removal.

nats-py's KeyValue has no TTL on updates, leaves markers when it deletes, and can not tell a lost answer from a lost
race. Here every write carries a message id: a repeated write is recognised by the server and answers like the first.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from nats.errors import BadHeaderError, BadSubjectError, ConnectionClosedError, MaxPayloadError, ProtocolError
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from shared.bus.connection import Bus

T = TypeVar("T")
WRITE_TIMEOUT = 2.0
REFUSED = (ConnectionClosedError, MaxPayloadError, BadSubjectError, BadHeaderError, ProtocolError)
"""Errors of the client's own: asking again will not help."""
ALONE = 5
"""Seconds for which one who counts keeps others from counting: whoever dies meanwhile is waited for no longer."""
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})


class Conflict(Exception):
    """Somebody else wrote this entry since it was read."""


@dataclass(frozen=True)
class Entry:
    """A value and its revision. A removed entry has no value but a revision to compare with."""

    value: bytes | None
    revision: int
    stored_at: datetime | None = None
    """By the server's clock."""


def unreachable(error: BaseException) -> bool:
    """Whether an error says that NATS is away for now, as opposed to an answer of its."""
    if isinstance(error, REFUSED):
        return False
    if isinstance(error, APIError):
        return isinstance(error, ServiceUnavailableError)
    return isinstance(error, NatsError | asyncio.TimeoutError | OSError)


async def patiently(call: Callable[[], Awaitable[T]], check: Callable[[], None] = lambda: None) -> T:
    """Call until NATS answers. `check` is asked before each new try and raises when there is no point any more."""
    pause = 0.05
    while True:
        try:
            return await call()
        except Exception as error:
            if not unreachable(error):
                raise
        check()
        await asyncio.sleep(pause)
        pause = min(pause * 2, 1.0)


class Records:
    """One bucket of `shared.contract.streams`."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._js = bus.js
        self.stream = f"KV_{bucket}"
        self.prefix = f"$KV.{bucket}."

    async def get(self, key: str) -> Entry | None:
        """The entry, as the leader of the bucket has it. Raises nats errors when NATS is away."""
        try:
            message = await self._js.get_msg(self.stream, subject=self.prefix + key)
        except NotFoundError:
            return None
        gone = bool(message.headers and "KV-Operation" in message.headers)
        return Entry(None if gone else message.data, message.seq or 0, message.time)

    async def age(self, entry: Entry) -> float:
        """Seconds since an entry was stored, by the clock of the server that stored it."""
        answer = await self._js._nc.request(f"$JS.API.STREAM.INFO.{self.stream}", b"", timeout=WRITE_TIMEOUT)
        now = datetime.fromisoformat(json.loads(answer.data)["ts"][:26].rstrip("Z") + "+00:00")
        return 0.0 if entry.stored_at is None else (now - entry.stored_at).total_seconds()

    async def write(
        self, key: str, value: bytes, *, last: int, ttl: int | None = None, check: Callable[[], None] = lambda: None
    ) -> int:
        """Write when the entry's revision is still `last` (0: there is none), and return the new revision.

        Tries again while NATS is away and `check` does not raise. Raises Conflict when somebody else wrote.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last), "Nats-Msg-Id": secrets.token_hex(12)}
        if ttl is not None:
            headers["Nats-TTL"] = f"{ttl}s"

        async def once() -> int:
            ack = await self._js.publish(self.prefix + key, value, timeout=WRITE_TIMEOUT, headers=dict(headers))
            return ack.seq

        try:
            return await patiently(once, check)
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise Conflict(key) from error
            raise

    async def drop(self, key: str, *, revision: int) -> None:
        """Remove the entry unless it is newer than `revision`. Leaves no marker behind."""
        await self._js.purge_stream(self.stream, seq=revision + 1, subject=self.prefix + key)

    async def forget(self, key: str) -> None:
        """Remove the entry for good, whatever its revision. Costs the server no write when there is none."""
        await self._js.purge_stream(self.stream, subject=self.prefix + key)

    async def matching(self, pattern: str) -> list[str]:
        """The keys that match, with `*` for a token."""
        info = await self._js.stream_info(self.stream, subjects_filter=self.prefix + pattern)
        return [subject.removeprefix(self.prefix) for subject in (info.state.subjects or {})]

    async def keys(self, prefix: str) -> list[str]:
        """The keys below `prefix.`, without it."""
        info = await self._js.stream_info(self.stream, subjects_filter=f"{self.prefix}{prefix}.>")
        start = len(self.prefix) + len(prefix) + 1
        return [subject[start:] for subject in (info.state.subjects or {})]

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncIterator[None]:
        """One at a time, over all replicas, for as long as it takes to count and to write what follows from it.

        Nobody is kept out for longer than two who died inside: what matters is looked at again by who makes it.
        """
        patience, revision = time.monotonic() + 2 * ALONE, 0
        while not revision and time.monotonic() < patience:
            try:
                revision = await self.write(key, b"", last=0, ttl=ALONE)
            except Conflict:
                await asyncio.sleep(random.uniform(0.01, 0.05))
        try:
            yield
        finally:
            if revision:
                await self.drop(key, revision=revision)
