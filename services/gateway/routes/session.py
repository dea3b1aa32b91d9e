"""Signing in to the dashboard: an API key is exchanged for a cookie that scripts can not read."""

from __future__ import annotations

import hashlib

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, SecretStr
from starlette.responses import Response

from services.gateway import problems
from services.gateway.access import LOCAL, Keys, authenticate
from services.gateway.edge import Edge
from services.gateway.limits import RateLimit
from services.gateway.models import Body
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.secrets.tickets import SESSION_SECONDS, Passes, cookies, session_cookie

router = APIRouter(tags=["live"])

PATH = "/session"
TRIES_PER_MINUTE = 10
"""Sign-ins from one address, over all replicas. Keys are long and random: this is about load, not about luck."""


class SignIn(Body):
    """The key to sign in with."""

    api_key: SecretStr = Field(min_length=1, max_length=512)


class Session(BaseModel):
    """Who is signed in."""

    name: str
    tenant: str
    keys: bool = Field(description="Whether this installation has API keys; without them nobody signs in.")


@router.get(PATH, operation_id="getSession", summary="Who am I?", response_model=Session, responses=problem(401))
async def get_session(request: Request) -> Response:
    """Who calls, by key or by session."""
    keys, edge = _keys(request), _edge(request)
    principal = await authenticate(keys, request.headers, _cookie(edge), Passes(edge.bus), changes=False)
    return _answer(Session(name=principal.name, tenant=principal.tenant, keys=keys is not None))


@router.post(
    PATH, operation_id="signIn", summary="Sign in to the dashboard", response_model=Session, responses=problem(401, 429)
)
async def sign_in(request: Request, wish: SignIn) -> Response:
    """Exchange an API key for a session cookie (`HttpOnly`, `SameSite=Strict`). It ends after 12 hours."""
    keys, edge = _keys(request), _edge(request)
    if keys is None:
        return _answer(Session(name=LOCAL.name, tenant=LOCAL.tenant, keys=False))
    await _limit(edge).take(f"sign-in {_neighbourhood(request)}")
    principal = keys.principal(wish.api_key.get_secret_value().strip())
    if principal is None:
        raise Problem(
            401, "unauthenticated", "This API key is not valid.", hint="Paste it whole, as you were given it."
        )
    secret = await Passes(edge.bus).open(principal)
    response = _answer(Session(name=principal.name, tenant=principal.tenant, keys=True))
    _set(response, edge, secret, SESSION_SECONDS)
    return response


@router.delete(PATH, operation_id="signOut", summary="Sign out", status_code=204, responses=problem())
async def sign_out(request: Request) -> Response:
    """End the session, everywhere. Live connections it opened are closed within seconds."""
    edge = _edge(request)
    secret = cookies(request.headers.get("cookie"), _cookie(edge))
    if secret:
        await Passes(edge.bus).close(secret)
    response = Response(status_code=204)
    _set(response, edge, "", 0)
    return response


def _edge(request: Request) -> Edge:
    edge: Edge | None = request.app.state.edge
    if edge is None or not edge.bus.nc.is_connected:
        raise problems.unavailable()
    return edge


def _keys(request: Request) -> Keys | None:
    keys: Keys | None = request.state.keys
    return keys


def _cookie(edge: Edge) -> str:
    return session_cookie(edge.settings.edge_url)


def _limit(edge: Edge) -> RateLimit:
    if edge.sign_ins is None:
        edge.sign_ins = RateLimit(edge.bus, per_minute=TRIES_PER_MINUTE, burst=TRIES_PER_MINUTE)
    return edge.sign_ins


def _neighbourhood(request: Request) -> str:
    """One of 4,096 places callers are counted in: by the address the edge saw, so that strangers' addresses do not fill
    our memory. The edge writes X-Forwarded-For anew; without one in front, the connection's own address counts."""
    told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    address = told or (request.client.host if request.client else "")
    return hashlib.blake2b(address.encode(), digest_size=8).hexdigest()[:3]


def _answer(session: Session) -> Response:
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
