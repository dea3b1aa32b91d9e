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
from shared.engine.retry import backoff, wait_delay
from shared.errors import Temporary


async def again_or_fail(held: Held, error: Temporary) -> None:
    """Schedule the next attempt, or end the job when the step's budget is spent."""
    assert held.attempt is not None
    known, settings, step = held.known, held.settings, held.attempt.failed_in
    tries = known.tries[step] = known.tries.get(step, 0) + 1
    info = held.explain(error)
    if tries >= held.attempt.max_tries(step):
        await end(held, EventType.FAILED, error=info)
        return
    held.remember(info)
    metrics.RETRIES.labels(held.about["kind"], info.code).inc()
    delay = backoff(tries, base=settings.retry_base, cap=settings.retry_cap, retry_after=error.retry_after)
    known.attempt, known.ticket, known.crashes = known.attempt + 1, 0, 0
    known.parked = Parked(
        event=EventType.RETRYING,
        at=now() + timedelta(seconds=delay),
        message=f"{info.message} Trying again in {delay:.0f} s." if delay >= 1 else info.message,
        error=info,
    )
    await held.store.write(known)
    await repeat(held)


async def wait(held: Held, full: Full) -> None:
    """Come back soon: a limit is reached. Uses no try; told once per reason."""
    known, settings = held.known, held.settings
    delay = wait_delay(full.place, step=settings.wait_step, least=settings.wait_min, most=settings.wait_max)
    await held.permits.stand_in_line(full, delay)
    metrics.WAITS.labels(held.about["kind"]).inc()
    told, known.waiting_for = known.waiting_for, full.scope.why
    known.ticket, known.crashes = known.ticket + 1, 0
    known.parked = Parked(event=EventType.WAITING, at=now() + timedelta(seconds=delay), message=full.scope.why)
    await held.store.write(known)
    await repeat(held, tell=told != full.scope.why)


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
