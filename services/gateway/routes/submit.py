"""POST /clone, and what all submissions share."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from services.gateway import domain, metrics, sync, views
from services.gateway.access import Principal
from services.gateway.edge import Edge, enter
from services.gateway.idempotency import KEY_MAX
from services.gateway.models import Accepted, CloneRequest, JobAnswer
from services.gateway.problems import Problem, validation
from services.gateway.routes.responses import Responses, problem
from services.gateway.schedules.record import Wish
from shared.contract.events import CloneRequested, Command
from shared.contract.jobs import Status
from shared.contract.subjects import Lane
from shared.ids import new_id

router = APIRouter(tags=["clone"])

Asked = TypeVar("Asked", bound=BaseModel)

PATH = "/clone"
IDEMPOTENCY = "The same key and body get the same answer for a day, however often they are sent."
IdempotencyKey = Annotated[
    str | None, Header(description=IDEMPOTENCY, json_schema_extra={"minLength": 1, "maxLength": KEY_MAX})
]
"""Its limits are checked where it is used, on the short way too."""
CLONE_SCOPE = "{} POST /clone"
Async = Annotated[
    bool | None,
    Query(alias="async", description="`false`: answer when the job has ended (200), or 202 when that takes too long."),
]
ACCEPTED_HEADERS = {
    "Location": {"description": "Where the job is.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until it is worth looking.", "schema": {"type": "integer"}},
}
STORED: Responses = {202: {"description": "Stored; a worker will take it", "headers": ACCEPTED_HEADERS}}
WAITED: Responses = {
    200: {
        "description": "Asked to wait, and the job has ended: `status` says how",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{JobAnswer.__name__}"}}},
    }
}


def described(body: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a route that reads its body itself."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}},
        },
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "maxLength": KEY_MAX, "pattern": r"\S"},
                "description": IDEMPOTENCY,
            },
        ],
    }


def waits(description: dict[str, Any]) -> dict[str, Any]:
    """The description of a submission that can be asked to wait for its job."""
    prefer = {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string"},
        "description": "`respond-async`, `wait=N` (RFC 7240): answer at once, or once the job has ended.",
    }
    return {**description, "parameters": [*description["parameters"], prefer]}


BODY = described(CloneRequest)


@router.post(
    PATH,
    operation_id="requestClone",
    summary="Clone a site",
    openapi_extra=waits(BODY),
    status_code=202,
    response_model=Accepted,
    responses=problem(403, 409, 415, 422, 429, also=STORED | WAITED),
)
async def request_clone(request: Request, wanted: Async = None) -> Response:
    """Ask for a clone of a WordPress site. Answers at once; the job's address tells how it goes.

    With `async=false`, or `Prefer: wait=N`, it answers with the job once that has ended (200), if it does in time.
    """
    edge, principal = enter(request)
    response = await submit_clone(request, edge, principal, request.headers.get("idempotency-key"))
    return await sync.answered(edge, principal, response, request.headers, wanted)


async def submit_clone(request: Request, edge: Edge, principal: Principal, key: str | None) -> Response:
    """Store the wish for a clone. Answers 202, or what it answered to the same key before."""
    body = await request.body()
    wish = parsed(CloneRequest, body)
    lane = allowed_lane(wish.priority, principal)
    limit = await edge.take(principal)

    async def accept(job_id: str) -> Response:
        command = clone_command(wish, job_id, lane, principal)
        return await store(edge, command, wish.credentials(), request.state.traceparent)

    response = await edge.idempotency.once(
        key,
        scope=CLONE_SCOPE.format(principal.tenant),
        body=body,
        new_id=new_id("clone"),
        action=accept,
    )
    response.headers.update(limit)
    return response


ROUTE = router.routes[-1]


def clone_command(
    wish: CloneRequest | Wish, job_id: str, lane: Lane, principal: Principal, *, schedule_id: str | None = None
) -> CloneRequested:
    """The command of one clone; its login waits in the vault under the job's id."""
    return CloneRequested(
        job_id=job_id,
        lane=lane,
        source_url=wish.source_url,
        secret_ref=job_id,
        ttl_minutes=wish.ttl_minutes,
        name=wish.name,
        tenant=principal.tenant,
        schedule_id=schedule_id,
        **principal.share,
        options=wish.options,
    )


def parsed(model: type[Asked], body: bytes) -> Asked:
    """The body of a request. Raises a 422 problem that names what is wrong, 400 when it is no JSON."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise validation(found) from None


def allowed_lane(wanted: Lane | None, principal: Principal) -> Lane:
    """The lane a submission gets. Raises a 403 problem when its key may not use the one it asks for."""
    lane = domain.lane_for(wanted, principal.lane)
    if lane is None:
        raise Problem(
            403, "priority_not_allowed", "This API key may not use that priority.", hint="Ask for a lower one."
        )
    return lane


async def store(edge: Edge, command: Command, secret: dict[str, Any] | None, traceparent: str) -> Response:
    """Store the secret, then the command: a worker that sees the command finds the secret. Answers 202.

    Without a secret, because it is lost, the job is there to say so.
    """
    job_id = command.job_id
    if secret is not None:
        await edge.vault.put(command.secret_ref, secret)
    await edge.bus.publish(
        command,
        msg_id=f"{job_id}:requested",
        headers={"traceparent": traceparent},
        tries=1,
        via=edge.commands.publish if command.kind == "clone" else None,  # a group is of one stream
    )
    metrics.SUBMITTED.labels(command.kind, command.lane).inc()
    accepted = Accepted(job_id=job_id, status=Status.PENDING, status_url=f"/jobs/{job_id}", links=views.links(job_id))
    return Response(
        accepted.model_dump_json(),
        202,
        {"Location": f"/jobs/{job_id}", "Retry-After": "1"},
        media_type="application/json",
    )
