"""Snapshots: look, go back, discard. Each is the target as it was before one restore, and is kept there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from services.gateway import domain, views
from services.gateway.access import Principal
from services.gateway.edge import Edge, enter
from services.gateway.models import Accepted
from services.gateway.models_restore import (
    DiscardRequest,
    RollbackRequest,
    SnapshotAnswer,
    SnapshotPage,
    TargetLogin,
)
from services.gateway.problems import Problem, snapshot_not_found
from services.gateway.routes.jobs import LIMIT_DEFAULT, LIMIT_MAX, Cursor, read_cursor
from services.gateway.routes.responses import problem
from services.gateway.routes.submit import STORED, allowed_lane, described, parsed, store
from shared.contract.events import RestoreRequested
from shared.contract.jobs import RestoreAction, Snapshot, SnapshotState
from shared.contract.subjects import Lane
from shared.ids import is_job_id, new_id

router = APIRouter(tags=["snapshots"])

SnapshotId = Annotated[str, Path(description="The snapshot's id; the same as that of the restore that made it.")]


@router.get(
    "/snapshots",
    operation_id="listSnapshots",
    summary="List snapshots",
    response_model=SnapshotPage,
    responses=problem(422),
)
async def list_snapshots(
    request: Request,
    state: Annotated[list[SnapshotState] | None, Query(description="Only these; default: active ones.")] = None,
    target: Annotated[str | None, Query(description="Part of the target's address.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Ways back, newest first."""
    edge, principal = enter(request)
    after = read_cursor(cursor)
    states = set(state) if state else {SnapshotState.ACTIVE}
    await edge.snapshots.refresh()
    page: list[Snapshot] = []
    for _, found in edge.snapshots.newest_first(after=after):
        of_target = not target or target.lower() in found.target_url.lower()
        if found.tenant == principal.tenant and found.state in states and of_target:
            page.append(found)
        if len(page) > limit:
            break
    more = domain.encode_cursor(page[limit - 1].snapshot_id) if len(page) > limit else None
    answer = SnapshotPage.model_construct(snapshots=[views.snapshot(found) for found in page[:limit]], next_cursor=more)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/snapshots/{snapshot_id}",
    operation_id="getSnapshot",
    summary="Look at a snapshot",
    response_model=SnapshotAnswer,
    responses=problem(404),
)
async def get_snapshot(request: Request, snapshot_id: SnapshotId) -> Response:
    """A snapshot. One that was used or discarded is still told about."""
    edge, principal = enter(request)
    found = await _owned(edge, principal, snapshot_id)
    return Response(views.snapshot(found).model_dump_json(), media_type="application/json")


@router.post(
    "/snapshots/{snapshot_id}/rollback",
    operation_id="rollBack",
    summary="Go back to a snapshot",
    openapi_extra=described(RollbackRequest),
    status_code=202,
    response_model=Accepted,
    responses=problem(403, 404, 409, 410, 415, 422, 429, also=STORED),
)
async def roll_back(request: Request, snapshot_id: SnapshotId) -> Response:
    """Have the target back as it was before the restore. A job of its own, in the best lane unless asked otherwise."""
    _, principal = enter(request)
    wish = parsed(RollbackRequest, await request.body())
    lane = allowed_lane(wish.priority or principal.lane or Lane.HIGH, principal)
    return await _submit(request, snapshot_id, RestoreAction.ROLLBACK, wish, lane, wish.name)


@router.post(
    "/snapshots/{snapshot_id}/discard",
    operation_id="discardSnapshot",
    summary="Discard a snapshot",
    openapi_extra=described(DiscardRequest),
    status_code=202,
    response_model=Accepted,
    responses=problem(403, 404, 410, 415, 422, 429, also=STORED),
)
async def discard(request: Request, snapshot_id: SnapshotId) -> Response:
    """Remove a way back from its target before its time. A POST, because it takes the target's login in its body."""
    _, principal = enter(request)
    wish = parsed(DiscardRequest, await request.body())
    return await _submit(request, snapshot_id, RestoreAction.DISCARD, wish, allowed_lane(wish.priority, principal))


async def _submit(
    request: Request, snapshot_id: str, action: RestoreAction, wish: TargetLogin, lane: Lane, name: str | None = None
) -> Response:
    edge, principal = enter(request)
    limit = await edge.take(principal)

    async def accept(job_id: str) -> Response:
        snapshot = await _owned(edge, principal, snapshot_id)
        _check(snapshot, action)
        command = RestoreRequested(
            job_id=job_id,
            lane=lane,
            action=action,
            source_url=snapshot.source_url,
            target_url=snapshot.target_url,
            snapshot_id=snapshot_id,
            secret_ref=job_id,
            name=name,
            tenant=principal.tenant,
            **principal.share,
        )
        return await store(edge, command, wish.target_login(), request.state.traceparent)

    response = await edge.idempotency.once(
        request.headers.get("idempotency-key"),
        scope=f"{principal.tenant} POST /snapshots/{snapshot_id}/{action}",
        body=await request.body(),
        new_id=new_id("restore"),
        action=accept,
    )
    response.headers.update(limit)
    return response


def _check(snapshot: Snapshot, action: RestoreAction) -> None:
    """Raises a 409 or 410 problem when the snapshot's state does not allow the action."""
    if snapshot.state is SnapshotState.DISCARDED:
        raise Problem(
            410, "snapshot_gone", "The snapshot was discarded; there is no way back.", hint="Look into your backups."
        )
    if action is RestoreAction.ROLLBACK and snapshot.state is SnapshotState.ROLLED_BACK:
        raise Problem(
            409,
            "already_rolled_back",
            "The target was already rolled back to this snapshot.",
            hint="Discard it, if it is still in the way.",
        )


async def _owned(edge: Edge, principal: Principal, snapshot_id: str) -> Snapshot:
    """The snapshot, if it is the caller's. Raises a 404 problem otherwise."""
    snapshot = await edge.store.snapshot(snapshot_id) if is_job_id(snapshot_id) else None
    if snapshot is None or snapshot.tenant != principal.tenant:
        raise snapshot_not_found()
    return snapshot
