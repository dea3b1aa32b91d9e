"""How many jobs run at once, over all replicas: permits in the `limits` bucket, and a line for those who wait.

A scope (all jobs, one tenant, one source host) of N permits has the entries `<scope>.slot.0` to `N-1`. Whoever creates
one has it; it ends by itself when its holder stops renewing it. Waiting jobs keep an entry `<scope>.line.<lane>.<seq>`:
it says who is next, so that new jobs do not overtake old ones.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.bus.connection import Bus
from shared.contract.events import Command
from shared.contract.streams import LIMITS
from shared.contract.subjects import LANES
from shared.engine.fairness import FAIR, Queue, Waiting, ahead, share
from shared.engine.records import Conflict, Records
from shared.engine.room import NoSpace, Places
from shared.engine.settings import Limits
from shared.log import get

log = get(__name__)

READERS = 4
"""Jobs that may read one clone at the same time; one that changes it as a whole takes the place of all."""
MOST_TENANTS = 4
"""A tenant with fewer slots than its share among so many is not asked who else waits."""
DOING = {"clone": "reading from", "restore": "writing to"}
QUOTA = "quota"


@dataclass(frozen=True)
class Scope:
    """One limit that applies to a job."""

    name: str
    """Key prefix: safe characters only."""
    limit: int
    why: str
    """What a person reads while a job waits for it."""
    alone: bool = False
    """Every slot is taken, or none."""

    @property
    def reason(self) -> str:
        """The same for a program: `limit:all`, `limit:tenant`, `limit:key`, `limit:source`, `limit:space`, `quota`."""
        what = self.name.partition(".")[2].partition("-")[0]
        return what if what == QUOTA else f"limit:{what}"


@dataclass
class Permit:
    """One of a scope's slots, held."""

    key: str
    revision: int


@dataclass(frozen=True)
class Full:
    """No permit now."""

    scope: Scope
    place: int
    """Jobs before this one in the line."""


def scopes(command: Command, limits: Limits) -> list[Scope]:
    """The limits that apply to a command, widest first. Pure."""
    kind, host = command.kind, _host(command.place)
    found = []
    if limits.total is not None:
        found.append(Scope(f"{kind}.all", limits.total, f"Waiting: {_jobs(limits.total)} running"))
    if limits.per_tenant is not None:
        why = f"Waiting: {_jobs(limits.per_tenant, ' of this account')} running"
        found.append(Scope(f"{kind}.tenant-{_digest(command.tenant)}", limits.per_tenant, why))
    if command.key is not None and command.key_slots is not None:
        why = f"Waiting: {_jobs(command.key_slots, ' of this API key')} running"
        found.append(Scope(f"{kind}.key-{_digest(command.key)}", command.key_slots, why))
    if limits.per_source is not None:
        why = f"Waiting: {_jobs(limits.per_source)} {DOING[kind]} {host}"
        found.append(Scope(f"{kind}.source-{_digest(host)}", limits.per_source, why))
    if command.reads:
        read = _host(command.reads)
        why = f"Waiting: another job is at work on {read}"
        found.append(Scope(f"read.source-{_digest(read)}", READERS, why, alone=command.changes_what_it_reads))
    return found


