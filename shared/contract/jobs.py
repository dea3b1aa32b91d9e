"""What a job is, and how events become its current state. Pure: no await, no clock, no NATS.

Every event a worker publishes carries the job's absolute state, so the projection is "the latest sequence wins", with
three exceptions kept in `fold`: terminal states are final until a new attempt, a worker that lost its lease is not
believed, and progress never goes backwards.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contract.edits import Edits
from shared.contract.subjects import Kind, Lane
from shared.contract.times import Time


class Status(StrEnum):
    """The states of the API. `Phase` says more where a person wants to know more."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens unless somebody asks."""
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


class Phase(StrEnum):
    """Why a job that is pending or running does not simply run."""

    WAITING = "waiting"  # over a limit, or a part of ours is away; goes on by itself
    RETRYING = "retrying"  # a retry is scheduled
    CANCELLING = "cancelling"  # a cancel was asked for and is being carried out


class Record(BaseModel):
    """Base of everything stored: unknown fields are ignored, so older readers survive newer writers."""

    model_config = ConfigDict(extra="ignore")


class ErrorInfo(Record):
    """Why a job failed, for a person: what happened and what to do next."""

    code: str
    message: str
    hint: str = ""
    details: dict[str, Any] = Field(default_factory=dict)


class StepState(StrEnum):
    """Life of one step within an attempt."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(Record):
    """One named step of a job with its own progress."""

    name: str
    title: str
    state: StepState = StepState.PENDING
    done: int = 0
    total: int | None = None
    unit: Literal["bytes", "rows", "files", "pages"] | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    message: str = ""


class Note(Record):
    """Something a person should know about a finished job: skipped, quarantined, left alone, repaired."""

    code: str
    message: str
    count: int | None = None
    samples: list[str] = Field(default_factory=list)


class Reused(Record):
    """What of a clone came from an image, which an earlier clone of the same source left, and what travelled."""

    image_id: str
    made_at: Time
    """When the image was made."""
    files: int = 0
    bytes: int = 0
    """Of those files."""
    rows: int = 0
    travelled_files: int = 0
    travelled_bytes: int = 0
    travelled_rows: int = 0


class Stayed(Record):
    """What of a source was not copied, because it is fetched when it is asked for."""

    files: int = 0
    bytes: int = 0


class CloneResult(Record):
    """What a completed clone gives. `sealed_password` is opened at the edge, for the owner only."""

    clone_id: str
    clone_url: str
    admin_url: str
    username: str
    sealed_password: str
    expires_at: Time | None = None
    files: int = 0
    bytes: int = 0
    tables: int = 0
    rows: int = 0
    rewritten: dict[str, int] = Field(default_factory=dict)
    """Occurrences of the source's address that were rewritten, by kind of spelling."""
    rewritten_columns: dict[str, int] = Field(default_factory=dict)
    """Values that were rewritten, by `table.column`."""
    leftovers: int = 0
    first_ids: dict[str, int] = Field(default_factory=dict)
    """Where the ids of new rows begin, by table, where that is further on than on the source."""
    reused: Reused | None = None
    """What came from an earlier clone's image; None: everything travelled."""
    media: Literal["copy", "remote"] = "copy"
    """`remote`: pictures and documents stayed on the source, and are fetched when they are first asked for."""
    media_stayed: Stayed | None = None
    """How much stayed there; None: everything was copied, or nobody counted."""
    notes: list[Note] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)


class RestoreAction(StrEnum):
    """What a job of kind `restore` does to its target."""

    RESTORE = "restore"
    ROLLBACK = "rollback"
    DISCARD = "discard"


class CloneAction(StrEnum):
    """What a job of kind `clone` does with a clone that is there, instead of making one of a site."""

    RESET = "reset"
    """It becomes what it was: when it was made, or at one of its versions."""
    KEEP = "keep"
    """What it is becomes a version."""
    FORK = "fork"
    """A new clone is made of what it is."""
    REFRESH = "refresh"
    """It becomes what its source is now."""


class TablePlan(Record):
    """What a restore does to one table of the target, in rows."""

    table: str
    """As the target names it."""
    action: Literal["keep", "change", "create", "replace"]
    """`replace`: rows can not be told apart (no key), so all are exchanged."""
    reason: str = ""
    """Why a table is kept, or replaced."""
    add: int = 0
    change: int = 0
    remove: int = 0
    same: int = 0
    production_only: int = 0
    """Rows that exist in production only and go."""
    production_newer: int = 0
    """Rows that production changed since the clone was made and that become the clone's."""


class FolderPlan(Record):
    """What a restore does below one folder of wp-content."""

    folder: str
    """Like `uploads/2024`, `themes/harbour`, `plugins/forms`."""
    action: Literal["keep", "change"]
    reason: str = ""
    add: int = 0
    change: int = 0
    remove: int = 0
    same: int = 0
    bytes: int = 0
    """Bytes that travel."""
    production_only: int = 0
    """Files that came to production since; they stay."""


