"""Records as browsers see them: the shapes of the REST API without any secret.

The clone's password is not even here in sealed form: a page that wants it asks the gateway for `GET /jobs/{id}`.
"""

from __future__ import annotations

import json
from typing import Any

from services.status.projection import State
from shared.contract.jobs import Clone, CloneResult, CloneState, Job, RestoreResult

Json = dict[str, Any]

_SUMMARY = frozenset(
    {
        "job_id",
        "n",
        "seq",
        "type",
        "status",
        "phase",
        "reason",
        "step",
        "message",
        "name",
        "source_url",
        "target_url",
        "action",
        "attempt",
        "batch_id",
        "schedule_id",
        "created_at",
        "started_at",
        "updated_at",
        "finished_at",
        "error",
    }
)
_DETAIL = _SUMMARY | {"steps", "result"}
_DETAIL_FIELDS = set(_DETAIL)
_CLONE = frozenset(
    {
        "clone_id",
        "seq",
        "name",
        "source_url",
        "clone_url",
        "admin_url",
        "username",
        "state",
        "created_at",
        "expires_at",
        "deleted_at",
        "reason",
    }
)


def job_summary(job: Job) -> Json:
    """A job without its steps and its result."""
    return _with_summary(job, job.model_dump(mode="json", include=set(_SUMMARY)))


def listed_job(state: State) -> Json:
    """A job in a list, with what has become of the clone it made. Needs a state with a job."""
    assert state.job is not None
    return job_summary(state.job) | {"clone_state": None if state.clone is None else state.clone.state}


def job_detail(state: State) -> Json:
    """A job with its steps, and its result or error. Needs a state with a job."""
    job, clone = state.job, state.clone
    assert job is not None
    shape = job.model_dump(mode="json", include=set(_DETAIL), exclude={"result": {"sealed_password"}})
    result = shape.get("result")
    if isinstance(job.result, RestoreResult):
        shape["result"] |= {"snapshot_state": None if state.snapshot is None else state.snapshot.state}
    elif isinstance(job.result, CloneResult) and result is not None:
        result |= {"state": CloneState.ACTIVE, "deleted_at": None}
        if clone is not None:
            result |= clone.model_dump(mode="json", include={"state", "deleted_at", "expires_at"})
    shape["links"] = links(job.job_id)
    return _with_summary(job, shape)


def job_detail_text(state: State) -> str:
    """`job_detail` as JSON. The short way for jobs that run: pydantic writes most of it."""
    job = state.job
    assert job is not None
    if job.result is not None:
        return json.dumps(job_detail(state), separators=(",", ":"), ensure_ascii=False)
    here = f"/jobs/{job.job_id}"
    links = f'"self":"{here}","events":"{here}/events","cancel":"{here}/cancel"'
    summary = f'"progress":{_percent(job)},"priority":"{job.lane}"'
    return f'{job.model_dump_json(include=_DETAIL_FIELDS)[:-1]},{summary},"links":{{{links}}}}}'


def links(job_id: str) -> dict[str, str]:
    """Where the parts of a job are."""
    here = f"/jobs/{job_id}"
    return {"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"}


def clone_summary(clone: Clone) -> Json:
    """A clone in a list."""
    shape = clone.model_dump(mode="json", include=set(_CLONE))
    shape["job_id"] = clone.clone_id
    return shape


def _with_summary(job: Job, shape: Json) -> Json:
    shape["progress"] = _percent(job)
    shape["priority"] = job.lane
    return shape


def _percent(job: Job) -> float:
    return round(min(max(job.progress, 0.0), 100.0), 1)
