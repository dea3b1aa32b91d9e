"""The one place that spells subjects.

Grammar, the same for commands and events: `<kind>.<event>.<lane>.<job_id>`, so `clone.*.*.<job>` is a job's whole
story and `*.*.high.*` all VIP work. `schedule-…` subjects hold ADR-51 schedules: the server keeps one per subject and
publishes to the target when it is due.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

Kind = Literal["clone", "restore"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Lane(StrEnum):
    """Priority lanes, served in this order."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


LANES = tuple(Lane)


class EventType(StrEnum):
    """The second token of every subject."""

    REQUESTED = "requested"
    RETRY = "retry"  # a new attempt: fired by a schedule, or asked for by a person
    STARTED = "started"
    PROGRESS = "progress"
    WAITING = "waiting"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCEL = "cancel"
    CANCELLED = "cancelled"
    EXPIRE = "expire"
    EXTENDED = "extended"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"
    SCHEDULE_RETRY = "schedule-retry"
    SCHEDULE_EXPIRE = "schedule-expire"


TERMINAL = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})
NOTIFIED = TERMINAL | {EventType.EXPIRED, EventType.ROLLED_BACK}
"""What webhooks tell of."""
SCHEDULES = frozenset({EventType.SCHEDULE_RETRY, EventType.SCHEDULE_EXPIRE})


def subject(kind: Kind, event: EventType, lane: Lane, job_id: str) -> str:
    """The subject of one message about one job."""
    return f"{kind}.{event}.{lane}.{job_id}"


def parse(text: str) -> tuple[Kind, EventType, Lane, str]:
    """The parts of a subject. Raises ValueError when it is not one of ours."""
    kind, event, lane, job_id = text.split(".")
    if kind not in KINDS:
        raise ValueError(f"not a subject of ours: {text}")
    return kind, EventType(event), Lane(lane), job_id


def kind_of(job_id: str) -> Kind:
    """The kind of job an id names. Raises ValueError for anything else."""
    kind = job_id.partition("-")[0]
    if kind not in KINDS:
        raise ValueError(f"not a job id: {job_id}")
    return kind


def story(job_id: str) -> str:
    """Every message about one job."""
    return f"{kind_of(job_id)}.*.*.{job_id}"


def command_of(job_id: str) -> str:
    """The command of one job, whatever its lane."""
    return f"{kind_of(job_id)}.{EventType.REQUESTED}.*.{job_id}"


def every(kind: Kind, event: EventType | None = None, lane: Lane | None = None) -> str:
    """All messages of a kind, narrowed by event and lane."""
    return f"{kind}.{event or '*'}.{lane or '*'}.*"


def stream_subjects(kind: Kind) -> list[str]:
    """What the stream of this kind stores."""
    return [f"{kind}.>"]


WEBHOOK_SUBJECTS = "webhook.>"


def webhook_due(endpoint: str, delivery: str) -> str:
    """A message to be sent to one endpoint now; `*` for either matches all."""
    return f"webhook.due.{endpoint}.{delivery}"


def webhook_later(endpoint: str, delivery: str) -> str:
    """The schedule of the next attempt."""
    return f"webhook.later.{endpoint}.{delivery}"


def webhook_log(endpoint: str) -> str:
    """What became of the attempts for one endpoint."""
    return f"webhook.log.{endpoint}"


TIMETABLE_SUBJECTS = "schedule.>"


def schedule_of(tenant: str, schedule: str) -> str:
    """The server's own schedule of one of a tenant's schedules, `tenant` as its token; `*` for either matches all."""
    return f"schedule.of.{tenant}.{schedule}"


def schedule_due(tenant: str, schedule: str) -> str:
    """What the server stores when it is due."""
    return f"schedule.due.{tenant}.{schedule}"


def schedule_all(tenant: str, schedule: str) -> str:
    """Both."""
    return f"schedule.*.{tenant}.{schedule}"


AUDIT_SUBJECTS = "audit.>"


def audit(tenant: str, action: str, record: str) -> str:
    """What is said of one call: `tenant` as its token, `action` as `<area>.<verb>`."""
    return f"audit.{tenant}.{action}.{record}"


def rpc(service: str, operation: str) -> str:
    """Request/reply between services, for answers that are not events: a clone's captured mail, a preflight preview."""
    return f"rpc.{service}.{operation}"
