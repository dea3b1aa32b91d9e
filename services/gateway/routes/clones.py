"""Clones: look, extend, delete, captured mail."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from nats.errors import NoRespondersError
from pydantic import ValidationError
from starlette.responses import Response

from services.gateway import domain, views
from services.gateway.edge import CloneId, Edge, enter, owned_clone
from services.gateway.models import CloneAnswer, ClonePage, ExtendRequest, Mail, MailList
from services.gateway.problems import Problem
from services.gateway.routes.jobs import LIMIT_DEFAULT, LIMIT_MAX, read_cursor
from services.gateway.routes.responses import problem
from shared.contract.events import Expire, Extended, Message, fold_clone, now
from shared.contract.jobs import Clone, CloneState
from shared.contract.subjects import EventType, rpc

router = APIRouter(tags=["clones"])

MAIL_TIMEOUT = 3.0


@router.get(
    "/clones", operation_id="listClones", summary="List clones", response_model=ClonePage, responses=problem(422)
)
async def list_clones(
    request: Request,
    state: Annotated[list[CloneState] | None, Query(description="Only these; default: all but deleted.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Response:
    """Clones, newest first."""
    edge, principal = enter(request)
    after = read_cursor(cursor)
    states = set(state) if state else {CloneState.ACTIVE, CloneState.DELETING}
    await edge.clones.refresh()
    page: list[Clone] = []
    for _, clone in edge.clones.newest_first(after=after):
        if clone.tenant == principal.tenant and clone.state in states:
            page.append(clone)
        if len(page) > limit:
            break
    more = domain.encode_cursor(page[limit - 1].clone_id) if len(page) > limit else None
    answer = ClonePage.model_construct(clones=[views.clone_summary(clone) for clone in page[:limit]], next_cursor=more)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get(
    "/clones/{clone_id}",
    operation_id="getClone",
    summary="Look at a clone",
    response_model=CloneAnswer,
    responses=problem(404),
)
async def get_clone(request: Request, clone_id: CloneId) -> Response:
    """A clone with its login. A deleted one is still told about, without login."""
    edge, principal = enter(request)
    return _answer(edge, await owned_clone(edge, principal, clone_id))


@router.delete(
    "/clones/{clone_id}",
    operation_id="deleteClone",
    summary="Delete a clone",
    status_code=202,
    response_model=CloneAnswer,
    responses=problem(404),
)
async def delete_clone(request: Request, clone_id: CloneId) -> Response:
    """Remove a clone: database, user, files and host name. Asking twice changes nothing."""
    edge, principal = enter(request)
    clone = await owned_clone(edge, principal, clone_id)
    if clone.state is CloneState.ACTIVE:
        wish = Expire(job_id=clone_id, lane=clone.lane, reason="deleted")
        clone = await _tell(edge, clone, wish, f"{clone_id}:delete", request.state.traceparent)
    return _answer(edge, clone, 202)


@router.patch(
    "/clones/{clone_id}",
    operation_id="extendClone",
    summary="Change when a clone ends",
    response_model=CloneAnswer,
    responses=problem(404, 409, 415, 422, 429),
)
async def extend_clone(request: Request, clone_id: CloneId, wish: ExtendRequest) -> Response:
    """Give a clone more time, or less: `ttl_minutes` from now, or until `expires_at`; 30 days at most."""
    edge, principal = enter(request)
    limit = await edge.limit.take(principal.tenant)
    clone = await owned_clone(edge, principal, clone_id)
    if not domain.may_extend(clone):
        raise Problem(409, "clone_gone", f"The clone is {clone.state}.", hint="Clone the site again.")
    try:
        at = domain.expiry(now(), ttl_minutes=wish.ttl_minutes, expires_at=wish.expires_at)
    except ValueError as error:
        raise Problem(422, "invalid_request", f"The request is not valid: {error}.") from None
    # the schedule first: were the event first and the schedule lost, the clone would end earlier than was promised
    end = Expire(job_id=clone_id, lane=clone.lane)
    await edge.bus.schedule(end, slot=EventType.SCHEDULE_EXPIRE, at=at)
    told = Extended(job_id=clone_id, lane=clone.lane, expires_at=at)
    clone = await _tell(edge, clone, told, None, request.state.traceparent)
    response = _answer(edge, clone)
    response.headers.update(limit)
    return response


@router.get(
    "/clones/{clone_id}/mail",
    operation_id="listCloneMail",
    summary="Read captured mail",
    response_model=MailList,
    responses=problem(404),
)
async def list_mail(request: Request, clone_id: CloneId) -> Response:
    """Mail the clone wanted to send. It never left."""
    edge, principal = enter(request)
    await owned_clone(edge, principal, clone_id)
    mails = MailList.model_construct(mails=await _mails(edge, clone_id))
    return Response(mails.model_dump_json(), media_type="application/json")


@router.get(
    "/clones/{clone_id}/mail/{mail_id}",
    operation_id="getCloneMail",
    summary="Read one captured mail",
    response_model=Mail,
    responses=problem(404),
)
async def get_mail(request: Request, clone_id: CloneId, mail_id: str) -> Response:
    """One captured mail."""
    edge, principal = enter(request)
    await owned_clone(edge, principal, clone_id)
    for mail in await _mails(edge, clone_id):
        if mail.id == mail_id:
            return Response(mail.model_dump_json(), media_type="application/json")
    raise Problem(404, "mail_not_found", "This clone has captured no such mail.")


async def _mails(edge: Edge, clone_id: str) -> list[Mail]:
    """Asks the cloner, who can see the clone's directory."""
    question = json.dumps({"clone_id": clone_id}).encode()
    try:
        reply = await edge.bus.nc.request(rpc("cloner", "mail"), question, timeout=MAIL_TIMEOUT)
    except (NoRespondersError, TimeoutError):
        raise Problem(
            503,
            "cloner_unavailable",
            "No cloner answers, and only it can read captured mail.",
            hint="Try again when the cloner runs.",
            headers={"Retry-After": "5"},
        ) from None
    try:
        return MailList.model_validate_json(reply.data).mails
    except ValidationError:
        raise Problem(404, "mail_not_found", "The mail of this clone can not be read.") from None


async def _tell(edge: Edge, clone: Clone, message: Message, msg_id: str | None, traceparent: str) -> Clone:
    """Publish a wish about a clone; the clone as it is after it."""
    ack = await edge.bus.publish(message, msg_id=msg_id, headers={"traceparent": traceparent}, tries=1)
    edge.store.wrote(clone.clone_id, ack.seq)
    return fold_clone(clone, message, ack.seq) or clone


def _answer(edge: Edge, clone: Clone, status: int = 200) -> Response:
    body = views.clone_answer(clone, edge.keys).model_dump_json()
    return Response(body, status, media_type="application/json")
