"""A schedule as its bucket holds it. The gateways alone read and write it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from services.gateway.schedules.plan import Plan
from shared.contract.api_keys import tenant_token
from shared.contract.events import CloneOptions
from shared.contract.subjects import Lane
from shared.contract.times import Time


class ScheduleState(StrEnum):
    """Whether it makes jobs."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"


class Skipped(StrEnum):
    """Why a time passed without a job."""

    OVERLAP = "overlap"
    """The job of the time before was still going, or another one about the clone it refreshes."""
    KEY_ENDED = "key_ended"
    """The API key it belongs to was revoked, has expired, or may not submit any more."""
    CLONE_GONE = "clone_gone"
    """The clone it refreshes is not there any more."""


STOPPING = frozenset({Skipped.KEY_ENDED, Skipped.CLONE_GONE})
"""What will be so the next time, too."""


class Wish(BaseModel):
    """The clone that is made or refreshed each time, without the way in to its source."""

    source_url: str
    ttl_minutes: int
    name: str | None = None
    priority: Lane | None = None
    options: CloneOptions = Field(default_factory=CloneOptions)
    clone_id: str | None = None
    """The clone to be refreshed; None: a new one is made."""
    overwrite: bool = False


class Run(BaseModel):
    """The last time a job was made. It is claimed before the job is stored, so that nobody makes a second one."""

    due_at: Time
    job_id: str
    stored: bool = False


class Skip(BaseModel):
    """The last time none was made."""

    due_at: Time
    code: Skipped
    job_id: str | None = None
    """Of an overlap: the job that was still going."""


class Schedule(BaseModel):
    """One schedule."""

    id: str
    tenant: str
    holder: str
    """The API key it belongs to: its id, or the SHA-256 of one of the key file; empty where no key is needed."""
    cron: str
    """As it was written."""
    pattern: str
    """As the server takes it: `Plan.pattern`."""
    timezone: str
    wish: Wish
    sealed: str
    """What the vault would hold for a clone asked for now, sealed for the schedule's id. The bucket of the vault
    forgets after days; a schedule lives longer."""
    paused: bool = False
    stopped: Skipped | None = None
    since: Time
    """Times after this one count: when it was made, replaced or resumed."""
    created_at: Time
    updated_at: Time
    run: Run | None = None
    skip: Skip | None = None
    skips: int = 0

    @property
    def state(self) -> ScheduleState:
        if self.stopped:
            return ScheduleState.STOPPED
        return ScheduleState.PAUSED if self.paused else ScheduleState.ACTIVE

    @property
    def plan(self) -> Plan:
        return Plan(self.pattern, self.timezone)

    @property
    def entry(self) -> tuple[str, str]:
        """Where it is in its bucket, and in the stream of the server's schedules."""
        return tenant_token(self.tenant), self.id

    @property
    def served(self) -> datetime:
        """Up to when everything that was due has been looked at."""
        return max([self.since, *(each.due_at for each in (self.run, self.skip) if each is not None)])

    @property
    def unfinished(self) -> bool:
        """Whether somebody claimed its last job and was not seen to store it."""
        return self.run is not None and not self.run.stored

    def skipped(self, due_at: datetime, code: Skipped, job_id: str | None = None) -> Schedule:
        """The schedule after a time without a job."""
        skip = Skip(due_at=due_at, code=code, job_id=job_id)
        return self.model_copy(update={"skip": skip, "skips": self.skips + 1})
