"""Clones: look, extend, delete, captured mail."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from nats.errors import NoRespondersError
from pydantic import ValidationError
from starlette.responses import Response

from services.gateway import cloner, deeds, domain, views, wanted
from services.gateway.access import Principal
from services.gateway.deeds import asker_of
from services.gateway.edge import CloneId, Edge, enter, keys_for, owned_clone
from services.gateway.listing import Look, Sort, find
from services.gateway.models import CloneAnswer, ClonePage
from services.gateway.models_clones import ExtendRequest
from services.gateway.models_mail import Mail, MailList
from services.gateway.problems import Problem
from services.gateway.routes.jobs import LIMIT_DEFAULT, LIMIT_MAX, Count, Cursor, Offset, Search, read_cursor
from services.gateway.routes.responses import problem
from shared.contract.events import now
from shared.contract.jobs import Clone, CloneState
from shared.contract.subjects import rpc

router = APIRouter(tags=["clones"])

MAIL_TIMEOUT = 3.0


class CloneSort(StrEnum):
    """Orders of clones."""

    NEWEST = "newest"
    OLDEST = "oldest"
    ENDS = "ends"
    NAME = "name"


@router.get(
    "/clones", operation_id="listClones", summary="List clones", response_model=ClonePage, responses=problem(422)
)
async def list_clones(
    request: Request,
    state: Annotated[list[CloneState] | None, Query(description="Only these; default: all but deleted.")] = None,
    q: Search = None,
    sort: Annotated[
        CloneSort, Query(description="`ends`: those whose time is up soonest come first.")
    ] = CloneSort.NEWEST,
    count: Count = False,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Clones, newest first."""
    edge, principal = enter(request)
    after = read_cursor(cursor, Sort.NEWEST if sort is CloneSort.NEWEST else Sort.OLDEST)
    await edge.clones.refresh()
    look = Look(
        wanted=wanted.clones(principal.tenant, q=q),
        state=lambda clone: clone.state,
        states=frozenset(state or (CloneState.ACTIVE, CloneState.DELETING)),
        limit=limit,
        order=ORDERS[sort],
        after=after,
        offset=offset,
        count=count,
    )
    found = find(edge.clones, look)
    more = domain.encode_cursor(found.items[-1].clone_id) if found.more and sort is CloneSort.NEWEST else None
    answer = ClonePage.model_construct(
        clones=[views.clone_summary(clone) for clone in found.items],
        next_cursor=more,
        total=found.total,
        counts=None if found.counts is None else {each: found.counts[each] for each in CloneState},
    )
    return Response(answer.model_dump_json(), media_type="application/json")


FOREVER = datetime.max.replace(tzinfo=UTC)
ORDERS: dict[CloneSort, Callable[[Clone], Any] | None] = {
    CloneSort.NEWEST: None,
    CloneSort.OLDEST: lambda clone: domain.sort_key(clone.clone_id),
    CloneSort.ENDS: lambda clone: clone.expires_at or FOREVER,
    CloneSort.NAME: lambda clone: (clone.name or domain.bare(clone.source_url)).casefold(),
}


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
    return _answer(edge, principal, await owned_clone(edge, principal, clone_id))


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
    return _answer(edge, principal, await deeds.delete(edge, asker_of(request, principal), clone_id), 202)


def until(wish: ExtendRequest) -> datetime:
    """When a clone shall end. Raises a 422 problem when that is too soon or too far."""
    try:
        return domain.expiry(now(), ttl_minutes=wish.ttl_minutes, expires_at=wish.expires_at)
    except ValueError as error:
        raise Problem(422, "invalid_request", f"The request is not valid: {error}.") from None


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
    limit = await edge.take(principal)
    clone = await deeds.extend(edge, asker_of(request, principal), clone_id, until(wish))
    response = _answer(edge, principal, clone)
    response.headers.update(limit)
    return response


@router.get(
    "/clones/{clone_id}/mail",
    operation_id="listCloneMail",
    summary="Read captured mail",
    response_model=MailList,
    responses=problem(404, 409),
)
async def list_mail(request: Request, clone_id: CloneId) -> Response:
    """Mail the clone wanted to send. It never left."""
    edge, principal = enter(request)
    _with_mail(await owned_clone(edge, principal, clone_id))
    mails = MailList.model_construct(mails=await _mails(edge, clone_id))
    return Response(mails.model_dump_json(), media_type="application/json")


@router.get(
    "/clones/{clone_id}/mail/{mail_id}",
    operation_id="getCloneMail",
    summary="Read one captured mail",
    response_model=Mail,
    responses=problem(404, 409),
)
async def get_mail(request: Request, clone_id: CloneId, mail_id: str) -> Response:
    """One captured mail."""
    edge, principal = enter(request)
    _with_mail(await owned_clone(edge, principal, clone_id))
    for mail in await _mails(edge, clone_id):
        if mail.id == mail_id:
            return Response(mail.model_dump_json(), media_type="application/json")
    raise Problem(404, "mail_not_found", "This clone has captured no such mail.")


def _with_mail(clone: Clone) -> None:
    """Raises a 409 problem when the clone's mail went with it."""
    if clone.state is CloneState.DELETED:
        raise Problem(409, "clone_gone", "The clone is deleted, and its mail with it.", hint="Clone the site again.")


async def _mails(edge: Edge, clone_id: str) -> list[Mail]:
    """Asks the cloner, who can see the clone's directory."""
    question = json.dumps({"clone_id": clone_id}).encode()
    try:
        reply = await edge.bus.nc.request(rpc("cloner", "mail"), question, timeout=MAIL_TIMEOUT)
    except (NoRespondersError, TimeoutError):
        raise cloner.away("can read captured mail") from None
    try:
        return MailList.model_validate_json(reply.data).mails
    except ValidationError:
        raise Problem(404, "mail_not_found", "The mail of this clone can not be read.") from None


def _answer(edge: Edge, principal: Principal, clone: Clone, status: int = 200) -> Response:
    body = views.clone_answer(clone, keys_for(edge, principal)).model_dump_json()
    return Response(body, status, media_type="application/json")
