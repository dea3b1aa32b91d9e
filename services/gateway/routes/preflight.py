"""POST /preflight: a look at a site before it is cloned."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from pydantic import ConfigDict, field_validator, model_validator
from starlette.responses import Response

from services.gateway import cloner, domain
from services.gateway.edge import Edge, enter
from services.gateway.either import WHOLE_LOGIN_OR_NONE
from services.gateway.models import BasicAuth, Body, LoginUrl, Password, SourceUrl, Username, doors
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.contract.preflight import PURPOSE, SECONDS, Preview, Question, Reply

router = APIRouter(tags=["clone"])

PATIENCE = SECONDS + 2
"""Seconds the cloner gets, the way included."""


class PreflightRequest(Body):
    """Which site to look at; with a login, whether it works."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"source_url": "https://shop.example.com"},
                {"source_url": "https://shop.example.com", "username": "admin", "password": "…"},
            ],
            **WHOLE_LOGIN_OR_NONE,
        }
    )

    source_url: SourceUrl
    username: Username | None = None
    password: Password | None = None
    login_url: LoginUrl | None = None
    basic_auth: BasicAuth | None = None

    @field_validator("source_url")
    @classmethod
    def _site(cls, value: str) -> str:
        return domain.normalise_source(value)

    @model_validator(mode="after")
    def _whole_login(self) -> PreflightRequest:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together: one of them is missing")
        return self


@router.post(
    "/preflight",
    operation_id="preflight",
    summary="Look at a site before cloning it",
    response_model=Preview,
    responses=problem(415, 422, 429),
)
async def preflight(request: Request, wish: PreflightRequest) -> Response:
    """Whether the site answers, is WordPress and can be signed in to. Reads only, stores nothing, 10 s at most.

    With `username` and `password` the login is tried once, as a clone would, and signed out again.
    """
    edge, principal = enter(request)
    limit = await edge.take(principal)
    preview = await _ask(edge, Question(source_url=wish.source_url, sealed=_sealed(edge, wish)))
    return Response(preview.model_dump_json(), headers=limit, media_type="application/json")


def _sealed(edge: Edge, wish: PreflightRequest) -> str | None:
    secret = doors(wish.login_url, wish.basic_auth)
    if wish.username is not None and wish.password is not None:
        secret |= {"username": wish.username, "password": wish.password.get_secret_value()}
    return edge.keys.seal(json.dumps(secret), purpose=PURPOSE) if secret else None


async def _ask(edge: Edge, question: Question) -> Preview:
    reply = await cloner.ask(edge, "preflight", question, Reply, seconds=PATIENCE)
    if reply is None:
        hint = "Try again when the cloner runs. A site can be cloned without a look at it."
        raise cloner.away("can look at a site", hint=hint)
    if reply.preview is None:
        raise Problem(
            503,
            "preflight_busy",
            "Too many sites are being looked at.",
            hint="Try again in a moment. A site can be cloned without a look at it.",
            headers={"Retry-After": "2"},
        )
    return reply.preview
