"""Looks after what the log is made of: a stream, bucket or consumer that is gone is made again, and that is said.

One process of an installation does it: whoever may make streams.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from shared.bus.connection import Bus
from shared.contract import streams
from shared.log import get

log = get(__name__)

EVERY = 5.0
NEARLY_FULL = 0.8
TIMEOUT = 5.0
NAMED = 5


@dataclass(frozen=True)
class Store:
    """Bytes of JetStream on disk."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit if self.limit > 0 else 0.0


class Upkeep:
    """Installs at once, then looks every few seconds."""

    def __init__(
        self,
        bus: Bus,
        *,
        replicas: int = 1,
        ack_wait: float = streams.ACK_WAIT,
        audit: streams.AuditKept | None = None,
        limit: int = 0,
        say: Callable[[str], None] = log.warning,
    ) -> None:
        """`limit`: bytes the store may take, where the account has no limit of its own; `say` tells what a person
        should read."""
        self._limit = limit
        self._bus = bus
        self._say = say
        self._installed = False
        self._replicas, self._ack_wait, self._audit = replicas, ack_wait, audit
        self._warned = False
        self.store: Store | None = None
        """As last seen."""

    async def run(self) -> None:
        """For ever; whatever NATS does."""
        while True:
            try:
                await self.look()
            except (NatsError, JetStreamError, TimeoutError, ValueError) as error:
                log.debug("can not look after the streams now", error=repr(error))
            await asyncio.sleep(EVERY)

    async def look(self) -> list[str]:
        """Make what is missing; returns its names. Raises nats errors when NATS is away."""
        gone = await self._missing()
        if gone and self._installed:
            more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
            self._say(f"gone from NATS, and made again: {', '.join(gone[:NAMED])}{more}")
        if gone or not self._installed:  # settings may have changed since it was made
            await streams.install(self._bus.js, replicas=self._replicas, ack_wait=self._ack_wait, audit=self._audit)
        self._installed = True
        await self._measure()
        return gone

    async def _missing(self) -> list[str]:
        there = set(await self._names("STREAM.NAMES", "streams"))
        gone = []
        for stream, durables in streams.expected().items():
            if stream not in there:
                gone.append(stream)
            elif durables:
                known = set(await self._names(f"CONSUMER.NAMES.{stream}", "consumers"))
                gone += [f"{stream}/{name}" for name in durables if name not in known]
        return gone

    async def _names(self, api: str, field: str) -> list[str]:
        names: list[str] = []
        while True:
            answer = await self._ask(api, {"offset": len(names)})
            found = answer.get(field) or []
            names += found
            if not found or len(names) >= int(answer.get("total", 0)):
                return names

    async def _measure(self) -> None:
        info = await self._ask("INFO", {})
        known = int(info.get("limits", {}).get("max_storage", -1))
        self.store = Store(int(info.get("storage", 0)), known if known > 0 else self._limit)
        full = self.store.share >= NEARLY_FULL
        if full and not self._warned:
            self._say(
                f"the store of NATS is {self.store.share:.0%} full; when it is full nothing can be accepted any more. "
                "`siteferry log-size` shows what fills it, SITEFERRY_NATS_STORE_GB makes it larger"
            )
        self._warned = full

    async def _ask(self, api: str, question: dict[str, Any]) -> dict[str, Any]:
        reply = await self._bus.nc.request(f"$JS.API.{api}", json.dumps(question).encode(), timeout=TIMEOUT)
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            raise ValueError(answer["error"].get("description", "refused"))
        return answer
