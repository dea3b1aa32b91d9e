"""POST /clone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from pydantic import ValidationError
from starlette.responses import Response

from services.gateway import domain, metrics, views
from services.gateway.access import Principal
from services.gateway.edge import Edge, enter
from services.gateway.models import Accepted, CloneRequest
from services.gateway.problems import Problem, validation
from services.gateway.routes.responses import problem
from shared.events import CloneRequested
from shared.ids import new_id
from shared.jobs import Status
from shared.subjects import Lane

router = APIRouter(tags=["clone"])

PATH = "/clone"
IDEMPOTENCY = "The same key and body get the same answer for a day, however often they are sent."
IdempotencyKey = Annotated[str | None, Header(description=IDEMPOTENCY)]
ACCEPTED_HEADERS = {
    "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until it is worth looking.", "schema": {"type": "integer"}},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{CloneRequest.__name__}"}}},
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "maxLength": 255},
            "description": IDEMPOTENCY,
        }
    ],
}
"""Described by hand, because the route reads its body itself."""


@router.post(
    PATH,
    operation_id="requestClone",
    summary="Clone a site",
    openapi_extra=BODY,
    status_code=202,
    response_model=Accepted,
    responses=problem(
        403,
        409,
        415,
        422,
        429,
        also={202: {"description": "Stored; a worker will take it", "headers": ACCEPTED_HEADERS}},
    ),
)
async def request_clone(request: Request) -> Response:
    """Ask for a clone of a WordPress site. Answers at once; the job's address tells how it goes."""
    # The hot path: parameters of its own would cost this route a quarter of its time in FastAPI.
    edge, principal = enter(request)
    body = await request.body()
    wish = _parse(body)
    lane = domain.lane_for(wish.priority, principal.lane)
    if lane is None:
        raise Problem(
            403, "priority_not_allowed", "This API key may not use that priority.", hint="Ask for a lower one."
        )
    chosen = lane
    limit = await edge.limit.take(principal.tenant)

    async def accept(job_id: str) -> Response:
        return await _accept(edge, principal, wish, job_id, chosen, request.state.traceparent)

    response = await edge.idempotency.once(
        request.headers.get("idempotency-key"),
        scope=f"{principal.tenant} POST /clone",
        body=body,
        new_id=new_id("clone"),
        action=accept,
    )
    response.headers.update(limit)
    return response


ROUTE = router.routes[-1]


def _parse(body: bytes) -> CloneRequest:
    try:
        return CloneRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise validation(found) from None


async def _accept(
    edge: Edge, principal: Principal, wish: CloneRequest, job_id: str, lane: Lane, traceparent: str
) -> Response:
    """Store the secret, then the command: a worker that sees the command finds the secret."""
    command = CloneRequested(
        job_id=job_id,
        lane=lane,
        source_url=wish.source_url,
        secret_ref=job_id,
        ttl_minutes=wish.ttl_minutes,
        name=wish.name,
        tenant=principal.tenant,
        options=wish.options,
    )
    await edge.vault.put(job_id, wish.credentials())
    await edge.bus.publish(
        command,
        msg_id=f"{job_id}:requested",
        headers={"traceparent": traceparent},
        tries=1,
        via=edge.commands.publish,
    )
    metrics.SUBMITTED.labels("clone", lane).inc()
    accepted = Accepted(job_id=job_id, status=Status.PENDING, status_url=f"/jobs/{job_id}", links=views.links(job_id))
    return Response(
        accepted.model_dump_json(),
        202,
        {"Location": f"/jobs/{job_id}", "Retry-After": "1"},
        media_type="application/json",
    )
