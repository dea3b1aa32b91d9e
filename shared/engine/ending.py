"""Endings: decided once, durably; then carried out as often as it takes, told exactly once per attempt."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from shared.contract.events import Retry, now
from shared.contract.jobs import ErrorInfo, Result, Status
from shared.contract.streams import VAULT
from shared.contract.subjects import EventType
from shared.engine import metrics
from shared.engine.checkpoint import Ending, TooMuchToRemember
from shared.engine.held import Held
from shared.engine.records import Conflict, Records
from shared.engine.shorter import fitting
from shared.engine.token import Draining, StopToken
from shared.log import get

log = get(__name__)

STATUS = {
    EventType.COMPLETED: Status.COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.CANCELLED: Status.CANCELLED,
}
MESSAGES = {EventType.COMPLETED: "Done", EventType.CANCELLED: "Cancelled"}
EVERYTHING = "everything"
"""Named as left behind when the removals themselves kill their workers: then the sweeper has to do it."""


async def end(held: Held, event: EventType, *, error: ErrorInfo | None = None, result: Result | None = None) -> None:
    """Decide how the attempt ends, and carry it out."""
    if error is not None:
        held.remember(error)
    held.known.ending = Ending(event=event, error=error, result=result)
    if event is EventType.COMPLETED:
        held.known.state = {}  # nothing will be removed: what is left to do needs no memory
        held.give_away()  # nor does it matter who does it, or how often
    else:
        await held.secure()
    try:
        await held.store.write(held.known)
    except TooMuchToRemember:
        held.store.back_to_durable(held.known)
        await held.store.write(held.known)
    await conclude(held)


async def conclude(held: Held) -> None:
    """Carry out a decided ending, from wherever an earlier worker got to.

    Raises LeaseLost, Draining (another worker continues), or nats errors when NATS stays away.
    """
    known, ending = held.known, held.known.ending
    assert ending is not None
    if ending.event is not EventType.COMPLETED:
        await _remove(held)
    job = known.job(held.command, now=now(), **_final(held, ending))
    ended = await held.publish(ending.event, fitting(job), msg_id=f"{held.job_id}:{known.attempt}:terminal")
    await _leave_nothing(held, ending)
    if ending.event is not EventType.COMPLETED:  # where a completed job's end is told, the log knows (`settle`)
        known.ended, known.state = ended, {}
        await held.store.write(known)
    metrics.ENDED.labels(held.about["kind"], ending.event).inc()
    if job.started_at is not None and job.finished_at is not None:
        took = (job.finished_at - job.started_at).total_seconds()
        metrics.JOB_SECONDS.labels(held.about["kind"], ending.event).observe(took)
    why = {"code": ending.error.code, "message": ending.error.message} if ending.error else {}
    log.info(f"job {ending.event}", job=held.job_id, attempt=known.attempt, **why)


async def settle(held: Held, ended: int, *, again: bool) -> None:
    """A completed job comes back, whose end the log has told at sequence `ended`: do what a worker may have died over.

    `again`: a person wants it to run again, so that what is stored for it now is for that.
    """
    known, ending = held.known, held.known.ending
    assert ending is not None
    known.ended = ended
    if not again:
        held.claim()
        await _leave_nothing(held, ending)
        await held.store.write(known)


async def _leave_nothing(held: Held, ending: Ending) -> None:
    known = held.known
    await _forget_secret(held, ending)
    if known.attempt > 1 or known.ticket:
        await held.shop.bus.unschedule(Retry(**held.about, attempt=0), slot=EventType.SCHEDULE_RETRY)
    if known.ticket:
        await held.permits.leave_line()


async def _remove(held: Held) -> None:
    attempt = held.attempt or held.prepare()
    draining = held.token.reason is Draining
    held.token = StopToken()  # what stopped the job must not stop its removal
    held.lease.renewed_for(held.token)
    if draining:
        held.token.stop(Draining)
    hopeless = held.known.crashes > 2 * held.settings.poison_cap
    left = [EVERYTHING] if hopeless else await attempt.remove(held.token)
    assert held.known.ending is not None
    if left and held.known.ending.error is not None:
        held.known.ending.error.details["left_behind"] = left


def _final(held: Held, ending: Ending) -> dict[str, Any]:
    error = ending.error
    if error is not None and held.known.history:
        error.details["history"] = held.known.history
    return {
        "status": STATUS[ending.event],
        "progress": 100.0 if ending.event is EventType.COMPLETED else held.known.progress,
        "message": error.message if error else MESSAGES[ending.event],
        "finished_at": now(),
        "result": ending.result,
        "error": error,
    }


async def _forget_secret(held: Held, ending: Ending) -> None:
    """A failed job can be retried for a while, so its credentials stay, sealed; any other ending forgets them."""
    reference, seconds = held.command.secret_ref, int(held.settings.keep_failed_secret)
    records = Records(held.shop.bus, VAULT)
    if ending.event is not EventType.FAILED or seconds <= 0:
        await records.forget(reference)
        return
    sealed = await records.get(reference)
    if sealed is not None and sealed.value:
        with suppress(Conflict):
            await records.write(reference, sealed.value, last=sealed.revision, ttl=seconds)
