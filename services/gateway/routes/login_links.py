"""POST /clones/{id}/login-link: an address that signs in to a clone's wp-admin, once."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.gateway import cloner
from services.gateway.edge import CloneId, Edge, active_clone, enter
from services.gateway.models import Body
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.contract.login_link import Question, Reply
from shared.contract.times import Time

router = APIRouter(tags=["clones"])

PATIENCE = 30.0
"""Seconds; the clone's PHP is asked, and a machine may be busy."""
LONGEST_USER = 200


class LoginLinkRequest(Body):
    """Whom the link signs in."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"user": "editor"}]})

    user: str | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_USER,
        description="Login name or e-mail address of one of the clone's users; default: the clone's administrator.",
    )


class LoginLink(BaseModel):
    """An address that signs in once."""

    url: str = Field(description="Open it in a browser within its time; it works once. Whoever has it may use it.")
    username: str = Field(description="Whom it signs in.")
    expires_at: Time


@router.post(
    "/clones/{clone_id}/login-link",
    operation_id="createLoginLink",
    summary="Get a link that signs in to a clone",
    status_code=201,
    response_model=LoginLink,
    responses=problem(404, 409, 415, 422, 429),
)
async def create_login_link(request: Request, clone_id: CloneId, wish: LoginLinkRequest | None = None) -> Response:
    """An address that signs in to the clone's wp-admin, once, within a minute: as its administrator, or as another of
    its users. Production never believes it."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    clone = await active_clone(edge, principal, clone_id)
    user = (wish and wish.user) or clone.username
    reply = await _asked(edge, Question(clone_id=clone_id, user=user))
    if reply.ends is None:
        raise _away()
    url = f"{clone.admin_url.removesuffix('wp-admin/')}wp-login.php?{reply.query}"
    link = LoginLink(url=url, username=reply.login, expires_at=reply.ends)
    return Response(link.model_dump_json(), 201, limit, media_type="application/json")


async def _asked(edge: Edge, question: Question) -> Reply:
    reply = await cloner.ask(edge, "login", question, Reply, seconds=PATIENCE)
    if reply is None:
        raise _away()
    if reply.refused == "user_not_found":
        raise Problem(
            404,
            "user_not_found",
            "The clone has no user of this name.",
            hint="Give the login name or the e-mail address as the clone's wp-admin shows it under Users.",
        )
    if reply.refused == "clone_silent":
        raise Problem(
            409,
            "clone_silent",
            f"The clone's WordPress does not start, so nobody can be signed in: {reply.words or 'it said nothing'}",
            hint="Look at the clone's pages; delete the clone and make another one when it can not be mended.",
        )
    if reply.refused:
        raise _away()
    return reply


def _away() -> Problem:
    hint = "Try again in a moment, or sign in with the clone's user name and password."
    return cloner.away("can make a login link", hint=hint)
