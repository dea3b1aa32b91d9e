"""The job that discards a restore's snapshot when its time is up: derived from the restore, so never stored twice."""

from __future__ import annotations

import hashlib

from shared.contract.events import RestoreRequested
from shared.contract.jobs import RestoreAction
from shared.contract.subjects import Lane
from shared.ids import ALPHABET


def discard_of(restore_id: str) -> str:
    """The id of the job that discards a restore's snapshot when its time is up; always the same."""
    number = int.from_bytes(hashlib.sha256(f"discard {restore_id}".encode()).digest()[:10])
    body = "".join(ALPHABET[(number >> shift) & 31] for shift in range(75, -1, -5))
    return f"restore-{body}"


def discard_request(restore_id: str, *, target_url: str, tenant: str) -> RestoreRequested:
    """Its command. The login waits in the vault under the id of the job."""
    job_id = discard_of(restore_id)
    return RestoreRequested(
        job_id=job_id,
        lane=Lane.LOW,
        action=RestoreAction.DISCARD,
        target_url=target_url,
        secret_ref=job_id,
        snapshot_id=restore_id,
        tenant=tenant,
    )
