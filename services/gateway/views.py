"""Records as answers: what a stored job or clone looks like to its owner."""

from __future__ import annotations

from typing import Any

from services.gateway.models import CloneAnswer, CloneSummary, JobAnswer, JobSummary, Links, RestoreOutcome, Result
from services.gateway.models_restore import SnapshotAnswer, SnapshotLinks
from shared.contract.jobs import (
    Clone,
    CloneResult,
    CloneState,
    Job,
    RefreshResult,
    RestoreResult,
    Snapshot,
    StateResult,
)
from shared.log import get
from shared.secrets.vault import KeyRing, SecretGone

log = get(__name__)


def links(job_id: str) -> Links:
    """Where the parts of a job are."""
    here = f"/jobs/{job_id}"
    return Links(self=here, events=f"{here}/events", cancel=f"{here}/cancel")


def job_summary(job: Job, clone: Clone | None = None) -> JobSummary:
    """A job in a list, told with the clone it made."""
    return JobSummary.model_construct(**_summary(job, clone))


def job_answer(job: Job, made: Clone | Snapshot | None, keys: KeyRing | None) -> JobAnswer:
    """A job with its result, told with what has become of what it made; a clone's password is opened."""
    return JobAnswer.model_construct(
        **_summary(job, made if isinstance(made, Clone) else None),
        steps=job.steps,
        result=_outcome(job, made, keys),
        links=links(job.job_id),
    )


def snapshot(found: Snapshot) -> SnapshotAnswer:
    """A way back, in a list or by itself."""
    here = f"/snapshots/{found.snapshot_id}"
    return SnapshotAnswer.model_construct(
        snapshot_id=found.snapshot_id,
        target_url=found.target_url,
        source_url=found.source_url,
        state=found.state,
        created_at=found.created_at,
        expires_at=found.expires_at,
        ended_at=found.ended_at,
        tables=found.tables,
        files=found.files,
        bytes=found.bytes,
        links=SnapshotLinks(
            self=here, job=f"/jobs/{found.snapshot_id}", rollback=f"{here}/rollback", discard=f"{here}/discard"
        ),
    )


def clone_summary(clone: Clone) -> CloneSummary:
    """A clone in a list."""
    return CloneSummary.model_construct(**_clone(clone))


def clone_answer(clone: Clone, keys: KeyRing | None) -> CloneAnswer:
    """A clone with its login, as long as it exists."""
    alive = clone.state is CloneState.ACTIVE
    password = _password(keys, clone.sealed_password, clone.clone_id) if alive else None
    return CloneAnswer.model_construct(**_clone(clone), password=password)


def _summary(job: Job, clone: Clone | None) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "type": job.type,
        "status": job.status,
        "progress": round(min(max(job.progress, 0.0), 100.0), 1),
        "phase": job.phase,
        "reason": job.reason,
        "step": job.step,
        "message": job.message,
        "name": job.name,
        "source_url": job.source_url,
        "target_url": job.target_url,
        "action": job.action,
        "priority": job.lane,
        "attempt": job.attempt,
        "batch_id": job.batch_id,
        "schedule_id": job.schedule_id,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "updated_at": job.updated_at,
        "finished_at": job.finished_at,
        "error": job.error,
        "clone_state": clone.state if clone else None,
        "n": job.n,
        "seq": job.seq,
    }


def _outcome(
    job: Job, made: Clone | Snapshot | None, keys: KeyRing | None
) -> Result | RestoreOutcome | StateResult | RefreshResult | None:
    if isinstance(job.result, CloneResult):
        return _result(job.result, made if isinstance(made, Clone) else None, keys, job.job_id)
    if isinstance(job.result, RestoreResult):
        state = made.state if isinstance(made, Snapshot) else None
        return RestoreOutcome.model_construct(**dict(job.result), snapshot_state=state)
    return job.result


def _result(result: CloneResult, clone: Clone | None, keys: KeyRing | None, job_id: str) -> Result:
    state = clone.state if clone else CloneState.ACTIVE
    alive = state is CloneState.ACTIVE
    return Result.model_construct(
        clone_id=result.clone_id,
        clone_url=result.clone_url,
        admin_url=result.admin_url,
        username=result.username,
        password=_password(keys, result.sealed_password, job_id) if alive else None,
        expires_at=clone.expires_at if clone else result.expires_at,
        state=state,
        deleted_at=clone.deleted_at if clone else None,
        files=result.files,
        bytes=result.bytes,
        tables=result.tables,
        rows=result.rows,
        rewritten=result.rewritten,
        rewritten_columns=result.rewritten_columns,
        leftovers=result.leftovers,
        first_ids=result.first_ids,
        media=result.media,
        media_stayed=result.media_stayed,
        reused=result.reused,
        notes=result.notes,
        timings=result.timings,
    )


def _clone(clone: Clone) -> dict[str, Any]:
    return {
        "clone_id": clone.clone_id,
        "job_id": clone.clone_id,
        "name": clone.name,
        "source_url": clone.source_url,
        "clone_url": clone.clone_url,
        "admin_url": clone.admin_url,
        "username": clone.username,
        "state": clone.state,
        "created_at": clone.created_at,
        "expires_at": clone.expires_at,
        "deleted_at": clone.deleted_at,
        "reason": clone.reason,
        "seq": clone.seq,
    }


def _password(keys: KeyRing | None, sealed: str, purpose: str) -> str | None:
    if keys is None:
        return None
    try:
        return keys.open(sealed, purpose=purpose)
    except SecretGone:  # the vault key was lost or rotated away: everything else is still worth telling
        log.error("a clone's password can not be opened with the keys of this installation", clone=purpose)
        return None
