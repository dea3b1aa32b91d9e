"""Parking: the job waits for a schedule of its own, not in a worker.

First the decision into the checkpoint, then the event, then the schedule. All three may be repeated: a worker that
dies in between is followed by one that finds the decision and says the rest again, under the same message ids.
"""

from __future__ import annotations

from datetime import timedelta

from shared.contract.events import Retry, now
from shared.contract.subjects import EventType
from shared.engine import metrics
from shared.engine.checkpoint import Parked, parked_job
from shared.engine.ending import end
from shared.engine.held import Held
from shared.engine.limits import Full
from shared.engine.parts import OwnPartAway, title
from shared.engine.retry import backoff, wait_delay
from shared.errors import Temporary
from shared.log import get

log = get(__name__)

SOON = 1.0
"""Seconds until a job that waits for a part of ours looks again; longer the longer it has waited."""
SELDOM = 15.0
AGAIN = "Siteferry tries again by itself."


async def again_or_fail(held: Held, error: Temporary) -> None:
    """Schedule the next attempt, or end the job when the step's budget is spent."""
    assert held.attempt is not None
    known, settings, step = held.known, held.settings, held.attempt.failed_in
    tries = known.tries[step] = known.tries.get(step, 0) + 1
    info = held.explain(error)
    if tries >= held.attempt.max_tries(step):
        await end(held, EventType.FAILED, error=info)
        return
    info.hint = AGAIN if error.hint == Temporary.hint else f"{AGAIN} If it stays: {info.hint}"
    held.remember(info)
    metrics.RETRIES.labels(held.about["kind"], info.code).inc()
    if error.retry_after:
        await held.permits.pause(error.retry_after)
    delay = backoff(tries, base=settings.retry_base, cap=settings.retry_cap, retry_after=error.retry_after)
    known.attempt, known.ticket, known.crashes = known.attempt + 1, 0, 0
    known.parked = Parked(
        event=EventType.RETRYING,
        at=now() + timedelta(seconds=delay),
        message=f"{info.message} Trying again in {delay:.0f} s." if delay >= 1 else info.message,
        error=info,
    )
    await held.secure()
    await held.store.write(known)
    await repeat(held)


async def wait(held: Held, full: Full) -> None:
    """Come back soon: a limit is reached. Uses no try; told once per reason."""
    settings = held.settings
    delay = wait_delay(full.place, step=settings.wait_step, least=settings.wait_min, most=settings.wait_max)
    await held.permits.stand_in_line(full, delay)
    await _wait(held, full.scope.why, full.scope.reason, delay)


async def wait_for_part(held: Held, part: str, error: Exception | None = None) -> None:
    """Come back when a part of ours is there again. Uses no try. Ends the job when it stays away for too long.

    `error` is what the job ran into, which is then told.
    """
    known, settings, moment = held.known, held.settings, now()
    known.away_since = known.away_since or moment
    waited = (moment - known.away_since).total_seconds()
    if waited > settings.part_patience:
        gone = OwnPartAway(part, f"Waited for {title(part)}, a part of Siteferry, for {waited / 3600:.1f} hours.")
        await end(held, EventType.FAILED, error=held.explain(gone))
        return
    metrics.PART_WAITS.labels(held.about["kind"], part).inc()
    why = repr(error) if error is not None else ""
    log.warning("waiting for a part of ours", job=held.job_id, part=part, error=held.scrub(why))
    await _wait(held, f"Waiting for {title(part)}", f"part_away:{part}", min(SELDOM, SOON + waited / 10))


async def _wait(held: Held, why: str, reason: str, delay: float) -> None:
    known = held.known
    metrics.WAITS.labels(held.about["kind"]).inc()
    told, known.waiting_for = known.waiting_for, why
    known.ticket, known.crashes = known.ticket + 1, 0
    at = now() + timedelta(seconds=delay)
    known.parked = Parked(event=EventType.WAITING, at=at, message=why, reason=reason)
    await held.secure()
    await held.store.write(known)
    await repeat(held, tell=told != why)


async def repeat(held: Held, *, tell: bool = True) -> None:
    """Say that the job waits, and set its schedule. Repeating either changes nothing."""
    known = held.known
    if known.parked is None or known.ended is not None:
        return
    mark = f"{held.job_id}:{known.attempt}.{known.ticket}"
    if tell:
        job = parked_job(known, held.command, now=now())
        await held.publish(known.parked.event, job, msg_id=f"{mark}:{known.parked.event}")
    wake = Retry(**held.about, attempt=known.attempt, ticket=known.ticket, reason=known.parked.event)
    await held.shop.bus.schedule(wake, slot=EventType.SCHEDULE_RETRY, at=known.parked.at, msg_id=f"{mark}:schedule")
