"""Jobs: one, many, their story, cancel, retry."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from services.gateway import deeds, domain, views, waiting, wanted
from services.gateway.deeds import asker_of
from services.gateway.edge import JobId, answer_for, enter, owned_job
from services.gateway.listing import Look, Sort, find
from services.gateway.models import JobAnswer, JobPage, Story, StoryMessage
from services.gateway.models_bulk import RetryChanges
from services.gateway.moments import rfc3339
from services.gateway.problems import Problem
from services.gateway.reader import Stored
from services.gateway.routes.responses import problem
from services.gateway.routes.submit import IdempotencyKey
from shared.contract import streams
from shared.contract.jobs import Job, Status
from shared.contract.subjects import SCHEDULES, Kind, kind_of, parse

router = APIRouter(tags=["jobs"])

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
NOT_MODIFIED = 304
SEALED = frozenset({"sealed_password", "secret_ref"})
"""Members of payloads that are of no use outside and hint at secrets."""


Search = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Words that must all be in name, addresses or message; of an id at least five characters.",
    ),
]
Order = Annotated[Sort, Query(description="`newest` and `oldest` by when they were made, `updated` the last changed.")]
Count = Annotated[bool, Query(description="Tell `total` and `counts` too.")]
Cursor = Annotated[
    Annotated[str, Field(json_schema_extra={"format": "cursor"})] | None,
    Query(description="`next_cursor` of the page before."),
]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Leave out so many; an alternative to `cursor`.")]


@router.get("/jobs", operation_id="listJobs", summary="List jobs", response_model=JobPage, responses=problem(422))
async def list_jobs(
    request: Request,
    status: Annotated[list[Status] | None, Query(description="Only these; may be given more than once.")] = None,
    type: Kind | None = None,
    source: Annotated[str | None, Query(description="Part of the source's address.")] = None,
    target: Annotated[str | None, Query(description="Part of the address a restore goes to.")] = None,
    batch: Annotated[str | None, Query(description="Id of the batch the jobs belong to.")] = None,
    created_after: Annotated[
        datetime | None, BeforeValidator(rfc3339), Query(description="With a time zone, like 2026-11-30T12:00:00Z.")
    ] = None,
    q: Search = None,
    sort: Order = Sort.NEWEST,
    count: Count = False,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Jobs, newest first. A job accepted a moment ago may take some milliseconds to appear here."""
    edge, principal = enter(request)
    after = read_cursor(cursor, sort)
    chosen = wanted.jobs(
        principal.tenant, type=type, source=source, target=target, batch=batch, created_after=created_after, q=q
    )
    await asyncio.gather(edge.jobs.refresh(), edge.clones.refresh())
    look = Look(
        wanted=chosen,
        state=lambda job: job.status,
        states=frozenset(status or ()),
        limit=limit,
        order=ORDERS[sort],
        backwards=sort is Sort.UPDATED,
        after=after,
        offset=offset,
        count=count,
    )
    found = find(edge.jobs, look)
    more = domain.encode_cursor(found.items[-1].job_id) if found.more and sort is Sort.NEWEST else None
    answer = JobPage.model_construct(
        jobs=[views.job_summary(job, edge.clones.get(job.job_id)) for job in found.items],
        next_cursor=more,
        total=found.total,
        counts=None if found.counts is None else {each: found.counts[each] for each in Status},
    )
    return Response(answer.model_dump_json(), media_type="application/json")


ORDERS: dict[Sort, Callable[[Job], Any] | None] = {
    Sort.NEWEST: None,
    Sort.OLDEST: lambda job: domain.sort_key(job.job_id),
    Sort.UPDATED: lambda job: job.updated_at,
    Sort.NAME: lambda job: (job.name or domain.bare(job.target_url or job.source_url)).casefold(),
}


def read_cursor(cursor: str | None, sort: Sort = Sort.NEWEST) -> str | None:
    """The id after which a page begins. Raises a 422 problem for what is no cursor, or none of this order."""
    if cursor is not None and sort is not Sort.NEWEST:
        raise Problem(
            422, "invalid_request", "A cursor goes with sort=newest only.", hint="Use offset with other orders."
        )
    try:
        return None if cursor is None else domain.decode_cursor(cursor)
    except ValueError as error:
        raise Problem(422, "invalid_request", f"The cursor {error}.", hint="Begin without a cursor.") from None


