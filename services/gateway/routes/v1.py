"""/api/v1: the synchronous calls of before, for clients that have not moved yet, with the answers they know.

{"success": true, "clone_url": …, "username": …, "password": …}
{"success": false, "error": …}
"""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from services.gateway import sync
from services.gateway.access import Principal
from services.gateway.edge import Edge, enter
from services.gateway.models import CloneRequest
from services.gateway.models_restore import RestoreRequest
from services.gateway.routes.restore import RESTORE_SCOPE, submit_restore
from services.gateway.routes.submit import CLONE_SCOPE, described, submit_clone
from shared.contract.jobs import CloneResult, CloneState, Job, Status
from shared.contract.times import Time

router = APIRouter(tags=["v1"])

TURNS_MOST = 100
"""Jobs by the same words within that time; more share the last one."""
AGAIN_SECONDS = 600
"""A call that comes again within this time, word for word, is taken for a retry and gets the same job."""


class OldAnswer(BaseModel):
    """What every call of /api/v1 answers."""

    success: bool
    error: str | None = Field(None, description="What happened, and what to do; null when it succeeded.")
    code: str | None = Field(None, description="The stable code of the error; `still_running` with status 202.")
    clone_url: str | None = None
    admin_url: str | None = None
    username: str | None = None
    password: str | None = None
    expires_at: Time | None = None
    job_id: str | None = Field(None, description="For `GET /jobs/{job_id}`.")
    status_url: str | None = None


ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": OldAnswer}
    for status, text in {
        202: "It takes longer than a call may: the job goes on. The same call again waits for the same job",
        400: "The body is no JSON, or a header can not be read",
        401: "No valid API key",
        403: "Not allowed",
        404: "There is no such clone",
        409: "It was cancelled, or the state does not allow it",
        413: "The body is too large",
        415: "The body is not JSON",
        422: "The request is not valid, or the job failed",
        429: "Too many calls in a short time",
        503: "Nothing can be accepted just now",
    }.items()
}


@router.post(
    "/api/v1/clone",
    operation_id="cloneAndWait",
    summary="Clone a site, and wait",
    deprecated=True,
    response_model=OldAnswer,
    responses=ANSWERS,
    openapi_extra=described(CloneRequest),
)
async def clone(request: Request) -> Response:
    """The clone's address and login, once it is there. In place of it: `POST /clone`."""
    edge, principal = enter(request)
    key = await _key(request, edge, CLONE_SCOPE.format(principal.tenant))
    return await _answered(edge, principal, await submit_clone(request, edge, principal, key))


@router.post(
    "/api/v1/restore",
    operation_id="restoreAndWait",
    summary="Restore, and wait",
    deprecated=True,
    response_model=OldAnswer,
    responses=ANSWERS,
    openapi_extra=described(RestoreRequest),
)
async def restore(request: Request) -> Response:
    """Whether production is what the clone is, once it is. In place of it: `POST /restore`."""
    edge, principal = enter(request)
    key = await _key(request, edge, RESTORE_SCOPE.format(principal.tenant))
    return await _answered(edge, principal, await submit_restore(request, edge, principal, key))


async def _key(request: Request, edge: Edge, scope: str) -> str:
    """The call's Idempotency-Key; without one a key made of what is asked for: clients that know only this call ask
    again in the same words when a proxy has hung up, and then want what they asked for first."""
    given = request.headers.get("idempotency-key")
    if given is not None:
        return given
    mark = edge.keys.mark(await request.body(), purpose=f"v1 {scope}")
    turn = int(time.time() // AGAIN_SECONDS)
    for each in (turn - 1, turn):
        for number in range(TURNS_MOST):
            key = f"v1-{each}-{number}-{mark}"
            used = await edge.idempotency.used(key, scope=scope)
            if used is None:
                break
            job_id, at = used
            if time.time() - at <= AGAIN_SECONDS and await _is_wanted_again(edge, job_id):
                return key
    return key


async def _is_wanted_again(edge: Edge, job_id: str) -> bool:
    """Whether the same call means this job: one that runs, or a clone that is there. What failed, was deleted or
    restored before is asked for anew."""
    job = await edge.store.job(job_id)
    if job is None or not job.status.terminal:
        return True
    clone = await edge.store.clone(job_id) if job.status is Status.COMPLETED else None
    return clone is not None and clone.state is CloneState.ACTIVE


async def _answered(edge: Edge, principal: Principal, accepted: Response) -> Response:
    edge.calls.count(principal.tenant, principal.name, "v1")
    job_id = sync.job_of(accepted)
    job = await sync.ended(edge, principal, job_id, edge.settings.sync_seconds)
    status, answer = (202, _not_yet(job_id)) if job is None else _outcome(edge, job)
    kept = {name: value for name, value in accepted.headers.items() if name.startswith("ratelimit")}
    found = {"Location": f"/jobs/{job_id}", **kept}
    if job is None:
        found["Retry-After"] = "1"
    return JSONResponse(answer.model_dump(mode="json", exclude_none=True), status, found)


def _not_yet(job_id: str) -> OldAnswer:
    text = "This takes longer than a call may wait. It goes on: ask again in the same words, or look at status_url."
    return OldAnswer(success=False, error=text, code="still_running", job_id=job_id, status_url=f"/jobs/{job_id}")


def _outcome(edge: Edge, job: Job) -> tuple[int, OldAnswer]:
    about = {"job_id": job.job_id, "status_url": f"/jobs/{job.job_id}"}
    if job.status is Status.COMPLETED:
        return 200, OldAnswer(success=True, **about, **_login(edge, job))
    if job.status is Status.CANCELLED:
        return 409, OldAnswer(success=False, error="The job was cancelled.", code="cancelled", **about)
    error = job.error
    text = "The job failed." if error is None else f"{error.message} {error.hint}".strip()
    return 422, OldAnswer(success=False, error=text, code=error.code if error else None, **about)


def _login(edge: Edge, job: Job) -> dict[str, Any]:
    made = job.result
    if not isinstance(made, CloneResult):
        return {}
    return {
        "clone_url": made.clone_url,
        "admin_url": made.admin_url,
        "username": made.username,
        "password": edge.keys.open(made.sealed_password, purpose=made.clone_id),
        "expires_at": made.expires_at,
    }
