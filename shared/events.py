"""Messages on the streams. Additive changes only; a breaking one gets a new type.

Payload: JSON of one of the models below. Headers: CloudEvents attributes (`ce-id`, `ce-source`, `ce-type`, `ce-time`,
`ce-subject`), W3C `traceparent` when there is a trace, `Nats-Msg-Id` where the publisher must be able to try again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.jobs import Clone, CloneState, Job, Phase, Status
from shared.subjects import TERMINAL, EventType, Kind, Lane


def now() -> datetime:
    """The time written into events: aware, UTC."""
    return datetime.now(UTC)


class Message(BaseModel):
    """Base of every message: which job it is about and where it stands in the subject grammar."""

    model_config = ConfigDict(extra="ignore")

    job_id: str
    kind: Kind = "clone"
    lane: Lane = Lane.NORMAL
    time: datetime = Field(default_factory=now)


class CloneOptions(BaseModel):
    """What a person may choose about a clone."""

    model_config = ConfigDict(extra="forbid")

    exclude_tables: list[str] = Field(default_factory=list, max_length=500)
    exclude_paths: list[str] = Field(default_factory=list, max_length=500)
    keep_transients: bool = False
    allow_http: list[str] = Field(default_factory=list, max_length=100, description="Hosts the clone may call.")


class CloneRequested(Message):
    """The command. Holds a reference to the sealed credentials, never the credentials."""

    type: Literal[EventType.REQUESTED] = EventType.REQUESTED
    source_url: str
    secret_ref: str
    ttl_minutes: int
    name: str | None = None
    tenant: str = "local"
    batch_id: str | None = None
    options: CloneOptions = Field(default_factory=CloneOptions)

    def job(self) -> Job:
        """The job as it is before any worker has seen it."""
        return Job(
            job_id=self.job_id,
            type=self.kind,
            lane=self.lane,
            name=self.name,
            source_url=self.source_url,
            tenant=self.tenant,
            batch_id=self.batch_id,
            created_at=self.time,
            updated_at=self.time,
            message="Waiting for a worker",
        )


class Retry(Message):
    """Run the job again: fired by a schedule after a temporary failure, or asked for by a person."""

    type: Literal[EventType.RETRY] = EventType.RETRY
    attempt: int
    ticket: int = 0
    """Tells schedules of one attempt apart: a job over a limit comes back several times. Set by the engine."""
    reason: str = ""
    manual: bool = False


class JobEvent(Message):
    """What a worker says about its job: the job's absolute state after the event."""

    type: Literal[
        EventType.STARTED,
        EventType.PROGRESS,
        EventType.WAITING,
        EventType.RETRYING,
        EventType.COMPLETED,
        EventType.FAILED,
        EventType.CANCELLED,
    ]
    job: Job


class Cancel(Message):
    """A person's wish that the job ends."""

    type: Literal[EventType.CANCEL] = EventType.CANCEL
    by: str = "user"


class Expire(Message):
    """The clone's time is up, or somebody deleted it (`reason`: "expired" or "deleted")."""

    type: Literal[EventType.EXPIRE] = EventType.EXPIRE
    reason: str = "expired"


class Extended(Message):
    """The clone lives until `expires_at` (null: until deleted)."""

    type: Literal[EventType.EXTENDED] = EventType.EXTENDED
    expires_at: datetime | None = None


class Expired(Message):
    """The clone is gone: database, user, files, host name."""

    type: Literal[EventType.EXPIRED] = EventType.EXPIRED
    reason: str = "expired"


MODELS: dict[EventType, type[Message]] = {
    EventType.REQUESTED: CloneRequested,
    EventType.RETRY: Retry,
    EventType.STARTED: JobEvent,
    EventType.PROGRESS: JobEvent,
    EventType.WAITING: JobEvent,
    EventType.RETRYING: JobEvent,
    EventType.COMPLETED: JobEvent,
    EventType.FAILED: JobEvent,
    EventType.CANCELLED: JobEvent,
    EventType.CANCEL: Cancel,
    EventType.EXPIRE: Expire,
    EventType.EXTENDED: Extended,
    EventType.EXPIRED: Expired,
}