def pause_scope(command: Command) -> Scope:
    """What a job waits for while its site's host wants nobody (Retry-After). Pure."""
    host = _host(command.place)
    return Scope(f"{command.kind}.source-{_digest(host)}.pause", 0, f"Waiting: {host} has asked for a pause")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _jobs(number: int, whose: str = "") -> str:
    return f"1 job{whose} is already" if number == 1 else f"{number} jobs{whose} are already"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Permits:
    """The permits of one job, and its mark among those that run."""

    def __init__(self, bus: Bus, command: Command, limits: Limits, *, ttl: int, since: int) -> None:
        self._kind, self._tenant = command.kind, command.tenant
        self._fair = Scope(f"{command.kind}.{FAIR}{_digest(command.tenant)}", 0, "Waiting: other accounts wait, too")
        self._records = Records(bus, LIMITS)
        self._job_id = command.job_id
        self._scopes = scopes(command, limits)
        self._pause = pause_scope(command)
        self.quota = Scope(f"{command.kind}.{QUOTA}", 0, "Waiting: every place for a clone is taken")
        """What a job waits for that finds no room for what it would make."""
        self.space = Scope(f"{command.kind}.space", 0, "Waiting: other jobs need the disk space that is free")
        self._ttl = ttl
        self._ticket = f"{LANES.index(command.lane)}-{since:020d}"
        self._held: list[Permit] = []
        self._queue: Queue | None = None
        """Where the job is known to run."""
        self._marked = False

    async def acquire(self) -> Full | None:
        """Take a permit of every scope, or none: then tell which one was full."""
        paused = await self._records.get(self._pause.name)
        if paused is not None and paused.value is not None:
            return Full(self._pause, 1)
        for scope in self._scopes:
            full = await self._acquire(scope)
            if full is not None:
                await self.release()
                return full
        return None

    async def reserve(self, look: Callable[[], Awaitable[Places | None]], queue: Queue) -> Full | None:
        """Keep a place for what the job will make, or tell how many are before it. `acquire` first.

        A job that runs and has made nothing yet counts like what exists, so that those who wait stay in their order;
        while others wait, a tenant that has its share of the places stands behind those that have less.
        """
        async with self._records.alone(f"{self._kind}.counting.{QUOTA}"):
            places = await look()
            if places is None or self._job_id in places.taken:
                return None
            keys = [key.split(".") for key in await self._records.keys(self.quota.name)]
            reserved = {job for what, job, *_ in keys if what == "place"}
            taken = (places.taken | reserved) - {self._job_id}
            free = places.limit - len(taken)
            line = [Waiting(*found) for what, *found in keys if what == "line" and found[0] != self._ticket]
            before = sum(job.ticket < self._ticket for job in line)
            if free > 0 and line:
                before = await self._before(line, taken, queue, places.limit)
            if before < free:
                await self._take(f"{self.quota.name}.place.{self._job_id}")
                return None
        await self.release()
        return Full(self.quota, before - max(free, 0))

    async def _before(self, line: list[Waiting], taken: frozenset[str], queue: Queue, limit: int) -> int:
        held = await queue.tenants_of(taken)
        known = Counter({_digest(tenant): many for tenant, many in held.items()})
        coming = {_digest(tenant) for tenant in await queue.tenants()}
        return ahead(Waiting(self._ticket, _digest(self._tenant)), line, coming, known, limit)

    async def claim(self, needed: int, free: Callable[[], Awaitable[int]] | None = None) -> None:
        """Keep so many bytes of the disk for this job until it ends. Raises NoSpace when other jobs need them.

        `free` tells how many there are; without it the job had them already, before another worker took it over.
        """
        if any(permit.key.startswith(f"{self.space.name}.") for permit in self._held):
            return
        async with self._records.alone(f"{self._kind}.counting.space"):
            keys = [key.split(".") for key in await self._records.keys(self.space.name)]
            others = sum(int(found[0]) for what, *found in keys if what == "claim" and found[1] != self._job_id)
            if free is not None and others and needed + others > await free():
                raise NoSpace
            await self._take(f"{self.space.name}.claim.{needed}.{self._job_id}")

    async def share(self, slots: int, queue: Queue, *, guest: bool = False) -> Full | None:
        """Say that the job runs; not when its tenant has its share of the slots and others wait. `acquire` first.

        Other workers are told with the first heartbeat (`renew`).

        `guest`: it would run beyond the slots, which is for tenants that have no job running.
        """
        marks, mine = await queue.marks(), self._fair.name.partition(".")[2]

        def running() -> list[str]:
            return [*queue.here.values(), *marks.elsewhere]

        capacity, waiting = max(slots, len(running())), set[str]()
        if running().count(mine) >= share(capacity, MOST_TENANTS):
            waiting |= marks.in_line | {f"{FAIR}{_digest(tenant)}" for tenant in await queue.tenants()}
            waiting -= {mine}
        many = running()  # from here on no other job of this worker comes in between
        held = many.count(mine)
        has_share = bool(waiting) and held >= share(capacity, len({mine, *many, *waiting}))
        if (guest and held) or has_share:
            await self.release()
            return Full(self._fair, held)
        queue.here[self._job_id] = mine
        self._queue = queue
        return None

    async def pause(self, seconds: float) -> None:
        """The site's host has asked for a pause: no job of this kind begins work there for so long."""
        known = await self._records.get(self._pause.name)
        try:
            await self._records.write(
                self._pause.name, b"paused", last=known.revision if known else 0, ttl=max(1, math.ceil(seconds))
            )
        except Conflict:
            log.debug("another job told the same pause", job=self._job_id)

    async def stand_in_line(self, full: Full, seconds: float) -> None:
        """Keep the place until the job asks again, in about `seconds`."""
        key = self._line_key(full.scope)
        known = await self._records.get(key)
        try:
            # Longer than the pause: a job that finds no free worker at once must not lose its place.
            await self._records.write(key, b"", last=known.revision if known else 0, ttl=int(seconds * 2) + 5)
        except Conflict:
            log.debug("place in the line written by another delivery", job=self._job_id)

    async def renew(self) -> None:
        """Hold the permits longer. One that was lost (its time ran out while NATS was away) is let go."""
        if self._queue is not None and not self._marked:
            self._marked = await self._create(f"{self._fair.name}.run.{self._job_id}")
        for permit in list(self._held):
            try:
                permit.revision = await self._records.write(
                    permit.key, self._job_id.encode(), last=permit.revision, ttl=self._ttl
                )
            except Conflict:
                self._held.remove(permit)
                self._marked = self._marked and ".run." not in permit.key
                log.warning("a permit ran out", job=self._job_id, permit=permit.key)

    async def release(self) -> None:
        """Give them back at once."""
        if self._queue is not None:
            self._queue.here.pop(self._job_id, None)
            self._queue = None
        while self._held:
            permit = self._held.pop()
            await self._records.drop(permit.key, revision=permit.revision)

    async def leave_line(self) -> None:
        """The job does not wait any more, whatever for."""
        for scope in [*self._scopes, self.quota, self.space, self._fair]:
            known = await self._records.get(self._line_key(scope))
            if known is not None:
                await self._records.drop(self._line_key(scope), revision=known.revision)

    def _line_key(self, scope: Scope) -> str:
        return f"{scope.name}.line.{self._ticket}" + (f".{_digest(self._tenant)}" if scope is self.quota else "")

    async def _acquire(self, scope: Scope) -> Full | None:
        keys = await self._records.keys(scope.name)
        taken = {key.removeprefix("slot.") for key in keys if key.startswith("slot.")}
        line = [key.removeprefix("line.") for key in keys if key.startswith("line.")]
        place = sum(ticket < self._ticket for ticket in line)
        free = [slot for slot in range(scope.limit) if str(slot) not in taken]
        if scope.alone:
            return None if len(free) == scope.limit and await self._every(scope) else Full(scope, place)
        if place >= len(free):
            return Full(scope, place - len(free))
        for slot in free[place:] + free[:place]:
            if await self._create(f"{scope.name}.slot.{slot}"):
                return None
        return Full(scope, place)

    async def _every(self, scope: Scope) -> bool:
        """Whether all slots became this job's."""
        for slot in range(scope.limit):
            if not await self._create(f"{scope.name}.slot.{slot}"):
                return False
        return True

    async def _take(self, key: str) -> None:
        """A record of this job alone: an earlier delivery of it may have left one."""
        known = await self._records.get(key)
        revision = await self._records.write(
            key, self._job_id.encode(), last=known.revision if known else 0, ttl=self._ttl
        )
        self._held.append(Permit(key, revision))

    async def _create(self, key: str) -> bool:
        try:
            revision = await self._records.write(key, self._job_id.encode(), last=0, ttl=self._ttl)
        except Conflict:
            return False
        self._held.append(Permit(key, revision))
        return True
