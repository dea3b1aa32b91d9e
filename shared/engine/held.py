"""A job in the hands of this worker: its lease, its memory, and what may be said about it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from shared import tracing
from shared.bus.connection import Bus
from shared.contract.events import Command, JobEvent, now
from shared.contract.jobs import ErrorInfo, Job, StepState
from shared.contract.subjects import EventType, Kind, Lane
from shared.contract.times import stamp
from shared.engine.attempt import Attempt
from shared.engine.carriers.pool import Carriers
from shared.engine.checkpoint import Checkpoint, CheckpointStore
from shared.engine.context import JobContext
from shared.engine.fairness import Queue
from shared.engine.lease import Lease, leases
from shared.engine.limits import Permits
from shared.engine.parts import Parts
from shared.engine.room import Room
from shared.engine.settings import EngineSettings
from shared.engine.steps import Workflow
from shared.engine.token import StopToken
from shared.errors import Cancelled, JobError, LeaseLost, Temporary
from shared.log import get
from shared.secrets.vault import Vault

log = get(__name__)

HISTORY = 50
"""Failed attempts remembered."""


@dataclass(frozen=True)
class Shop:
    """What all jobs of a worker share."""

    bus: Bus
    vault: Vault
    workflow: Workflow
    settings: EngineSettings
    owner: str
    alive: Callable[[], None]
    """Called whenever a heartbeat got through."""
    threads: Executor
    """For blocking work of steps: sized by the slots, where asyncio's own is sized by the processors."""
    parts: Parts
    """Our own parts, which may be away."""
    slots: int
    queue: Queue
    crowded: Callable[[], bool]
    """Whether more jobs run here than there are slots: the last ones are guests."""
    carriers: Carriers | None = None
    """For work that reads what a site sent; None: this kind of job has none."""
    room: Room | None = None
    """Places for what jobs make; None: this kind of job makes nothing that stays."""


class Unexpected(Temporary):
    """Something unexpected went wrong."""

    code = "internal_error"


