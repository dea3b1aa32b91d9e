"""Progress that came together is shown once, and nothing of it is lost or hidden."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from services.status.live.channel import Channel, change_of, outlasted
from services.status.projection import State
from services.status.story import Entry
from shared.contract.events import Cancel, CloneRequested, JobEvent, Message
from shared.contract.jobs import Status
from shared.contract.subjects import EventType

JOB = "clone-0k3v9x2m7c1p5t8w"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
REQUESTED = CloneRequested(job_id=JOB, source_url="https://a.example", secret_ref=JOB, ttl_minutes=60, time=NOW)


def entry(seq: int, event: EventType, message: Message, job_id: str = JOB) -> Entry:
    return Entry(seq, job_id, event, message)


def progress(seq: int, done: float, *, step: str = "files", fence: int = 1, job_id: str = JOB) -> Entry:
    update = {"status": Status.RUNNING, "attempt": 1, "fence": fence, "step": step, "progress": done}
    job = REQUESTED.job().model_copy(update=update)
    return entry(seq, EventType.PROGRESS, JobEvent(type=EventType.PROGRESS, job_id=job_id, job=job), job_id)


def show(entries: list[Entry]) -> list[tuple[int, int, float]]:
    """Number, merged and progress of every frame viewers get."""
    channel = Channel(JOB)
    channel.begin(State().after([entry(1, EventType.REQUESTED, REQUESTED)]))
    shown = []
    for one, outlived in zip(entries, outlasted(entries), strict=True):
        states = channel.apply(one, show=not outlived)
        if states is not None:
            change = change_of(one, *states)
            frame = json.loads(change.text('"a"', change.merged))
            shown.append((frame["n"], frame.get("merged", 0), frame["event"]["job"]["progress"]))
    return shown


def test_progress_of_one_step_is_one_frame_that_says_how_many_it_stands_for() -> None:
    assert show([progress(2, 1.0), progress(3, 2.0), progress(4, 3.0)]) == [(4, 2, 3.0)]


def test_another_step_and_anything_else_between_is_shown_by_itself() -> None:
    cancel = entry(4, EventType.CANCEL, Cancel(job_id=JOB, time=NOW))
    shown = show([progress(2, 1.0), progress(3, 2.0), cancel, progress(5, 3.0), progress(6, 4.0, step="database")])
    assert shown == [(3, 1, 2.0), (4, 0, 2.0), (5, 0, 3.0), (6, 0, 4.0)]


def test_a_worker_that_is_not_believed_hides_nothing() -> None:
    assert show([progress(2, 5.0, fence=2), progress(3, 1.0, fence=1)]) == [(2, 0, 5.0)]


def test_jobs_are_told_apart() -> None:
    other = "clone-0k3v9x2m7c1p5t8x"
    assert outlasted([progress(2, 1.0), progress(3, 1.0, job_id=other), progress(4, 2.0)]) == [True, False, False]
