"""Batches: up to 1,000 clones, all accepted or none; look, list, cancel."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from services.gateway import domain, metrics
from services.gateway.access import Principal
from services.gateway.batch import BATCH_MOST, Batch, BatchStatus, cost_of, members, multiplied
from services.gateway.edge import Edge, enter
from services.gateway.models import CloneRequest
from services.gateway.models_batch import (
    BatchAccepted,
    BatchAnswer,
    BatchJob,
    BatchLinks,
    BatchPage,
    BatchRequest,
    BatchSummary,
    Envelope,
)
from services.gateway.problems import Problem, batch_not_found, validation
from services.gateway.routes.jobs import Cursor, read_cursor
from services.gateway.routes.responses import problem
from services.gateway.routes.submit import ACCEPTED_HEADERS, BODY, IdempotencyKey
from shared.contract.events import CloneRequested
from shared.contract.subjects import Lane
from shared.ids import batch_member, new_batch_id

router = APIRouter(tags=["batches"])

LIMIT_DEFAULT, LIMIT_MAX = 20, 100
BatchId = Annotated[str, Path(description="The batch's id, like batch-0k3v9x2m7c1p5t00.")]
BATCH_BODY = {
    **BODY,
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{BatchRequest.__name__}"}}},
    },
}


@router.post(
    "/batches",
    operation_id="requestBatch",
    summary="Clone many sites",
    openapi_extra=BATCH_BODY,
    status_code=202,
    response_model=BatchAccepted,
    responses=problem(
        403,
        409,
        413,
        415,
        422,
        429,
        also={202: {"description": "All jobs are stored; workers will take them", "headers": ACCEPTED_HEADERS}},
    ),
)
async def request_batch(request: Request) -> Response:
    """Ask for up to 1,000 clones at once. All are accepted or none: one bad item refuses the whole.

    Ten clones cost as much of the rate limit as one call.
    """
    edge, principal = enter(request)
    body = await request.body()
    wishes = await _parse(body)
    lanes = _lanes(wishes, principal)
    limit = await edge.take(principal, cost_of(len(wishes)))
    key = request.headers.get("idempotency-key")

    async def accept(batch_id: str) -> Response:
        commands = [
            (_command(batch_id, number, len(wishes), wish, lane, principal), wish.credentials())
            for number, (wish, lane) in enumerate(zip(wishes, lanes, strict=True))
        ]
        # an earlier request with this key may have stored everything and died before it could say so
        if key is None or not await edge.batches.is_stored(batch_id):
            await edge.batches.accept(commands, traceparent=request.state.traceparent)
            for lane in lanes:
                metrics.SUBMITTED.labels("clone", lane).inc()
        return _accepted(batch_id, len(wishes))

    response = await edge.idempotency.once(
        key, scope=f"{principal.tenant} POST /batches", body=body, new_id=new_batch_id(), action=accept
    )
    response.headers.update(limit)
    return response


async def _parse(body: bytes) -> list[CloneRequest]:
    """The clones of a request, defaults applied. Raises a 422 problem that names what is wrong by its index."""
    try:
        envelope = Envelope.model_validate_json(body)
        common = envelope.defaults.model_dump(exclude_unset=True, exclude_none=True) if envelope.defaults else {}
        if multiplied(envelope.clones, common) > BATCH_MOST:
            raise Problem(
                413,
                "body_too_large",
                "With its defaults in each of its clones this batch is larger than 8 MB.",
                hint="Split it, or leave fewer tables and paths out.",
            )
        await asyncio.sleep(0)
        return BatchRequest.model_validate({"defaults": common, "clones": envelope.clones}).clones
    except ValidationError as error:
        raise validation(error.errors(include_url=False, include_context=False, include_input=False)) from None


def _lanes(wishes: list[CloneRequest], principal: Principal) -> list[Lane]:
    lanes = [domain.lane_for(wish.priority, principal.lane) for wish in wishes]
    if refused := [number for number, lane in enumerate(lanes) if lane is None]:
        told = ", ".join(f"clones.{number}" for number in refused[:5])
        raise Problem(
            403,
            "priority_not_allowed",
            f"This API key may not use the priority of {told}{' and others' if len(refused) > 5 else ''}.",
            hint="Ask for a lower one.",
        )
    return [lane for lane in lanes if lane is not None]


def _command(
    batch_id: str, number: int, size: int, wish: CloneRequest, lane: Lane, principal: Principal
) -> CloneRequested:
    job_id = batch_member(batch_id, number)
    return CloneRequested(
        job_id=job_id,
        lane=lane,
        source_url=wish.source_url,
        secret_ref=job_id,
        ttl_minutes=wish.ttl_minutes,
        name=wish.name,
        tenant=principal.tenant,
        **principal.share,
        batch_id=batch_id,
        batch_size=size,
        options=wish.options,
    )


@router.get(
    "/batches", operation_id="listBatches", summary="List batches", response_model=BatchPage, responses=problem(422)
)
async def list_batches(
    request: Request,
    status: Annotated[list[BatchStatus] | None, Query(description="Only these; may be given more than once.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Batches, newest first. A batch accepted a moment ago may take some milliseconds to appear here."""
    edge, principal = enter(request)
    after = read_cursor(cursor)
    await edge.batches.refresh()
    page: list[Batch] = []
    for batch in edge.batches.newest_first(tenant=principal.tenant, after=after):
        if not status or batch.status in status:
            page.append(batch)
        if len(page) > limit:
            break
    more = domain.encode_cursor(batch_member(page[limit - 1].batch_id, 0)) if len(page) > limit else None
    summaries = [BatchSummary.model_construct(**_summary(batch)) for batch in page[:limit]]
    answer = BatchPage.model_construct(batches=summaries, next_cursor=more)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/batches/{batch_id}",
    operation_id="getBatch",
    summary="Look at a batch",
    response_model=BatchAnswer,
    responses=problem(404, also={304: {"description": "Nothing new since the ETag sent in If-None-Match"}}),
)
async def get_batch(
    request: Request, batch_id: BatchId, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Where the whole stands, and each of its jobs."""
    edge, principal = enter(request)
    return _answer(await _owned(edge, principal, batch_id), if_none_match=if_none_match)


@router.post(
    "/batches/{batch_id}/cancel",
    operation_id="cancelBatch",
    summary="Cancel a batch",
    status_code=202,
    response_model=BatchAnswer,
    responses=problem(404, 409),
)
async def cancel_batch(request: Request, batch_id: BatchId, idempotency_key: IdempotencyKey = None) -> Response:
    """Ask that every job that has not ended does. Completed clones stay. Asking twice changes nothing."""
    edge, principal = enter(request)

    async def cancel(_: str) -> Response:
        batch = await _owned(edge, principal, batch_id)
        batch = await edge.batches.cancel(batch, by=principal.name, traceparent=request.state.traceparent)
        return _answer(batch, status=202)

    scope = f"{principal.tenant} POST /batches/{batch_id}/cancel"
    body = await request.body()
    return await edge.idempotency.once(idempotency_key, scope=scope, body=body, new_id=batch_id, action=cancel)


async def _owned(edge: Edge, principal: Principal, batch_id: str) -> Batch:
    """The batch, if it is the caller's. Raises a 404 problem otherwise: others' batches do not exist for him."""
    batch = await edge.batches.find(batch_id)
    if batch is None or batch.tenant != principal.tenant:
        raise batch_not_found()
    return batch


def _links(batch_id: str) -> BatchLinks:
    return BatchLinks(self=f"/batches/{batch_id}", cancel=f"/batches/{batch_id}/cancel")


def _accepted(batch_id: str, size: int) -> Response:
    accepted = BatchAccepted(
        batch_id=batch_id,
        status=BatchStatus.PENDING,
        total=size,
        status_url=f"/batches/{batch_id}",
        job_ids=members(batch_id, size),
        links=_links(batch_id),
    )
    headers = {"Location": f"/batches/{batch_id}", "Retry-After": "1"}
    return Response(accepted.model_dump_json(), 202, headers, media_type="application/json")


def _answer(batch: Batch, *, status: int = 200, if_none_match: str | None = None) -> Response:
    jobs = [
        BatchJob.model_construct(
            job_id=job.job_id,
            status=job.status,
            phase=job.phase,
            progress=round(min(max(job.progress, 0.0), 100.0), 1),
            source_url=job.source_url,
            name=job.name,
            message=job.message,
            error=job.error.code if job.error else None,
        )
        for job in batch.jobs
    ]
    body = BatchAnswer.model_construct(**_summary(batch), jobs=jobs).model_dump_json().encode()
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag} if batch.status.terminal else {"ETag": etag, "Retry-After": "1"}
    if if_none_match and etag in if_none_match:
        return Response(None, 304, headers)
    return Response(body, status, headers, media_type="application/json")


def _summary(batch: Batch) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "status": batch.status,
        "phase": batch.phase,
        "progress": batch.progress,
        "total": batch.total,
        "counts": batch.counts,
        "created_at": batch.created_at,
        "started_at": batch.started_at,
        "updated_at": batch.updated_at,
        "finished_at": batch.finished_at,
        "links": _links(batch.batch_id),
    }
