"""Rate limit: one token bucket per tenant, shared by all replicas through the `limits` bucket.

A replica borrows tokens in chunks, so most calls cost no round trip; what it has not used it keeps for the next ones.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass, field

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from services.gateway.problems import Problem
from shared.bus.connection import Bus
from shared.contract import streams

CHUNKS = 20
"""A full bucket is this many chunks."""
CHUNK_LIFE = 10.0
"""Seconds after which borrowed tokens are dropped: they have grown again in the shared bucket."""


@dataclass
class _Purse:
    """Tokens one replica has borrowed for one tenant."""

    tokens: int = 0
    until: float = 0.0
    left: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def held(self) -> int:
        return self.tokens if self.until >= time.monotonic() else 0

    def holds(self, cost: int) -> bool:
        return self.held >= cost


class RateLimit:
    """`per_minute` tokens grow a minute, up to `burst`; `per_minute` 0 turns the limit off."""

    def __init__(self, bus: Bus, *, per_minute: int, burst: int) -> None:
        self._bus = bus
        self._rate = per_minute / 60
        self._burst = burst
        self._chunk = max(1, burst // CHUNKS)
        self._purses: dict[str, _Purse] = {}

    async def take(self, tenant: str, cost: int = 1) -> dict[str, str]:
        """Take tokens of a tenant, or of whatever is counted; the `RateLimit` fields of the answer. Raises a 429
        problem when there are too few.

        Nothing costs more than a full bucket: after a quiet time everything is possible.
        """
        if not self._rate:
            return {}
        cost = min(cost, self._burst)
        purse = self._purses.setdefault(tenant, _Purse())
        if not purse.holds(cost):
            async with purse.lock:
                while not purse.holds(cost):
                    await self._borrow(tenant, purse, cost)
        purse.tokens -= cost
        return self._fields(purse)

    def _fields(self, purse: _Purse, retry_after: int | None = None) -> dict[str, str]:
        remaining = max(0, purse.tokens + math.floor(purse.left))
        refill = retry_after or math.ceil((self._burst - remaining) / self._rate)
        window = math.ceil(self._burst / self._rate)
        return {
            "RateLimit-Policy": f'"changes";q={self._burst};w={window}',
            "RateLimit": f'"changes";r={remaining};t={max(0, refill)}',
        }

    async def _borrow(self, tenant: str, purse: _Purse, cost: int) -> None:
        bucket = await self._bus.bucket(streams.LIMITS)
        key = f"rate.{tenant.encode().hex()}"
        while True:
            now = time.time()
            tokens, revision = await self._shared(key, now)
            needed = cost - purse.held
            grant = min(max(self._chunk, needed), math.floor(tokens))
            if grant < needed:
                raise self._refused(purse, tokens, needed)
            left = tokens - grant
            try:
                await bucket.update(key, json.dumps({"tokens": left, "at": now}).encode(), last=revision)
            except KeyWrongLastSequenceError:
                continue  # another replica borrowed meanwhile
            # others may have spent some of what was held meanwhile
            purse.tokens, purse.left, purse.until = purse.held + grant, left, time.monotonic() + CHUNK_LIFE
            return

    async def _shared(self, key: str, now: float) -> tuple[float, int]:
        """Tokens in the shared bucket by now, and its revision."""
        bucket = await self._bus.bucket(streams.LIMITS)
        try:
            entry = await bucket.get(key)
        except KeyNotFoundError as error:
            return float(self._burst), (error.entry.revision or 0) if error.entry else 0
        state = json.loads(entry.value or b"{}")
        grown = max(0.0, now - float(state["at"])) * self._rate
        return min(float(self._burst), float(state["tokens"]) + grown), entry.revision or 0

    def _refused(self, purse: _Purse, tokens: float, needed: int) -> Problem:
        wait = max(1, math.ceil((needed - tokens) / self._rate))
        purse.left = tokens
        return Problem(
            429,
            "rate_limited",
            "Too many changes were asked for in a short time.",
            hint=f"Try again in {wait} s.",
            headers={"Retry-After": str(wait), **self._fields(purse, wait)},
        )
