"""The end of a snapshot's life: a restore job of its own, kept by the server until its time."""

from __future__ import annotations

from datetime import datetime

from shared.contract.events import RestoreRequested
from shared.contract.snapshot_discard import discard_of, discard_request
from shared.contract.subjects import EventType
from shared.engine.worker import JobContext

SECRET: tuple[str, ...] = ("target_username", "target_password")


async def schedule_discard(context: JobContext, command: RestoreRequested, *, at: datetime) -> None:
    """Have the snapshot removed at that time. Its credentials wait under a reference of their own. Idempotent."""
    request = discard_request(context.job_id, target_url=command.target_url, tenant=command.tenant)
    secret = await context.secret()
    kept = {name: secret[name] for name in SECRET if name in secret}
    await context.vault.put(request.secret_ref, kept)
    await context.bus.schedule(request, slot=EventType.SCHEDULE_EXPIRE, at=at)


async def forget_discard(context: JobContext, restore_id: str) -> None:
    """The snapshot is gone already."""
    request = discard_request(restore_id, target_url="", tenant=context.command.tenant)
    await context.bus.unschedule(request, slot=EventType.SCHEDULE_EXPIRE)
    await context.vault.forget(discard_of(restore_id))
