"""Ways back on production whose end was missed: their discard was scheduled, and the schedule is lost."""

from __future__ import annotations

from contextlib import aclosing

from services.cloner.sweeper.log import told
from services.cloner.sweeper.verdict import Known
from shared.bus.connection import Bus
from shared.bus.pull import direct
from shared.contract import streams
from shared.contract.jobs import Snapshot, SnapshotState
from shared.contract.snapshot_discard import discard_of, discard_request


async def active(bus: Bus) -> dict[str, Snapshot]:
    """The snapshots the projection says are there: a hint, their stories decide. Raises nats errors."""
    found = {}
    reading = direct(bus.nc, f"KV_{streams.SNAPSHOTS}", seq=1, subject=f"$KV.{streams.SNAPSHOTS}.>")
    async with aclosing(reading) as messages:
        async for msg in messages:
            snapshot = told(Snapshot, msg)
            if snapshot is not None and snapshot.state is SnapshotState.ACTIVE:
                found[snapshot.snapshot_id] = snapshot
    return found


def promised(snapshots: dict[str, Snapshot]) -> set[str]:
    """The jobs that will discard them, whose logins wait though no such job has begun."""
    return {discard_of(restore_id) for restore_id in snapshots}


async def discard(bus: Bus, restore: Known) -> None:
    """Begin the job the schedule should have begun. Without its login it fails, and a person is told."""
    assert restore.snapshot is not None
    found = restore.snapshot
    request = discard_request(found.snapshot_id, target_url=found.target_url, tenant=found.tenant)
    await bus.publish(request, msg_id=f"{request.job_id}:requested")
