"""POST /tickets: a short-lived text that opens one live connection, where the API key itself must not go."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.gateway.edge import enter, owned_job
from services.gateway.models import Body
from services.gateway.routes.responses import problem
from shared.secrets.tickets import TICKET_SECONDS, Passes

router = APIRouter(tags=["live"])

JOBS_MOST = 50
"""As many as one connection may watch."""


class TicketRequest(Body):
    """What the ticket shall be good for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"jobs": ["clone-0k3v9x2m7c1p5t8w"]}]})

    jobs: list[str] | None = Field(
        None, min_length=1, max_length=JOBS_MOST, description="Only these jobs; default: every job of the tenant."
    )


class Ticket(BaseModel):
    """A ticket: good for one connection, shown within its time."""

    ticket: str = Field(description="Offer it as WebSocket sub-protocol `ticket.<ticket>`, or send it in `hello`.")
    expires_in: int = Field(description="Seconds it may be shown.")


@router.post(
    "/tickets",
    operation_id="createTicket",
    summary="Get a ticket for a live connection",
    status_code=201,
    response_model=Ticket,
    responses=problem(404, 415, 422, 429),
)
async def create_ticket(request: Request, wish: TicketRequest | None = None) -> Response:
    """A text that opens one live connection, once, within a minute. A browser's own scripts may hold it."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    jobs = None if wish is None else wish.jobs
    for job_id in jobs or []:
        await owned_job(edge, principal, job_id)
    ticket = await Passes(edge.bus).issue(principal, jobs)
    body = Ticket(ticket=ticket, expires_in=TICKET_SECONDS).model_dump_json()
    return Response(body, 201, limit, media_type="application/json")
