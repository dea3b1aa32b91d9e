"""What a batch is: the state of the whole as it follows from its jobs, and how a request's defaults apply. Pure.

Nothing about a batch is stored. Its members follow from its id, everything else from them, so there is no counter that
could be wrong after a crash, and what is lost with the projection comes back with it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.contract.jobs import Job, Phase, Status
from shared.ids import batch_member

LOGIN = frozenset({"username", "password"})
BATCH_MOST = 8 * 1024 * 1024
"""Bytes a batch's commands may have together, once its defaults are written into each."""
PER_TOKEN = 10
"""Clones of a batch that cost as much as one call of its own."""


class BatchStatus(StrEnum):
    """The state of the whole; the words are those of jobs, with one more."""

    PENDING = "pending"  # no job has begun
    RUNNING = "running"  # begun, and not every job has ended
    COMPLETED = "completed"  # every job
    PARTIALLY_COMPLETED = "partially_completed"  # some jobs; the others failed or were cancelled
    FAILED = "failed"  # none completed, at least one failed
    CANCELLED = "cancelled"  # every job

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens unless somebody asks."""
        return self not in {BatchStatus.PENDING, BatchStatus.RUNNING}


@dataclass(frozen=True)
class Batch:
    """The whole, made of its jobs."""

    batch_id: str
    tenant: str
    total: int
    status: BatchStatus
    phase: Phase | None
    progress: float
    counts: dict[Status, int]
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    jobs: tuple[Job, ...]


def members(batch_id: str, size: int) -> list[str]:
    """The ids of a batch's jobs, in the order of the request."""
    return [batch_member(batch_id, number) for number in range(size)]


def make_batch(batch_id: str, size: int, jobs: Sequence[Job]) -> Batch:
    """The batch as its jobs are. Jobs nobody has folded yet may be missing: they were accepted a moment ago."""
    counts = Counter(job.status for job in jobs)
    counts[Status.PENDING] += size - len(jobs)
    status = status_of(counts)
    ended = [job.finished_at or job.updated_at for job in jobs]
    return Batch(
        batch_id=batch_id,
        tenant=jobs[0].tenant,
        total=size,
        status=status,
        phase=_phase(jobs, size),
        progress=progress_of(jobs, size),
        counts={status: counts[status] for status in Status},
        created_at=jobs[0].created_at,
        started_at=min((job.started_at for job in jobs if job.started_at), default=None),
        updated_at=max(job.updated_at for job in jobs),
        finished_at=max(ended) if status.terminal else None,
        jobs=tuple(jobs),
    )


def status_of(counts: Mapping[Status, int]) -> BatchStatus:
    """The state of the whole from the number of jobs in each state."""
    total = sum(counts.values())
    if counts.get(Status.PENDING, 0) == total:
        return BatchStatus.PENDING
    if any(number and not status.terminal for status, number in counts.items()):
        return BatchStatus.RUNNING
    completed, failed = counts.get(Status.COMPLETED, 0), counts.get(Status.FAILED, 0)
    if completed:
        return BatchStatus.COMPLETED if completed == total else BatchStatus.PARTIALLY_COMPLETED
    return BatchStatus.FAILED if failed else BatchStatus.CANCELLED


def progress_of(jobs: Iterable[Job], size: int) -> float:
    """0 to 100 with one decimal: the mean of the jobs' progress, where an ended job counts whole, however it ended.

    Rounded down, so 100 means that every job has ended.
    """
    done = sum(100.0 if job.status.terminal else min(max(job.progress, 0.0), 100.0) for job in jobs)
    return math.floor(done / size * 10 + 1e-6) / 10


def _phase(jobs: Sequence[Job], size: int) -> Phase | None:
    left = [job for job in jobs if not job.status.terminal]
    all_told = len(jobs) == size and left and all(job.phase is Phase.CANCELLING for job in left)
    return Phase.CANCELLING if all_told else None


def with_defaults(clone: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A clone of a request on top of the batch's defaults: field by field, within `options` too.

    A clone with a way in of its own does not get the other one from the defaults.
    """
    unwanted: frozenset[str] = frozenset()
    if clone.get("pairing_key") is not None:
        unwanted = LOGIN
    elif any(clone.get(name) is not None for name in LOGIN):
        unwanted = frozenset({"pairing_key"})
    merged = {name: value for name, value in defaults.items() if name not in unwanted} | dict(clone)
    common, own = defaults.get("options"), clone.get("options")
    if isinstance(common, Mapping) and isinstance(own, Mapping):
        merged["options"] = {**common, **own}
    return merged


def multiplied(clones: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> int:
    """Bytes of a batch with its defaults written into each clone, at most; cheap to tell before that is done."""
    common = len(json.dumps(defaults, default=str, ensure_ascii=False).encode())
    return common * len(clones) + len(json.dumps(clones, default=str, ensure_ascii=False).encode())


def cost_of(clones: int) -> int:
    """What a batch takes from the tenant's rate limit, in calls."""
    return max(1, math.ceil(clones / PER_TOKEN))