class Held:
    """One job. Nothing here may be used before `lease` is taken; `command` and `known` are set right after."""

    command: Command
    known: Checkpoint

    def __init__(self, shop: Shop, kind: Kind, lane: Lane, job_id: str) -> None:
        self.shop = shop
        self.job_id = job_id
        self.about: dict[str, Any] = {"job_id": job_id, "kind": kind, "lane": lane}
        """The fields every message about this job begins with."""
        self.token = StopToken()
        self.lease = Lease(leases(shop.bus), job_id, shop.owner, shop.settings.lease_ttl, self.token)
        self.store = CheckpointStore(shop.bus, job_id, self.check_lease, self._hold)
        self.leased = False
        self._claimed = False
        self.known = Checkpoint()
        self.attempt: Attempt | None = None
        self.trace = tracing.continued(None)
        """`traceparent` of this attempt."""
        self._permits: Permits | None = None
        self._keeping = asyncio.Lock()

    @property
    def settings(self) -> EngineSettings:
        return self.shop.settings

    @property
    def permits(self) -> Permits:
        """The job's permits; made when first asked for."""
        if self._permits is None:
            limits, ttl = self.settings.limits, self.settings.lease_ttl
            self._permits = Permits(self.shop.bus, self.command, limits, ttl=ttl, since=self.known.since)
        return self._permits

    def check_lease(self) -> None:
        """Raise LeaseLost when the job is not ours any more."""
        if self.token.reason is LeaseLost:
            raise LeaseLost

    def stop(self, reason: type[JobError]) -> None:
        """Make the job stop: it was cancelled, its lease is lost, or the worker drains."""
        if reason is Cancelled and self.known.ending is not None:
            return  # too late: it has ended, what is left is removal and telling
        self.token.stop(reason)
        if self.attempt is not None:
            self.attempt.stop(reason)

    def prepare(self) -> Attempt:
        """The steps, ready to run or to be undone."""
        shop = self.shop
        context = JobContext(
            command=self.command,
            checkpoint=self.known,
            store=self.store,
            token=self.token,
            bus=shop.bus,
            vault=shop.vault,
            threads=shop.threads,
            carriers=shop.carriers,
            claim=self.permits.claim,
        )
        context.trace = self.trace
        self.attempt = Attempt(shop.workflow, context, self.known, shop.settings, shop.parts)
        return self.attempt

    def claim(self) -> None:
        """The job is to be ours, which whatever is written next makes so: the next fence, and when it began."""
        known = self.known
        known.fence = self.lease.fence = max(self.lease.fence, known.fence + 1)
        self.lease.attempt = known.attempt
        known.started_at = known.started_at or now()

    async def take_over(self) -> None:
        """From here on older workers can not write the checkpoint, and their events are not believed.

        A job without a lease is ours by this checkpoint, until the first heartbeat makes a lease.
        """
        if not self.lease.revision:
            self._claimed = True
            self.lease.begin()
        await self.store.write(self.known)

    async def secure(self) -> None:
        """Hold the job by a lease from here on, whatever is written about it. Raises LeaseLost."""
        async with self._keeping:
            if not self.lease.revision:
                await self.lease.renew()

    def give_away(self) -> None:
        """What is written next says that the job is nobody's, as far as the checkpoint holds it."""
        self._claimed = False

    def _hold(self) -> float:
        return self.lease.left if self._claimed and not self.lease.revision else 0.0

    async def renew(self) -> None:
        """Keep lease and permits. Raises LeaseLost."""
        async with self._keeping:
            if self.leased:
                await self.lease.renew()
                if self._permits is not None:
                    await self._permits.renew()

    async def let_go(self) -> None:
        """Release carriers, lease and permits, as far as they are still ours, so that nobody waits for them."""
        await self.end_carriers()
        async with self._keeping:  # what a heartbeat is just making would stay
            if self._permits is not None:
                await self._permits.release()
            if self.leased:
                self.leased = False
                await self.lease.release()

    async def end_carriers(self) -> None:
        """Nothing works for this job any more."""
        if self.attempt is not None:
            await self.attempt.context.release()

    async def publish(self, event: EventType, job: Job, *, msg_id: str) -> int:
        """Store an event once, and return its sequence. Raises LeaseLost, or nats errors when NATS stays away."""
        self.check_lease()
        told, trace = JobEvent(**self.about, type=event, job=job), {tracing.HEADER: self.trace}
        ack = await self.shop.bus.publish(told, msg_id=msg_id, headers=trace)
        return ack.seq

    # --- errors, as they may be told

    def remember(self, error: ErrorInfo) -> None:
        """Add a failure to the job's history."""
        running = next((step.name for step in self.known.steps if step.state is StepState.RUNNING), "")
        failure = {
            "attempt": self.known.attempt,
            "step": self.attempt.failed_in if self.attempt else running,
            "code": error.code,
            "message": error.message,
            "time": stamp(now()),
        }
        self.known.history = [*self.known.history, failure][-HISTORY:]

    def explain(self, error: JobError) -> ErrorInfo:
        """The error for a person, without any secret of the job."""
        details = json.loads(self.scrub(json.dumps(error.details, default=str)))
        return ErrorInfo(code=error.code, message=self.scrub(error.message), hint=error.hint, details=details)

    def unexpected(self, error: Exception) -> Temporary:
        """An error nobody foresaw: told with an id under which the log has the traceback, not with its own text."""
        incident = f"{int(time.time()):x}-{secrets.token_hex(3)}"
        trace = self.scrub("".join(traceback.format_exception(error)))
        log.error("unexpected error", job=self.job_id, incident=incident, exception=trace)
        return Unexpected(hint=f"The log says more under {incident}.", incident=incident)

    def scrub(self, text: str) -> str:
        """The text without the secrets the job has seen."""
        return self.attempt.context.scrub(text) if self.attempt else text
