"""POST /restore."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway import domain, sync
from services.gateway.access import Principal
from services.gateway.edge import Edge, active_clone, enter
from services.gateway.models import Accepted
from services.gateway.models_restore import RestoreRequest
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from services.gateway.routes.states import login_of, refuse_while_busy
from services.gateway.routes.submit import STORED, WAITED, Async, allowed_lane, described, parsed, store, waits
from shared.contract.events import RestoreRequested
from shared.contract.jobs import Clone
from shared.contract.subjects import Lane
from shared.ids import new_id

router = APIRouter(tags=["restore"])

RESTORE_SCOPE = "{} POST /restore"


@router.post(
    "/restore",
    operation_id="requestRestore",
    summary="Restore a clone or a site to a target",
    openapi_extra=waits(described(RestoreRequest)),
    status_code=202,
    response_model=Accepted,
    responses=problem(403, 404, 409, 415, 422, 429, also=STORED | WAITED),
)
async def request_restore(request: Request, wanted: Async = None) -> Response:
    """Ask that a clone's content goes to production, with a way back. Answers at once, like `POST /clone`.

    With `dry_run` the job ends with a plan: what would be added, changed and removed, and what production would lose.
    """
    edge, principal = enter(request)
    response = await submit_restore(request, edge, principal, request.headers.get("idempotency-key"))
    return await sync.answered(edge, principal, response, request.headers, wanted)


async def submit_restore(request: Request, edge: Edge, principal: Principal, key: str | None) -> Response:
    """Store the wish for a restore. Answers 202, or what it answered to the same key before."""
    body = await request.body()
    wish = parsed(RestoreRequest, body)
    lane = allowed_lane(wish.priority, principal)
    limit = await edge.take(principal)

    async def accept(job_id: str) -> Response:
        clone = None if wish.clone_id is None else await _source_clone(edge, principal, wish, wish.clone_id)
        secret = wish.target_login() | (wish.source_login() if clone is None else login_of(edge, clone, "source_"))
        command = _command(wish, job_id, lane, principal, clone)
        return await store(edge, command, secret, request.state.traceparent)

    response = await edge.idempotency.once(
        key,
        scope=RESTORE_SCOPE.format(principal.tenant),
        body=body,
        new_id=new_id("restore"),
        action=accept,
    )
    response.headers.update(limit)
    return response


def _command(
    wish: RestoreRequest, job_id: str, lane: Lane, principal: Principal, clone: Clone | None
) -> RestoreRequested:
    source = wish.source_url if clone is None else domain.normalise_source(clone.clone_url)
    return RestoreRequested(
        job_id=job_id,
        lane=lane,
        source_url=source or "",
        clone_id=wish.clone_id,
        target_url=wish.target_url,
        secret_ref=job_id,
        mode=wish.mode,
        dry_run=wish.dry_run,
        accept_loss=wish.accept_loss,
        snapshot_hours=wish.snapshot_hours,
        name=wish.name,
        tenant=principal.tenant,
        **principal.share,
        options=wish.choices(),
    )


async def _source_clone(edge: Edge, principal: Principal, wish: RestoreRequest, clone_id: str) -> Clone:
    """The caller's own clone, as long as it is there. Raises a 404, 409 or 422 problem."""
    clone = await active_clone(edge, principal, clone_id)
    await refuse_while_busy(edge, clone, restoring=False)
    if domain.same_site(clone.clone_url, wish.target_url):
        raise Problem(
            422, "invalid_request", "The request is not valid: target_url is the clone itself.", hint="Name another."
        )
    return clone
