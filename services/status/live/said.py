"""What the server says on live connections, as models: for the AsyncAPI document, and for tests of what is really sent.

The frames themselves are written by hand, because most of them are copied thousands of times a second.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from services.status.live import shape
from shared.contract.jobs import (
    Clone,
    CloneResult,
    CloneState,
    Job,
    RefreshResult,
    RestoreResult,
    SnapshotState,
    StateResult,
)
from shared.contract.subjects import Lane


class Said(BaseModel):
    """Base of what the server says; later versions may say more."""

    model_config = ConfigDict(extra="allow")


def _part(name: str, of: type[BaseModel], fields: set[str], doc: str, **more: Any) -> type[BaseModel]:
    kept = {field: (info.annotation, ...) for field, info in of.model_fields.items() if field in fields}
    return create_model(name, __base__=Said, __doc__=doc, **{**kept, **more})


class Links(Said):
    """Where the parts of a job are."""

    self: str
    events: str
    cancel: str


PushedClone = _part(
    "PushedClone",
    CloneResult,
    set(CloneResult.model_fields) - {"sealed_password"},
    "What a completed clone gave. The password is told by GET /jobs/{id} only.",
    state=(CloneState, ...),
    deleted_at=(datetime | None, ...),
)
PushedRestore = _part(
    "PushedRestore",
    RestoreResult,
    set(RestoreResult.model_fields),
    "What a completed restore gave.",
    snapshot_state=(SnapshotState | None, ...),
)
_EVERYWHERE: dict[str, Any] = {"progress": (float, Field(ge=0, le=100)), "priority": (Lane, ...)}
JobSummary = _part(
    "JobSummary", Job, set(shape._SUMMARY), "A job in a list.", **_EVERYWHERE, clone_state=(CloneState | None, ...)
)
JobDetail = _part(
    "JobDetail",
    Job,
    set(shape._DETAIL),
    "A job with everything its page shows.",
    **_EVERYWHERE,
    result=(PushedClone | PushedRestore | StateResult | RefreshResult | None, ...),
    links=(Links, ...),
)
CloneSummary = _part("CloneSummary", Clone, set(shape._CLONE), "A clone in a list.", job_id=(str, ...))


class Ready(Said):
    """The answer to hello."""

    type: Literal["ready"]
    v: Literal[1]
    conn: str = Field(description="Name of this connection in the server's log.")
    heartbeat: int = Field(description="Seconds between the client's pings.")
    max_subs: int


class Snap(Said):
    """A job as of `seq`."""

    type: Literal["snap"]
    id: str = Field(description="The subscription.")
    seq: int
    n: int
    epoch: str
    job: JobDetail  # type: ignore[valid-type]


class JobsSnap(Said):
    """The newest jobs."""

    type: Literal["snap"]
    id: str
    partial: bool = Field(False, description="Older jobs of this tenant may be missing: GET /jobs has them.")
    jobs: list[JobSummary]  # type: ignore[valid-type]


class ClonesSnap(Said):
    """The newest clones."""

    type: Literal["snap"]
    id: str
    partial: bool = False
    clones: list[CloneSummary]  # type: ignore[valid-type]


class JobChange(Said):
    """What happened to a job, and the job after it: whole when it is watched, in short in a list."""

    type: str = Field(description="The event, such as progress or completed.")
    time: datetime
    job: JobDetail | JobSummary  # type: ignore[valid-type]


class CloneChange(Said):
    """What happened to a clone in a list."""

    type: str
    time: datetime
    clone: CloneSummary  # type: ignore[valid-type]


class Ev(Said):
    """A change."""

    type: Literal["ev"]
    id: str
    seq: int
    n: int
    merged: int = Field(0, description="Earlier changes that this one stands for.")
    event: JobChange | CloneChange


class End(Said):
    """The job has reached a terminal state; the subscription stays."""

    type: Literal["end"]
    id: str
    seq: int
    state: Literal["completed", "failed", "cancelled"]


class Err(Said):
    """A subscription that can not be had."""

    type: Literal["err"]
    id: str
    code: Literal["not_found", "unavailable", "too_many"]
    message: str


class Pong(Said):
    """The answer to a ping."""

    type: Literal["pong"]
    k: int | str | None = None


class Upstream(Said):
    """Whether what is shown is known to be current."""

    type: Literal["upstream"]
    ok: bool


class Bye(Said):
    """The server is about to close the connection: come back after that time."""

    type: Literal["bye"]
    reconnect_ms: int


FRAMES: tuple[type[Said], ...] = (Ready, Snap, JobsSnap, ClonesSnap, Ev, End, Err, Pong, Upstream, Bye)
