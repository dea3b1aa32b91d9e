"""What is done to one job or clone, by a call about it or by an operation on many.

Every one raises a Problem when it is not the tenant's or its state does not allow it, and nats errors. `mark` is the
Msg-Id the wish is stored under, once: an operation that is taken over does nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from services.gateway import domain, problems
from services.gateway.access import Principal
from services.gateway.edge import Edge, clone_of, job_of
from services.gateway.models_bulk import RetryChanges
from services.gateway.problems import Problem
from shared.contract.events import Cancel, Expire, Extended, Message, Retry, fold, fold_clone
from shared.contract.jobs import Clone, CloneState, Job, Status
from shared.contract.subjects import EventType
from shared.secrets.vault import SecretGone


@dataclass(frozen=True)
class Asker:
    """Whoever asks: by name for the log, as a tenant for what is his; `traceparent` of his call."""

    name: str
    tenant: str
    traceparent: str


def asker_of(request: Request, principal: Principal) -> Asker:
    return Asker(principal.name, principal.tenant, request.state.traceparent)


async def cancel(edge: Edge, asker: Asker, job_id: str, *, mark: str | None = None) -> Job:
    """Wish that a job ends. One that has ended otherwise than completed stays as it is."""
    job = await job_of(edge, asker.tenant, job_id)
    if not domain.may_cancel(job):
        hint = "Delete the clone." if job.type == "clone" else "Roll back to its snapshot."
        raise Problem(409, "already_completed", "The job is completed; there is nothing to cancel.", hint=hint)
    if job.status.terminal:
        return job
    wish = Cancel(job_id=job_id, kind=job.type, lane=job.lane, by=asker.name)
    return await _tell_job(edge, asker, job, wish, mark or f"{job_id}:cancel:{job.attempt}", many=mark is not None)


async def retry(
    edge: Edge, asker: Asker, job_id: str, *, changes: RetryChanges | None = None, mark: str | None = None
) -> Job:
    """Run a failed job again, with the login it was given, and with `changes` to what was asked for."""
    job = await job_of(edge, asker.tenant, job_id)
    if not domain.may_retry(job):
        raise _not_retryable(job)
    wanted = (changes or RetryChanges()).of(job.type)
    await _require_secret(edge, job)
    again = Retry(
        job_id=job_id,
        kind=job.type,
        lane=job.lane,
        attempt=job.attempt + 1,
        reason=f"asked for by {asker.name}",
        manual=True,
        changes=wanted,
    )
    return await _tell_job(edge, asker, job, again, mark or f"{job_id}:retry:{job.n}", many=mark is not None)


def _not_retryable(job: Job) -> Problem:
    hints = {
        Status.COMPLETED: "It did what it was asked for. Submit the job again to have it done once more.",
        Status.CANCELLED: "A cancelled job has forgotten its login. Submit it again.",
    }
    hint = hints.get(job.status, "Wait for its end, or cancel it.")
    return Problem(409, "not_retryable", f"The job is {job.status}; only failed jobs run again.", hint=hint)


async def _require_secret(edge: Edge, job: Job) -> None:
    try:
        await edge.vault.get(job.job_id)
    except SecretGone as gone:
        raise Problem(
            409,
            gone.code,
            "The login this job was given has been forgotten, so it can not run again.",
            hint=gone.hint,
        ) from None


async def delete(edge: Edge, asker: Asker, clone_id: str, *, mark: str | None = None) -> Clone:
    """Wish that a clone is removed. One that is gone, or going, stays so."""
    clone = await clone_of(edge, asker.tenant, clone_id)
    if clone.state is not CloneState.ACTIVE:
        return clone
    wish = Expire(job_id=clone_id, lane=clone.lane, reason="deleted")
    return await _tell_clone(edge, asker, clone, wish, mark or f"{clone_id}:delete", many=mark is not None)


async def extend(edge: Edge, asker: Asker, clone_id: str, at: datetime, *, mark: str | None = None) -> Clone:
    """Let a clone end at another moment."""
    clone = await clone_of(edge, asker.tenant, clone_id)
    if not domain.may_extend(clone):
        raise problems.clone_gone(clone)
    # the schedule first: were the event first and the schedule lost, the clone would end earlier than was promised
    end = Expire(job_id=clone_id, lane=clone.lane)
    await edge.bus.schedule(end, slot=EventType.SCHEDULE_EXPIRE, at=at)
    told = Extended(job_id=clone_id, lane=clone.lane, expires_at=at)
    return await _tell_clone(edge, asker, clone, told, mark, many=mark is not None)


async def _tell_job(edge: Edge, asker: Asker, job: Job, message: Message, msg_id: str, *, many: bool) -> Job:
    seq = await _publish(edge, asker, message, msg_id, many=many and job.type == "clone")
    edge.store.wrote(job.job_id, seq)
    return fold(job, message, seq) or job


async def _tell_clone(
    edge: Edge, asker: Asker, clone: Clone, message: Message, msg_id: str | None, *, many: bool
) -> Clone:
    seq = await _publish(edge, asker, message, msg_id, many=many)
    edge.store.wrote(clone.clone_id, seq)
    return fold_clone(clone, message, seq) or clone


async def _publish(edge: Edge, asker: Asker, message: Message, msg_id: str | None, *, many: bool) -> int:
    """The sequence it was stored at. `many`: with others of its stream, durable in one go."""
    headers = {"traceparent": asker.traceparent}
    via = edge.commands.publish if many else None
    ack = await edge.bus.publish(message, msg_id=msg_id, headers=headers, tries=1, via=via)
    return ack.seq
