"""Messages on the streams. Additive changes only; a breaking one gets a new type.

Payload: JSON of one of the models below. Headers: CloudEvents attributes (`ce-id`, `ce-source`, `ce-type`, `ce-time`,
`ce-subject`), W3C `traceparent` when there is a trace, `Nats-Msg-Id` where the publisher must be able to try again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, TypeAdapter

from shared.contract.jobs import (
    Clone,
    CloneAction,
    CloneResult,
    CloneState,
    Job,
    Phase,
    RestoreAction,
    RestoreResult,
    Snapshot,
    SnapshotState,
    Status,
)
from shared.contract.media import Media
from shared.contract.reading import understood
from shared.contract.subjects import TERMINAL, EventType, Kind, Lane
from shared.contract.times import Time


def now() -> datetime:
    """The time written into events: aware, UTC."""
    return datetime.now(UTC)


class Message(BaseModel):
    """Base of every message: which job it is about and where it stands in the subject grammar."""

    model_config = ConfigDict(extra="ignore")

    job_id: str
    kind: Kind = "clone"
    lane: Lane = Lane.NORMAL
    time: Time = Field(default_factory=now)


class CloneOptions(BaseModel):
    """What a person may choose about a clone."""

    model_config = ConfigDict(extra="forbid")

    exclude_tables: list[str] = Field(default_factory=list, max_length=500)
    exclude_paths: list[str] = Field(default_factory=list, max_length=500)
    keep_transients: bool = Field(False, strict=True)
    fresh: bool = Field(
        False, strict=True, description="Copy everything, even where an earlier clone's image of the source fits."
    )
    media: Media = Field(
        Media.COPY,
        description="`remote`: pictures and documents among the uploads stay on the source; each is fetched, and kept,"
        " when the clone is first asked for it. Not for a site behind a password of its web server.",
    )
    allow_http: list[str] = Field(default_factory=list, max_length=100, description="Hosts the clone may call.")
    constants: list[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]] = Field(
        default_factory=list,
        max_length=100,
        description="Constants of the source's wp-config.php the clone keeps beside those that do no harm.",
    )


class CloneRequested(Message):
    """The command. Holds a reference to the sealed credentials, never the credentials."""

    type: Literal[EventType.REQUESTED] = EventType.REQUESTED
    source_url: str
    """Of the site; of the clone itself where one is reset or kept."""
    secret_ref: str
    ttl_minutes: int
    action: CloneAction | None = None
    """What is done to the clone `clone_id`; null: a clone is made."""
    clone_id: str | None = None
    state: str | None = None
    """Of an action: the state that is kept or put back, `made` or `version-` and a version's name."""
    target_url: str = ""
    """Of a refresh: the address of the clone."""
    overwrite: bool = False
    """Of a refresh: what was edited in the clone may go."""
    name: str | None = None
    tenant: str = "local"
    key: str | None = None
    """The API key it was asked for with, where that has a share of the slots."""
    key_slots: int | None = None
    """Jobs of that key that may run at the same time."""
    batch_id: str | None = None
    batch_size: int | None = None
    """Jobs in the batch; their ids follow from its id (`shared.ids.batch_member`)."""
    schedule_id: str | None = None
    """The schedule that had it made."""
    options: CloneOptions = Field(default_factory=CloneOptions)

    def job(self) -> Job:
        """The job as it is before any worker has seen it."""
        return Job(
            job_id=self.job_id,
            type=self.kind,
            lane=self.lane,
            name=self.name,
            source_url=self.source_url,
            target_url=self.target_url,
            action=self.action,
            tenant=self.tenant,
            batch_id=self.batch_id,
            batch_size=self.batch_size,
            schedule_id=self.schedule_id,
            created_at=self.time,
            updated_at=self.time,
            message="Waiting for a worker",
        )

    @property
    def place(self) -> str:
        """The site whose load the limits guard."""
        return self.source_url

    @property
    def makes_room(self) -> bool:
        """Whether it needs a place for a new clone."""
        return self.action in {None, CloneAction.FORK, CloneAction.REFRESH}

    @property
    def reads(self) -> str:
        """The clone that must not be exchanged for another state meanwhile; "" for none."""
        if self.action is CloneAction.REFRESH:
            return self.target_url
        return self.source_url if self.action in {CloneAction.RESET, CloneAction.KEEP} else ""

    @property
    def changes_what_it_reads(self) -> bool:
        """Whether it is the one that exchanges it."""
        return self.action in {CloneAction.RESET, CloneAction.REFRESH}


