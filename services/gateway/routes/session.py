"""Signing in to the dashboard: an API key, or a link, is exchanged for a cookie that scripts can not read."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from starlette.responses import Response

from services.gateway import audit
from services.gateway.access import LOCAL, authenticate
from services.gateway.edge import Edge, connected, enter
from services.gateway.either import given, one_of
from services.gateway.models import Body
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from services.gateway.told import address_of
from shared.contract.api_keys import Scope
from shared.contract.events import now
from shared.contract.times import Time
from shared.secrets.api_keys import Principal
from shared.secrets.tickets import LINK_SECONDS, SESSION_SECONDS, Passes, cookies, session_cookie

router = APIRouter(tags=["live"])

PATH = "/session"


KEY_OR_LINK = one_of(given("api_key", absent=("link",)), given("link", absent=("api_key",)))


class SignIn(Body):
    """What to sign in with: a key, or a link's token."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"api_key": "sfk_…"}], **KEY_OR_LINK})

    api_key: SecretStr | None = Field(None, min_length=1, max_length=512)
    link: SecretStr | None = Field(
        None, min_length=1, max_length=512, description="What stands behind `#/enter/` in a link to the dashboard."
    )

    @model_validator(mode="after")
    def _one(self) -> SignIn:
        if (self.api_key is None) == (self.link is None):
            raise ValueError("takes either api_key or link")
        return self


class Session(BaseModel):
    """Who is signed in."""

    name: str
    tenant: str
    keys: bool = Field(description="Whether somebody is signed in with a key; who needs none is not.")
    scope: Scope
    operator: bool = Field(description="Whether it may administer the keys of every tenant.")
    key_id: str | None = Field(description="The key's id; null for a key of the file, and without one.")


class SignInLink(BaseModel):
    """An address that opens the dashboard signed in, once."""

    url: str
    expires_at: Time


@router.get(PATH, operation_id="getSession", summary="Who am I?", response_model=Session, responses=problem(401))
async def get_session(request: Request) -> Response:
    """Who calls, by key or by session."""
    edge = connected(request)
    local = None if edge.settings.keys_needed else LOCAL
    passes = Passes(edge.bus)
    return _answer(await authenticate(edge.callers, request.headers, _cookie(edge), passes, changes=False, local=local))


@router.post(
    PATH, operation_id="signIn", summary="Sign in to the dashboard", response_model=Session, responses=problem(401, 429)
)
async def sign_in(request: Request, wish: SignIn) -> Response:
    """Exchange an API key, or a link, for a session cookie (`HttpOnly`, `SameSite=Strict`). It ends after 12 hours."""
    edge = connected(request)
    await edge.sign_ins.take(f"sign-in {_neighbourhood(request)}")
    passes = Passes(edge.bus)
    if wish.link is not None:
        principal = await passes.follow_link(wish.link.get_secret_value(), edge.callers)
        told, hint = "This link has been used, or its time is up.", "Sign in with an API key."
    else:
        key = "" if wish.api_key is None else wish.api_key.get_secret_value().strip()
        principal = await edge.callers.principal(key)
        told, hint = "This API key is not valid.", "Paste it whole, as you were given it."
    if principal is None:
        raise Problem(401, "unauthenticated", told, hint=hint)
    request.state.principal = principal
    audit.caller(principal)
    response = _answer(principal)
    await begin(response, edge, principal)
    return response


@router.delete(PATH, operation_id="signOut", summary="Sign out", status_code=204, responses=problem())
async def sign_out(request: Request) -> Response:
    """End the session, everywhere. Live connections it opened are closed within seconds."""
    edge = connected(request)
    secret = cookies(request.headers.get("cookie"), _cookie(edge))
    if secret:
        passes = Passes(edge.bus)
        if principal := await passes.session(secret, edge.callers):
            audit.caller(principal)
        await passes.close(secret)
    response = Response(status_code=204)
    _set(response, edge, "", 0)
    return response


@router.post(
    f"{PATH}/links",
    operation_id="createSignInLink",
    summary="Get a link that opens the dashboard signed in",
    status_code=201,
    response_model=SignInLink,
    responses=problem(403, 409, 429),
)
async def create_link(request: Request) -> Response:
    """An address that opens the dashboard signed in with this call's key: once, within a quarter of an hour, for
    whoever comes first. The token stands behind the `#`, so no server's log has it."""
    edge, principal = enter(request)
    if not principal.key:
        raise Problem(
            409,
            "no_key",
            "This call was made without an API key, and a link signs in with the key it was asked for with.",
            hint="Where no key is needed the dashboard is open as it is.",
        )
    limit = await edge.take(principal)
    made = SignInLink(
        url=link_url(edge.settings.edge_url, await Passes(edge.bus).link(principal)),
        expires_at=now() + timedelta(seconds=LINK_SECONDS),
    )
    return Response(made.model_dump_json(), 201, limit, media_type="application/json")


def link_url(edge_url: str, link: str) -> str:
    """Where a link to the dashboard leads."""
    return f"{edge_url.rstrip('/')}/#/enter/{link}"


async def begin(response: Response, edge: Edge, principal: Principal) -> None:
    """Give the answer the cookie of a new session."""
    _set(response, edge, await Passes(edge.bus).open(principal), SESSION_SECONDS)


def by_session(request: Request, edge: Edge) -> bool:
    """Whether a call proves who it is by a session's cookie."""
    return "authorization" not in request.headers and bool(cookies(request.headers.get("cookie"), _cookie(edge)))


def _cookie(edge: Edge) -> str:
    return session_cookie(edge.settings.edge_url)


def _neighbourhood(request: Request) -> str:
    """One of 4,096 places callers are counted in: by the address the edge saw, so that strangers' addresses do not fill
    our memory."""
    return hashlib.blake2b(address_of(request.scope).encode(), digest_size=8).hexdigest()[:3]


def _answer(principal: Principal) -> Response:
    session = Session(
        name=principal.name,
        tenant=principal.tenant,
        keys=bool(principal.key),
        scope=principal.scope,
        operator=principal.operator,
        key_id=principal.id or None,
    )
    return Response(session.model_dump_json(), media_type="application/json")


def _set(response: Response, edge: Edge, value: str, seconds: int) -> None:
    response.set_cookie(
        _cookie(edge),
        value,
        max_age=seconds,
        path="/",
        secure=edge.settings.edge_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )
