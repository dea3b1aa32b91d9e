"""Many jobs or clones at once: an operation is stored and followed under an id."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.gateway.audit import about
from services.gateway.batch import cost_of
from services.gateway.bulk import clones_that_fit, jobs_that_fit
from services.gateway.edge import Edge, enter
from services.gateway.models_bulk import (
    Action,
    CancelJobs,
    DeleteClones,
    ExtendClones,
    OperationAnswer,
    OperationStatus,
    RetryJobs,
)
from services.gateway.operations import Operation
from services.gateway.problems import operation_not_found
from services.gateway.routes.clones import until
from services.gateway.routes.responses import problem
from services.gateway.routes.submit import ACCEPTED_HEADERS, IdempotencyKey
from shared.contract.events import now
from shared.ids import is_operation_id, new_id

router = APIRouter(tags=["bulk"])

Wish = RetryJobs | CancelJobs | DeleteClones | ExtendClones

ANSWERS: dict[str, Any] = {
    "status_code": 202,
    "response_model": OperationAnswer,
    "responses": problem(
        409,
        413,
        415,
        422,
        429,
        also={202: {"description": "Stored; it is carried out whatever happens", "headers": ACCEPTED_HEADERS}},
    ),
}


@router.post("/jobs/retry", operation_id="retryJobs", summary="Try many jobs again", **ANSWERS)
async def retry_jobs(request: Request, wish: RetryJobs, idempotency_key: IdempotencyKey = None) -> Response:
    """Run failed jobs again: these ids, or all failed ones that fit a filter. `changes` hold for each."""
    changes = wish.changes.model_dump(mode="json", exclude_unset=True) if wish.changes else {}
    return await _begin(request, Action.RETRY, wish, idempotency_key, changes=changes)


@router.post("/jobs/cancel", operation_id="cancelJobs", summary="Cancel many jobs", **ANSWERS)
async def cancel_jobs(request: Request, wish: CancelJobs, idempotency_key: IdempotencyKey = None) -> Response:
    """Ask that jobs end: these ids, or all that have not ended and fit a filter."""
    return await _begin(request, Action.CANCEL, wish, idempotency_key)


@router.post("/clones/delete", operation_id="deleteClones", summary="Delete many clones", **ANSWERS)
async def delete_clones(request: Request, wish: DeleteClones, idempotency_key: IdempotencyKey = None) -> Response:
    """Remove clones: these ids, or all that fit a filter."""
    return await _begin(request, Action.DELETE, wish, idempotency_key)


@router.post("/clones/extend", operation_id="extendClones", summary="Change when many clones end", **ANSWERS)
async def extend_clones(request: Request, wish: ExtendClones, idempotency_key: IdempotencyKey = None) -> Response:
    """Give clones more time, or less: these ids, or all that fit a filter. All get the same end."""
    return await _begin(request, Action.EXTEND, wish, idempotency_key, expires_at=until(wish))


def unique(ids: list[str] | None) -> list[str]:
    """Each id once, in the order given."""
    return list(dict.fromkeys(ids or ()))


async def _members(edge: Edge, tenant: str, action: Action, wish: Wish) -> list[str]:
    """Which jobs or clones it is about: those named, or those of the tenant that fit."""
    if wish.filter is None:
        return unique(wish.ids)
    if isinstance(wish, RetryJobs | CancelJobs):
        return await jobs_that_fit(edge, tenant, action, wish.filter)
    return await clones_that_fit(edge, tenant, wish.filter)


async def _begin(
    request: Request,
    action: Action,
    wish: Wish,
    key: str | None,
    *,
    changes: dict[str, Any] | None = None,
    expires_at: datetime | None = None,
) -> Response:
    """Decide what the operation is about, store it, and answer with its id."""
    edge, principal = enter(request)
    limit: dict[str, str] = {}

    async def accept(operation_id: str) -> Response:
        known = await edge.operations.find(operation_id, principal.tenant)
        if known is None:  # else an earlier request with this key stored it, and died before it could say so
            ids = await _members(edge, principal.tenant, action, wish)
            about(ids)
            limit.update(await edge.take(principal, cost_of(len(ids))))
            moment = now()
            operation = Operation(
                operation_id=operation_id,
                action=action,
                tenant=principal.tenant,
                by=principal.name,
                traceparent=request.state.traceparent,
                total=len(ids),
                changes=changes or {},
                expires_at=expires_at,
                created_at=moment,
                updated_at=moment,
            )
            known = await edge.operations.accept(operation, ids)
        return _answer(known, 202)

    scope = f"{principal.tenant} POST {request.url.path}"
    body = await request.body()
    response = await edge.idempotency.once(key, scope=scope, body=body, new_id=new_id("operation"), action=accept)
    response.headers.update(limit)
    return response


OperationId = Annotated[str, Path(description="The operation's id, like operation-0k3v9x2m7c1p5t8w.")]


@router.get(
    "/operations/{operation_id}",
    operation_id="getOperation",
    summary="Look at an operation",
    response_model=OperationAnswer,
    responses=problem(404),
)
async def get_operation(request: Request, operation_id: OperationId) -> Response:
    """How far it is, and what was not done and why. Told for seven days."""
    edge, principal = enter(request)
    found = await edge.operations.find(operation_id, principal.tenant) if is_operation_id(operation_id) else None
    if found is None:
        raise operation_not_found()
    return _answer(found, 200)


def _answer(operation: OperationAnswer, status: int) -> Response:
    headers = {"Location": operation.status_url} if status == 202 else {}
    if operation.status is OperationStatus.RUNNING:
        headers["Retry-After"] = "1"
    return Response(operation.model_dump_json(), status, headers, media_type="application/json")
