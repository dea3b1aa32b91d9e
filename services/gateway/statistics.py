"""Figures about jobs of the last hour or day, counted from the list of jobs. Pure: no clock, no NATS."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, Field

from shared.contract.jobs import Job, Status
from shared.contract.subjects import KINDS, LANES, Kind, Lane
from shared.contract.times import Time

Window = Literal["hour", "day"]
PIECES: dict[Window, tuple[int, timedelta]] = {"hour": (12, timedelta(minutes=5)), "day": (24, timedelta(hours=1))}
"""How a window is cut: this many pieces, of this length."""
LONGEST = max(number * length for number, length in PIECES.values())


class Spread(BaseModel):
    """How long something took, in seconds; null where there was nothing."""

    count: int = Field(description="Of so many jobs.")
    p50: float | None = Field(description="Half of them took at most this long.")
    p95: float | None
    longest: float | None


class Piece(BaseModel):
    """Jobs that ended in one piece of the window."""

    start: Time
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class LaneFigures(BaseModel):
    """One priority lane."""

    lane: Lane
    queued: int = Field(description="Jobs that wait now: to be begun, for a limit, or for their next attempt.")
    oldest_queued_seconds: float | None = Field(
        description="How long ago the oldest of them was accepted; null: none waits."
    )
    running: int = Field(description="Jobs that have begun and not ended, now.")
    wait: Spread = Field(description="From being accepted to being begun, of jobs begun in the window.")


class KindFigures(BaseModel):
    """Clones or restores."""

    type: Kind
    duration: Spread = Field(description="From being begun to the end, of jobs completed in the window.")


class CodeCount(BaseModel):
    """Failures with one error code."""

    code: str
    count: int


class Statistics(BaseModel):
    """What the caller's jobs did in a window, and what waits now."""

    window: Window
    since: Time
    until: Time
    submitted: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None = Field(
        description="Completed among completed and failed ones, 0 to 1; null: none ended."
    )
    pieces: list[Piece] = Field(description="The window in 12 pieces of 5 minutes, or 24 of an hour; oldest first.")
    lanes: list[LaneFigures]
    kinds: list[KindFigures]
    failures: list[CodeCount] = Field(description="Most frequent first.")


def count(jobs: Iterable[Job], *, window: Window, until: datetime) -> Statistics:
    """Figures of the window that ends at `until`."""
    number, length = PIECES[window]
    since = until - number * length
    known = [job for job in jobs if _counts(job, since)]
    ended = [job for job in known if job.status.terminal and job.finished_at and since < job.finished_at <= until]
    of = Counter(job.status for job in ended)
    decided = of[Status.COMPLETED] + of[Status.FAILED]
    codes = Counter(job.error.code if job.error else "unknown" for job in ended if job.status is Status.FAILED)
    return Statistics(
        window=window,
        since=since,
        until=until,
        submitted=sum(since < job.created_at <= until for job in known),
        completed=of[Status.COMPLETED],
        failed=of[Status.FAILED],
        cancelled=of[Status.CANCELLED],
        success_rate=of[Status.COMPLETED] / decided if decided else None,
        pieces=_pieces(ended, since, number, length),
        lanes=[_lane(lane, known, since, until) for lane in LANES],
        kinds=[_kind(kind, ended) for kind in KINDS],
        failures=[CodeCount(code=code, count=many) for code, many in codes.most_common()],
    )


def _counts(job: Job, since: datetime) -> bool:
    return job.finished_at is None or job.finished_at > since


def _pieces(ended: list[Job], since: datetime, number: int, length: timedelta) -> list[Piece]:
    pieces = [Piece(start=since + at * length) for at in range(number)]
    for job in ended:
        assert job.finished_at
        piece = pieces[min(number - 1, (job.finished_at - since) // length)]
        setattr(piece, job.status, getattr(piece, job.status) + 1)
    return pieces


def _lane(lane: Lane, known: list[Job], since: datetime, until: datetime) -> LaneFigures:
    mine = [job for job in known if job.lane is lane]
    queued = [(until - job.created_at).total_seconds() for job in mine if job.status is Status.PENDING]
    begun = [job for job in mine if job.started_at and since < job.started_at <= until]
    return LaneFigures(
        lane=lane,
        queued=len(queued),
        oldest_queued_seconds=max(0.0, *queued) if queued else None,
        running=sum(job.status is Status.RUNNING for job in mine),
        wait=spread((job.started_at - job.created_at).total_seconds() for job in begun if job.started_at),
    )


def _kind(kind: Kind, ended: list[Job]) -> KindFigures:
    done = [job for job in ended if job.type == kind and job.status is Status.COMPLETED]
    took = ((job.finished_at - (job.started_at or job.created_at)).total_seconds() for job in done if job.finished_at)
    return KindFigures(type=kind, duration=spread(took))


def spread(seconds: Iterable[float]) -> Spread:
    """Percentiles by the nearest rank: always a value that was there."""
    told = sorted(max(0.0, each) for each in seconds)
    if not told:
        return Spread(count=0, p50=None, p95=None, longest=None)
    return Spread(count=len(told), p50=_ranked(told, 0.50), p95=_ranked(told, 0.95), longest=told[-1])


def _ranked(told: list[float], share: float) -> float:
    return told[math.ceil(share * len(told)) - 1]