@router.get(
    "/jobs/{job_id}",
    operation_id="getJob",
    summary="Look at a job",
    response_model=JobAnswer,
    responses=problem(404, also={304: {"description": "Nothing new since the ETag sent in If-None-Match"}}),
)
async def get_job(
    request: Request,
    job_id: JobId,
    if_none_match: Annotated[str | None, Header()] = None,
    prefer: Annotated[str | None, Header(description="`wait=N`: with If-None-Match, wait up to 30 s for news.")] = None,
) -> Response:
    """Where the job stands; with its result when completed, its error when failed."""
    edge, principal = enter(request)

    async def look() -> Response:
        job = await owned_job(edge, principal, job_id)
        return _answer(job, await answer_for(edge, principal, job), if_none_match=if_none_match)

    response = await look()
    seconds = waiting.wish(prefer) if response.status_code == NOT_MODIFIED else 0
    if seconds:
        async with aclosing(waiting.turns(edge, principal, job_id, seconds)) as turns:  # type: ignore[type-var]
            async for _ in turns:
                response = await look()
                if response.status_code != NOT_MODIFIED:
                    break
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response


ROUTE = router.routes[-1]


def _answer(job: Job, body: bytes, *, status: int = 200, if_none_match: str | None = None) -> Response:
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag}
    if not job.status.terminal:
        headers["Retry-After"] = "1"
    if if_none_match and etag in if_none_match:
        return Response(None, 304, headers)
    return Response(body, status, headers, media_type="application/json")


@router.get(
    "/jobs/{job_id}/story",
    operation_id="getJobStory",
    summary="Replay a job's messages",
    response_model=Story,
    responses=problem(404),
)
async def get_story(request: Request, job_id: JobId) -> Response:
    """Every message the stream holds about the job, oldest first."""
    edge, principal = enter(request)
    await owned_job(edge, principal, job_id)
    messages = [_told(stored) for stored in await edge.store.story(job_id)]
    story = Story(job_id=job_id, stream=streams.STREAMS[kind_of(job_id)], messages=messages)
    return Response(story.model_dump_json(), media_type="application/json")


def _told(stored: Stored) -> StoryMessage:
    event = parse(stored.subject)[1]
    try:
        data = json.loads(stored.data or b"{}", object_hook=_unsealed)
    except ValueError:
        data = {}
    return StoryMessage(
        seq=stored.seq,
        time=stored.time,
        type=f"{event} (scheduled)" if event in SCHEDULES else event,
        subject=stored.subject,
        headers=stored.headers,
        data=data if isinstance(data, dict) else {},
    )


def _unsealed(pairs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pairs.items() if key not in SEALED}


@router.post(
    "/jobs/{job_id}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    status_code=202,
    response_model=JobAnswer,
    responses=problem(404, 409),
)
async def cancel_job(request: Request, job_id: JobId, idempotency_key: IdempotencyKey = None) -> Response:
    """Ask that a job ends and what it half made is removed. Asking twice changes nothing."""
    edge, principal = enter(request)

    async def cancel(_: str) -> Response:
        job = await deeds.cancel(edge, asker_of(request, principal), job_id)
        return _answer(job, await answer_for(edge, principal, job), status=202)

    scope = f"{principal.tenant} POST /jobs/{job_id}/cancel"
    body = await request.body()
    return await edge.idempotency.once(idempotency_key, scope=scope, body=body, new_id=job_id, action=cancel)


@router.post(
    "/jobs/{job_id}/retry",
    operation_id="retryJob",
    summary="Try a job again",
    status_code=202,
    response_model=JobAnswer,
    responses=problem(404, 409, 415, 422, 429),
)
async def retry_job(
    request: Request, job_id: JobId, changes: RetryChanges | None = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Run a failed job again, with the login it was given; with other options if the body says so."""
    edge, principal = enter(request)
    limit = await edge.take(principal)

    async def retry(_: str) -> Response:
        job = await deeds.retry(edge, asker_of(request, principal), job_id, changes=changes)
        return _answer(job, await answer_for(edge, principal, job), status=202)

    scope = f"{principal.tenant} POST /jobs/{job_id}/retry"
    body = await request.body()
    response = await edge.idempotency.once(idempotency_key, scope=scope, body=body, new_id=job_id, action=retry)
    response.headers.update(limit)
    return response
