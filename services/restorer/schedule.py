"""The end of a snapshot's life: a restore job of its own, kept by the server until its time."""

from __future__ import annotations

import hashlib
from datetime import datetime

from shared.events import RestoreRequested
from shared.ids import ALPHABET
from shared.jobs import RestoreAction
from shared.subjects import EventType, Lane
from shared.worker import JobContext

SECRET: tuple[str, ...] = ("target_username", "target_password")


def discard_of(restore_id: str) -> str:
    """The id of the job that discards a restore's snapshot when its time is up; always the same."""
    number = int.from_bytes(hashlib.sha256(f"discard {restore_id}".encode()).digest()[:10])
    body = "".join(ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))
    return f"restore-{body}"


async def schedule_discard(context: JobContext, command: RestoreRequested, *, at: datetime) -> None:
    """Have the snapshot removed at that time. Its credentials wait under a reference of their own. Idempotent."""
    job_id = discard_of(context.job_id)
    secret = await context.secret()
    kept = {name: secret[name] for name in SECRET if name in secret}
    await context.vault.put(job_id, kept)
    await context.bus.schedule(_discard(job_id, context, command), slot=EventType.SCHEDULE_EXPIRE, at=at)


async def forget_discard(context: JobContext, restore_id: str) -> None:
    """The snapshot is gone already."""
    job_id = discard_of(restore_id)
    request = RestoreRequested(job_id=job_id, lane=Lane.LOW, target_url="", secret_ref=job_id)
    await context.bus.unschedule(request, slot=EventType.SCHEDULE_EXPIRE)
    await context.vault.forget(job_id)


def _discard(job_id: str, context: JobContext, command: RestoreRequested) -> RestoreRequested:
    return RestoreRequested(
        job_id=job_id,
        lane=Lane.LOW,
        action=RestoreAction.DISCARD,
        target_url=command.target_url,
        secret_ref=job_id,
        snapshot_id=context.job_id,
        tenant=command.tenant,
    )