class RestoreOptions(BaseModel):
    """What a person may choose about a restore. Tables are named with or without the target's prefix."""

    model_config = ConfigDict(extra="forbid")

    preserve_plugins: bool = Field(
        True, strict=True, description="Production's plugins stay as they are: files and which are active."
    )
    preserve_themes: bool = Field(
        False, strict=True, description="Production's themes stay as they are: files and which is active."
    )
    preserve_users: bool = Field(
        True,
        strict=True,
        description="Production's accounts, sessions and application passwords stay: nobody is logged out.",
    )
    preserve_tables: list[str] = Field(default_factory=list, max_length=500)
    include_tables: list[str] = Field(
        default_factory=list, max_length=500, description="Only these tables are restored; empty: all."
    )
    exclude_paths: list[str] = Field(
        default_factory=list, max_length=500, description="Folders and files below wp-content that stay as they are."
    )
    include_paths: list[str] = Field(
        default_factory=list, max_length=500, description="Only these below wp-content are restored; empty: all."
    )


class RestoreRequested(Message):
    """The command. Holds a reference to the sealed credentials of both sites, never the credentials.

    Secret: {target_username, target_password, source_username?, source_password?}, and of each site what is needed to
    get to its login: {login_url?, basic_username?, basic_password?} with the same prefix; the source's are absent for a
    clone, whose own administrator the gateway fills in, and for `rollback` and `discard`, which need the target only.
    """

    type: Literal[EventType.REQUESTED] = EventType.REQUESTED
    kind: Kind = "restore"
    action: RestoreAction = RestoreAction.RESTORE
    source_url: str = ""
    """What is restored: the clone's address, or any WordPress site's."""
    clone_id: str | None = None
    target_url: str
    secret_ref: str
    snapshot_id: str | None = None
    """What `rollback` goes back to and `discard` removes."""
    mode: Literal["overwrite"] = "overwrite"
    dry_run: bool = False
    accept_loss: bool = False
    snapshot_hours: int = 72
    """How long the way back is kept."""
    name: str | None = None
    tenant: str = "local"
    key: str | None = None
    """The API key it was asked for with, where that has a share of the slots."""
    key_slots: int | None = None
    """Jobs of that key that may run at the same time."""
    batch_id: str | None = None
    options: RestoreOptions = Field(default_factory=RestoreOptions)

    def job(self) -> Job:
        """The job as it is before any worker has seen it."""
        return Job(
            job_id=self.job_id,
            type=self.kind,
            lane=self.lane,
            name=self.name,
            source_url=self.source_url,
            target_url=self.target_url,
            action=self.action,
            tenant=self.tenant,
            batch_id=self.batch_id,
            created_at=self.time,
            updated_at=self.time,
            message="Waiting for a worker",
        )

    @property
    def place(self) -> str:
        """The site whose load the limits guard."""
        return self.target_url

    @property
    def makes_room(self) -> bool:
        """Whether it needs a place for a new clone."""
        return False

    @property
    def reads(self) -> str:
        """The clone that must not be exchanged for another state meanwhile; "" for none."""
        return self.source_url

    @property
    def changes_what_it_reads(self) -> bool:
        """Whether it is the one that exchanges it."""
        return False


Command = CloneRequested | RestoreRequested
"""What begins a job."""


class Retry(Message):
    """Run the job again: fired by a schedule after a temporary failure, or asked for by a person."""

    type: Literal[EventType.RETRY] = EventType.RETRY
    attempt: int
    ticket: int = 0
    """Tells schedules of one attempt apart: a job over a limit comes back several times. Set by the engine."""
    reason: str = ""
    manual: bool = False
    changes: dict[str, Any] = Field(default_factory=dict)
    """Fields of the command that a person wants otherwise this time, options whole; they hold for what follows too."""


def changed(command: Command, changes: dict[str, Any]) -> Command:
    """A command as a person changed it. Raises pydantic.ValidationError for what no command of its kind has."""
    return type(command).model_validate(command.model_dump() | changes) if changes else command


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
    expires_at: Time | None = None


class Expired(Message):
    """The clone is gone: database, user, files, host name."""

    type: Literal[EventType.EXPIRED] = EventType.EXPIRED
    reason: str = "expired"