class Loss(Record):
    """Something production has that the restore takes away."""

    what: Literal["order", "comment", "post", "entry", "user", "row"]
    table: str
    key: str
    """The row's key, for a person: `12` or `12, 7`."""
    title: str = ""
    why: Literal["production_only", "production_newer"]
    modified_at: Time | None = None


class RestorePlan(Record):
    """What a restore would do or did: the answer of a dry run."""

    tables: list[TablePlan] = Field(default_factory=list)
    folders: list[FolderPlan] = Field(default_factory=list)
    losses: dict[str, int] = Field(default_factory=dict)
    """How many of what production would lose, by `Loss.what`; empty: nothing."""
    loss_samples: list[Loss] = Field(default_factory=list)
    drift: list[str] = Field(default_factory=list)
    """Differences of versions and schema between the two sides, one sentence each."""
    base: bool = False
    """Whether it is known what the site was when the clone was made: then changes of either side are told apart."""


class RestoreResult(Record):
    """What a completed restore, rollback or dry run gives."""

    target_url: str
    action: RestoreAction = RestoreAction.RESTORE
    dry_run: bool = False
    plan: RestorePlan | None = None
    snapshot_id: str | None = None
    snapshot_expires_at: Time | None = None
    snapshot_bytes: int = 0
    tables: int = 0
    """Tables exchanged."""
    rows: int = 0
    """Rows written."""
    files: int = 0
    """Files written or removed."""
    bytes: int = 0
    """Bytes of files that travelled."""
    rewritten: dict[str, int] = Field(default_factory=dict)
    leftovers: int = 0
    late_rows: int = 0
    """Rows that came to production while it was restored, carried over."""
    write_unavailable_ms: float = 0.0
    """How long tables could not be written: the exchange itself."""
    notes: list[Note] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)


class StateResult(Record):
    """What a completed job gives that kept what a clone is, or put it back."""

    clone_id: str
    clone_url: str
    state: str
    """`made`, or `version-` and the version's name."""
    state_made_at: Time
    files: int = 0
    bytes: int = 0
    """Of files and tables."""
    tables: int = 0
    notes: list[Note] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)


class RefreshResult(Record):
    """What a completed refresh of a clone gives."""

    clone_id: str
    clone_url: str
    refreshed_at: Time
    """What the clone is now its source was then."""
    overwritten: Edits
    """What had been edited in the clone, and is gone."""
    files: int = 0
    bytes: int = 0
    """Of files."""
    tables: int = 0
    rows: int = 0
    reused: Reused | None = None
    notes: list[Note] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict)


Result = CloneResult | RestoreResult | StateResult | RefreshResult
"""Told apart by their required fields."""


class Job(Record):
    """The current state of one job: the value in the bucket; with the password opened, the answer at the edge."""

    job_id: str
    type: Kind
    lane: Lane = Lane.NORMAL
    status: Status = Status.PENDING
    phase: Phase | None = None
    progress: float = 0.0
    step: str | None = None
    message: str = ""
    reason: str | None = None
    """What a waiting job waits for: `limit:all`, `limit:tenant`, `limit:key`, `limit:source`, `quota`,
    `part_away:<part>`."""
    steps: list[Step] = Field(default_factory=list)
    attempt: int = 0
    fence: int = 0
    """Grows with every take-over; events with a smaller one come from a worker that lost its lease."""
    name: str | None = None
    source_url: str = ""
    target_url: str = ""
    """Where a restore goes; of a refresh, the clone; else empty."""
    action: RestoreAction | CloneAction | None = None
    tenant: str = "local"
    batch_id: str | None = None
    batch_size: int | None = None
    schedule_id: str | None = None
    created_at: Time
    started_at: Time | None = None
    updated_at: Time
    finished_at: Time | None = None
    result: Result | None = None
    error: ErrorInfo | None = None
    n: int = 0
    """Counts this job's events, so that a reader sees a gap."""
    seq: int = 0
    """Stream sequence of the last event folded in."""


class CloneState(StrEnum):
    """Life of a clone after its job completed."""

    ACTIVE = "active"
    DELETING = "deleting"
    DELETED = "deleted"


class Clone(Record):
    """A clone as its user sees it: the value in the `clones` bucket."""

    clone_id: str
    name: str | None = None
    source_url: str
    clone_url: str
    admin_url: str
    username: str
    sealed_password: str
    tenant: str = "local"
    lane: Lane = Lane.NORMAL
    state: CloneState = CloneState.ACTIVE
    created_at: Time
    expires_at: Time | None = None
    deleted_at: Time | None = None
    reason: str | None = None
    seq: int = 0


class SnapshotState(StrEnum):
    """Life of the way back after a restore completed."""

    ACTIVE = "active"
    ROLLED_BACK = "rolled_back"
    DISCARDED = "discarded"


class Snapshot(Record):
    """The target as it was before one restore, kept on the target: the value in the `snapshots` bucket."""

    snapshot_id: str
    """The id of the restore that made it."""
    target_url: str
    source_url: str = ""
    tenant: str = "local"
    lane: Lane = Lane.NORMAL
    state: SnapshotState = SnapshotState.ACTIVE
    created_at: Time
    expires_at: Time | None = None
    ended_at: Time | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    seq: int = 0
