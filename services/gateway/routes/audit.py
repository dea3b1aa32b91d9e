"""GET /audit: who did what."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.gateway.audit_actions import Action
from services.gateway.audit_log import AuditLog, Page, Wish
from services.gateway.edge import enter
from services.gateway.moments import Moment
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.contract.audit import Record
from shared.contract.times import Time

router = APIRouter(tags=["keys"])

LIMIT_DEFAULT, LIMIT_MAX = 100, 500


class Outcome(StrEnum):
    """How a call was answered."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


class AuditRecord(BaseModel):
    """One call that changed something, handed out something precious, or was refused."""

    id: str
    at: Time = Field(description="When it came.")
    tenant: str = Field(description="Empty for callers nobody knows.")
    key: str = Field(
        description="The API key's id, or its name in the key file; `local` where no key is needed. Of "
        "`session.refused` the id that the key shown names, which anybody can name."
    )
    name: str = Field(description="The key's name.")
    address: str = Field(description="The caller's, as the edge saw it; empty of `schedule.fire`.")
    request_id: str
    trace_id: str
    action: Action
    objects: list[str] = Field(description="Ids of what it was about; of many the first 100.")
    outcome: Outcome = Field(
        description="`done`, `refused` (4xx), `failed` (5xx), or `unknown`: it has not been answered yet, or whoever "
        "was about to died; what it asked for may have been done."
    )
    ended_at: Time | None
    status: int | None = Field(description="HTTP status of the answer.")
    code: str | None = Field(description="Error code of the answer.")
    unrecorded: int = Field(
        description="Calls that changed nothing, and were only counted since the last record of that kind: of those "
        "so many a minute are recorded."
    )


class AuditPage(BaseModel):
    """Records."""

    records: list[AuditRecord]
    next_cursor: str | None = Field(
        description="Goes on where this page ends; null: there is no more. With `after` never null: the next `after`."
    )


@router.get(
    "/audit",
    operation_id="listAudit",
    summary="See who did what",
    response_model=AuditPage,
    responses=problem(403, 422),
)
async def list_audit(
    request: Request,
    action: Annotated[list[Action] | None, Query(description="Only these.")] = None,
    outcome: Annotated[list[Outcome] | None, Query(description="Only these.")] = None,
    key: Annotated[str | None, Query(description="Only calls made with the key of this id.", max_length=100)] = None,
    object_id: Annotated[
        str | None,
        Query(alias="object", description="Only calls about the job, clone, key… of this id.", max_length=100),
    ] = None,
    tenant: Annotated[
        str | None, Query(description="Only this tenant's; operators see all by default.", max_length=100)
    ] = None,
    since: Annotated[Moment | None, Query(description="Only calls that came then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Only calls that came before.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="Newest first, from there on.")] = None,
    after: Annotated[
        str | None,
        Query(
            pattern=r"^([0-9]{1,18}|newest)$",
            description="To follow: calls that ended since, oldest first. `newest`: none yet, only where to go on.",
        ),
    ] = None,
) -> Response:
    """Calls that changed something or handed out something precious, newest first: your tenant's, or everybody's for an
    operator. Kept for a year, as long as there is room."""
    edge, principal = enter(request)
    if cursor is not None and after is not None:
        raise Problem(422, "invalid_request", "The request is not valid: it takes either cursor or after.")
    whose = tenant if principal.operator else principal.tenant
    page = Page([], None)
    if tenant is None or tenant == whose:

        def fits(record: Record) -> bool:
            return (
                (not action or record.action in action)
                and (not outcome or outcome_of(record) in outcome)
                and (key is None or record.key == key)
                and (object_id is None or object_id in record.objects)
            )

        wish = Wish(whose, fits, since, until)
        audit = AuditLog(edge.bus, timeout=edge.settings.store_timeout)
        if after == "newest":
            page = Page([], await audit.last())
        elif after is not None:
            page = await audit.after(wish, int(after), limit=limit)
        else:
            page = await audit.newest(wish, before=int(cursor) if cursor else None, limit=limit)
    shown = [_shown(record) for record in page.records]
    body = AuditPage(records=shown, next_cursor=None if page.next is None else str(page.next))
    return Response(body.model_dump_json(), media_type="application/json")


def outcome_of(record: Record) -> Outcome:
    """How a call ended."""
    if record.status is None:
        return Outcome.UNKNOWN
    return Outcome.DONE if record.status < 400 else Outcome.REFUSED if record.status < 500 else Outcome.FAILED


def _shown(record: Record) -> AuditRecord:
    return AuditRecord(**record.model_dump(), outcome=outcome_of(record))