FRESH_ATTEMPT: dict[str, Any] = {
    "status": Status.PENDING,
    "phase": None,
    "message": "Waiting for a worker",
    "error": None,
    "finished_at": None,
}


def decode(event: EventType, payload: bytes) -> Message | None:
    """The message of a subject's event token; None for events this version does not know and for schedules.

    Raises pydantic.ValidationError when the payload is not what the type promises.
    """
    model = MODELS.get(event)
    return None if model is None else model.model_validate_json(payload)


def fold(job: Job | None, message: Message, seq: int) -> Job | None:
    """The job after one more message of its story. Idempotent: a message at or below `job.seq` changes nothing."""
    if job is not None and seq <= job.seq:
        return job
    if isinstance(message, CloneRequested):
        return message.job().model_copy(update={"seq": seq, "n": 1}) if job is None else _seen(job, seq)
    if isinstance(message, JobEvent):
        return _fold_worker(job, message, seq)
    if job is None:
        return None
    if isinstance(message, Cancel) and not job.status.terminal:
        return _changed(job, message, seq, phase=Phase.CANCELLING, message="Cancelling")
    if isinstance(message, Retry) and (message.manual or job.phase is Phase.RETRYING):
        return _changed(job, message, seq, **FRESH_ATTEMPT)
    return _seen(job, seq)


def _fold_worker(job: Job | None, event: JobEvent, seq: int) -> Job:
    if job is None:
        return event.job.model_copy(update={"seq": seq})
    stale = event.job.fence < job.fence
    late = job.status.terminal and event.job.attempt <= job.attempt
    if stale or late:
        return _seen(job, seq)
    same_attempt = event.job.attempt == job.attempt
    cancelling = job.phase is Phase.CANCELLING and event.type not in TERMINAL
    return event.job.model_copy(
        update={
            "seq": seq,
            "n": job.n + 1,
            "created_at": job.created_at,
            "progress": max(job.progress, event.job.progress) if same_attempt else event.job.progress,
            "phase": Phase.CANCELLING if cancelling else event.job.phase,
        }
    )


def _changed(job: Job, cause: Message, seq: int, **update: Any) -> Job:
    return job.model_copy(update={"seq": seq, "n": job.n + 1, "updated_at": cause.time, **update})


def _seen(job: Job, seq: int) -> Job:
    return job.model_copy(update={"seq": seq})


def fold_clone(clone: Clone | None, message: Message, seq: int) -> Clone | None:
    """The clone after one more message of its job's story; None while there is no clone."""
    if clone is not None and seq <= clone.seq:
        return clone
    if isinstance(message, JobEvent) and message.type is EventType.COMPLETED and message.job.result is not None:
        return _clone_of(message.job, message.time, seq)
    if clone is None:
        return None
    if isinstance(message, Extended) and clone.state is CloneState.ACTIVE:
        return clone.model_copy(update={"seq": seq, "expires_at": message.expires_at})
    if isinstance(message, Expire) and clone.state is CloneState.ACTIVE:
        return clone.model_copy(update={"seq": seq, "state": CloneState.DELETING, "reason": message.reason})
    if isinstance(message, Expired):
        gone = {
            "state": CloneState.DELETED,
            "reason": message.reason,
            "deleted_at": message.time,
            "sealed_password": "",
        }
        return clone.model_copy(update={"seq": seq, **gone})
    return clone.model_copy(update={"seq": seq})


def _clone_of(job: Job, time: datetime, seq: int) -> Clone:
    assert job.result is not None
    result = job.result
    return Clone(
        clone_id=result.clone_id,
        name=job.name,
        source_url=job.source_url,
        clone_url=result.clone_url,
        admin_url=result.admin_url,
        username=result.username,
        sealed_password=result.sealed_password,
        tenant=job.tenant,
        lane=job.lane,
        created_at=time,
        expires_at=result.expires_at,
        seq=seq,
    )
