"""What every clone that was made has, of a site or of a clone: an end of its life, addresses, a login."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contract.events import CloneRequested, Expire
from shared.contract.jobs import CloneResult
from shared.contract.subjects import EventType
from shared.engine.context import JobContext


async def made(context: JobContext, url: str, **found: Any) -> CloneResult:
    """The result; schedules the end of the clone's life, once. `found`: what else the result says."""
    state, command = context.state, context.command
    assert isinstance(command, CloneRequested)
    if "expires_at" not in state:
        state["expires_at"] = (datetime.now(UTC) + timedelta(minutes=command.ttl_minutes)).isoformat()
        await context.checkpoint()
    expires_at = datetime.fromisoformat(state["expires_at"])
    expire = Expire(job_id=context.job_id, lane=context.lane)
    await context.bus.schedule(expire, slot=EventType.SCHEDULE_EXPIRE, at=expires_at)
    return CloneResult(
        clone_id=context.job_id,
        clone_url=f"{url}/",
        admin_url=f"{url}/{state.get('wordpress_path', '')}".rstrip("/") + "/wp-admin/",
        username=state["username"],
        sealed_password=state["password"],
        expires_at=expires_at,
        notes=context.notes,
        **found,
    )