class RolledBack(Message):
    """The target is as it was before the restore: by itself because the site got worse, or because a person asked."""

    type: Literal[EventType.ROLLED_BACK] = EventType.ROLLED_BACK
    kind: Kind = "restore"
    snapshot_id: str
    reason: str
    automatic: bool = True


class Discarded(Message):
    """The way back is gone: the snapshot was removed from the target, or found missing there."""

    type: Literal[EventType.EXPIRED] = EventType.EXPIRED
    kind: Kind = "restore"
    snapshot_id: str
    reason: str = "expired"


def _kind_of(value: Any) -> str:
    kind = value.get("kind", "clone") if isinstance(value, dict) else value.kind
    return str(kind)


COMMAND: TypeAdapter[Command] = TypeAdapter(
    Annotated[
        Annotated[CloneRequested, Tag("clone")] | Annotated[RestoreRequested, Tag("restore")], Discriminator(_kind_of)
    ]
)
END_OF_LIFE: TypeAdapter[Expired | Discarded] = TypeAdapter(
    Annotated[Annotated[Expired, Tag("clone")] | Annotated[Discarded, Tag("restore")], Discriminator(_kind_of)]
)

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
    EventType.ROLLED_BACK: RolledBack,
}
BY_KIND: dict[EventType, TypeAdapter[Any]] = {EventType.REQUESTED: COMMAND, EventType.EXPIRED: END_OF_LIFE}
"""Events whose payload depends on the kind of job."""


FRESH_ATTEMPT: dict[str, Any] = {
    "status": Status.PENDING,
    "phase": None,
    "reason": None,
    "message": "Waiting for a worker",
    "error": None,
    "finished_at": None,
}


def decode(event: EventType, payload: bytes) -> Message | None:
    """The message of a subject's event token; None for events this version does not know and for schedules.

    What a worker of a later version says is read as far as it is understood; a command is understood or it is not.
    Raises pydantic.ValidationError when the payload is not what the type promises.
    """
    if event in BY_KIND:
        message: Message = BY_KIND[event].validate_json(payload)
        return message
    model = MODELS.get(event)
    if model is JobEvent:
        return understood(JobEvent, payload)
    return None if model is None else model.model_validate_json(payload)


def fold(job: Job | None, message: Message, seq: int) -> Job | None:
    """The job after one more message of its story. Idempotent: a message at or below `job.seq` changes nothing."""
    if job is not None and seq <= job.seq:
        return job
    if isinstance(message, CloneRequested | RestoreRequested):
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
    if isinstance(message, JobEvent) and message.type is EventType.COMPLETED:
        result = message.job.result
        if isinstance(result, CloneResult):
            return _clone_of(message.job, result, message.time, seq)
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


def _clone_of(job: Job, result: CloneResult, time: datetime, seq: int) -> Clone:
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


def fold_snapshot(snapshot: Snapshot | None, message: Message, seq: int) -> Snapshot | None:
    """The way back of one restore after one more message of the restore's story; None while there is none.

    A rollback or discard is a job of its own; it tells its outcome on the story of the restore that made the snapshot.
    """
    if snapshot is not None and seq <= snapshot.seq:
        return snapshot
    if isinstance(message, JobEvent) and message.type is EventType.COMPLETED:
        result = message.job.result
        if isinstance(result, RestoreResult) and result.snapshot_id == message.job_id:
            return _snapshot_of(message.job, result, message.time, seq)
    if snapshot is None:
        return None
    if isinstance(message, RolledBack):
        return snapshot.model_copy(update={"seq": seq, "state": SnapshotState.ROLLED_BACK, "ended_at": message.time})
    if isinstance(message, Discarded):
        return snapshot.model_copy(update={"seq": seq, "state": SnapshotState.DISCARDED, "ended_at": message.time})
    return snapshot.model_copy(update={"seq": seq})


def _snapshot_of(job: Job, result: RestoreResult, time: datetime, seq: int) -> Snapshot:
    return Snapshot(
        snapshot_id=job.job_id,
        target_url=job.target_url,
        source_url=job.source_url,
        tenant=job.tenant,
        lane=job.lane,
        created_at=time,
        expires_at=result.snapshot_expires_at,
        tables=result.tables,
        files=result.files,
        bytes=result.snapshot_bytes,
        seq=seq,
    )
