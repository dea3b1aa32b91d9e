"""A fair share of the slots for each tenant while others wait, without anybody setting a limit.

When one tenant's jobs fill a worker before another comes, the other need not wait until they end: a few jobs more may
run, one for each tenant that has none running.

Who runs here a worker knows; who runs elsewhere is told by marks in the `limits` bucket, which a job gets with its
first heartbeat: what is over sooner keeps nobody waiting. Who waits is told by the places in line there and by the
commands that no worker has taken yet: those are looked through in the log, as far as a worker would get soon.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from shared.bus.connection import Bus
from shared.bus.pull import direct
from shared.contract.streams import LIMITS, STREAMS, work_consumer
from shared.contract.subjects import LANES, EventType, Kind, command_of, every
from shared.engine.records import Records

LOOK_AHEAD = 400
"""Commands of a lane that are looked through."""
FAIR = "fair-"
NOBODY = ""
"""Has what the log no longer knows."""
FRESH = 1.0
"""Seconds for which the look is good enough for the next job."""


def share(capacity: int, tenants: int) -> int:
    """Slots a tenant may have when so many want some; rounded up, so that none stays empty. Pure."""
    return max(1, math.ceil(capacity / max(1, tenants)))


@dataclass(frozen=True)
class Waiting:
    """A job that waits for a place: those with smaller tickets came earlier."""

    ticket: str
    tenant: str


def ahead(mine: Waiting, line: Sequence[Waiting], coming: set[str], held: Counter[str], limit: int) -> int:
    """Jobs that get a place before mine. Pure.

    `held`: how many of the `limit` places each tenant has; `coming`: tenants with jobs that have not asked yet. First
    comes who has less than a share of the places, then who came first.
    """
    fair = share(limit, len({mine.tenant, *coming, *held, *(job.tenant for job in line)}))
    mine_first = held[mine.tenant] < fair
    before = sum((held[job.tenant] >= fair, job.ticket) < (not mine_first, mine.ticket) for job in line)
    return before if mine_first else before + sum(held[tenant] < fair for tenant in coming - {mine.tenant})


@dataclass(frozen=True)
class Marks:
    """What the `limits` bucket says about fairness. A scope is what a tenant is called there."""

    elsewhere: tuple[str, ...] = ()
    """Scopes of the jobs that run in other workers, one each."""
    in_line: frozenset[str] = frozenset()
    """Scopes of jobs that wait for their share."""


class Queue:
    """Whose commands wait in the log, and whose jobs run. One for a worker."""

    def __init__(self, bus: Bus, kind: Kind) -> None:
        self._bus = bus
        self._kind = kind
        self._records = Records(bus, LIMITS)
        self.here: dict[str, str] = {}
        """Jobs that run in this worker -> their scope."""
        self._marks = Marks()
        self._marks_until = 0.0
        self._reading_marks = asyncio.Lock()
        self._known: set[str] = set()
        self._known_until = 0.0
        self._looking = asyncio.Lock()
        self._tenants: dict[str, str] = {}
        """Job -> tenant, which never changes."""

    async def tenants_of(self, jobs: frozenset[str]) -> Counter[str]:
        """How many of these jobs each tenant has asked for, as far as the log knows."""
        self._tenants = {job: tenant for job, tenant in self._tenants.items() if job in jobs}
        for job in jobs - self._tenants.keys():
            try:
                command = await self._bus.js.get_msg(STREAMS[self._kind], subject=command_of(job))
                self._tenants[job] = _tenant(command.data or b"")
            except NotFoundError:
                self._tenants[job] = NOBODY
        return Counter(tenant for tenant in self._tenants.values() if tenant != NOBODY)

    async def marks(self) -> Marks:
        """As the bucket had them a moment ago."""
        async with self._reading_marks:
            if self._marks_until <= time.monotonic():
                self._marks = await self._read_marks()
                self._marks_until = time.monotonic() + FRESH
        return self._marks

    async def _read_marks(self) -> Marks:
        parts = [key.split(".") for key in await self._records.matching(f"{self._kind}.*.*.*")]
        return Marks(
            tuple(scope for _, scope, what, job in parts if what == "run" and job not in self.here),
            frozenset(scope for _, scope, what, _ in parts if what == "line" and scope.startswith(FAIR)),
        )

    async def tenants(self) -> set[str]:
        """Tenants with commands nobody has taken yet. Nobody, when the log can not be read now."""
        async with self._looking:
            if self._known_until <= time.monotonic():
                try:
                    self._known = await self._look()
                except (NatsError, JetStreamError, TimeoutError):
                    self._known = set()
                self._known_until = time.monotonic() + FRESH
        return self._known

    async def _look(self) -> set[str]:
        found = set()
        stream = STREAMS[self._kind]
        for lane in LANES:
            info = await self._bus.js.consumer_info(stream, work_consumer(self._kind, lane))
            if not info.num_pending or info.delivered is None:
                continue
            seq, left = info.delivered.stream_seq + 1, LOOK_AHEAD
            commands = direct(self._bus.nc, stream, seq=seq, subject=every(self._kind, EventType.REQUESTED, lane))
            async with aclosing(commands) as ahead:
                async for message in ahead:
                    found.add(_tenant(message.data))
                    left -= 1
                    if left == 0:
                        break
        return found


def _tenant(command: bytes) -> str:
    try:
        return str(json.loads(command).get("tenant", "local"))
    except (ValueError, AttributeError):
        return "local"
