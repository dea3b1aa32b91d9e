"""API keys: make, list, rotate, revoke."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.gateway.edge import Edge, enter
from services.gateway.either import needs, not_both
from services.gateway.exact import WHOLE, Switch
from services.gateway.key_rules import check_power, may_see
from services.gateway.key_store import Kept, Page, state_of
from services.gateway.key_uses import last_uses
from services.gateway.models import FILLED, Body, Text
from services.gateway.moments import Moment
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from services.gateway.routes.session import begin, by_session
from shared.contract.api_keys import KEY_ID, ApiKey, Scope, new_key_id, new_token
from shared.contract.events import now
from shared.contract.subjects import Lane
from shared.contract.times import Time
from shared.printable import one_line
from shared.secrets.api_keys import Principal, digest

router = APIRouter(tags=["keys"])

OVERLAP_MAX = 7 * 24 * 60
LIMIT_DEFAULT, LIMIT_MAX = 100, 500
LONGEST_DAYS = 3650
Id = Annotated[str, Path(description="The key's id.", pattern=f"^{KEY_ID.pattern}$")]


def _printable(text: str) -> str:
    if text != one_line(text) or not text.isprintable():
        raise ValueError("must be one line of characters that can be seen")
    return text


Name = Annotated[
    Text,
    Field(min_length=1, max_length=80, description="For people.", json_schema_extra={"format": "one-line", **FILLED}),
    AfterValidator(_printable),
]
Tenant = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Whose jobs and clones it sees; default: your own. Another one's is for operators.",
    ),
]


class KeyState(StrEnum):
    """What a key is good for."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyRequest(Body):
    """A key to be made. What it may is at most what the key may that it is made with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "CI of the shop", "scope": "submit", "expires_in_days": 90}],
            "allOf": [
                not_both("expires_in_days", "expires_at"),
                needs("operator", True, scope={"const": Scope.ADMIN.value}),
            ],
        }
    )

    name: Name
    tenant: Tenant | None = None
    scope: Scope = Field(
        Scope.SUBMIT,
        description="`read` looks, and sees no password; `submit` clones, restores, deletes; `admin` manages the "
        "tenant's keys and reads the audit log. Each includes those before it.",
    )
    operator: Switch = Field(False, description="An administrator of every tenant's keys; needs scope `admin`.")
    lane: Lane | None = Field(None, description="The best priority it may ask for; default: that of your own key.")
    rate_per_minute: Annotated[int, Field(ge=1, le=100_000), WHOLE] | None = Field(
        None, description="Changes a minute, within what its tenant may; default: your own key's."
    )
    slots: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = Field(
        None, description="Its jobs of a kind that run at the same time; default: your own key's."
    )
    expires_in_days: Annotated[int, Field(ge=1, le=LONGEST_DAYS), WHOLE] | None = Field(
        None, description="Or `expires_at`; default: never."
    )
    expires_at: Moment | None = None


class RotateRequest(Body):
    """How to change a key's secret."""

    overlap_minutes: Annotated[int, Field(ge=0, le=OVERLAP_MAX), WHOLE] = Field(
        0, description="Minutes the old secret stays good; 0: it ends at once."
    )


class Key(BaseModel):
    """An API key, without its secret."""

    id: str
    name: str
    tenant: str
    scope: Scope
    operator: bool
    lane: Lane | None
    rate_per_minute: int | None
    slots: int | None
    state: KeyState
    created_at: Time
    created_by: str = Field(description="Id of the key it was made with; `local` without one.")
    rotated_at: Time | None
    old_secret_until: Time | None = Field(description="Until when the secret before the last rotation is good.")
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None = Field(None, description="To about five minutes; null: never.")


class NewKey(Key):
    """A key with its secret, which is not shown again."""

    secret: str = Field(description="Send it as `Authorization: Bearer <secret>`.")


class KeyPage(BaseModel):
    """Keys, in the order in which they were last changed."""

    keys: list[Key]
    next_cursor: str | None


@router.post(
    "/keys",
    operation_id="createKey",
    summary="Make an API key",
    status_code=201,
    response_model=NewKey,
    responses=problem(403, 415, 422, 429),
)
async def create_key(request: Request, wish: KeyRequest) -> Response:
    """Make a key. The answer has its secret; keep it, it is not shown again."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    key, secret = _made(principal, wish)
    if not may_see(principal, key):
        raise Problem(
            403,
            "tenant_not_allowed",
            "This key makes keys for its own tenant only.",
            hint="Leave out tenant, or ask an operator.",
        )
    check_power(principal, key)
    await edge.key_store.create(key)
    headers = {"Location": f"/keys/{key.id}", **limit}
    return Response(_with_secret(key, secret), 201, headers, media_type="application/json")


@router.get("/keys", operation_id="listKeys", summary="List API keys", response_model=KeyPage, responses=problem(403))
async def list_keys(
    request: Request,
    state: Annotated[list[KeyState] | None, Query(description="Only these; default: all but revoked.")] = None,
    tenant: Annotated[str | None, Query(description="Only this tenant's; operators see all by default.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$")] = None,
) -> Response:
    """Keys of your tenant, or of all for an operator. Never a secret."""
    edge, principal = enter(request)
    whose = tenant if principal.operator else principal.tenant
    at, states = now(), set(state or (KeyState.ACTIVE, KeyState.EXPIRED))
    page = Page([], None)
    if tenant is None or tenant == whose:
        page = await edge.key_store.page(
            whose, lambda key: state_of(key, at) in states, after=int(cursor or 0), limit=limit
        )
    used = await last_uses(edge.bus.nc, [key.id for key in page.keys], timeout=edge.settings.store_timeout)
    shown = [_shown(key, at, used.get(key.id)) for key in page.keys]
    body = KeyPage(keys=shown, next_cursor=None if page.next is None else str(page.next))
    return Response(body.model_dump_json(), media_type="application/json")


@router.get(
    "/keys/{key_id}",
    operation_id="getKey",
    summary="Look at an API key",
    response_model=Key,
    responses=problem(403, 404),
)
async def get_key(request: Request, key_id: Id) -> Response:
    """One key, without its secret."""
    edge, principal = enter(request)
    key = (await _owned(edge, principal, key_id)).key
    used = await last_uses(edge.bus.nc, [key.id], timeout=edge.settings.store_timeout)
    return Response(_shown(key, now(), used.get(key.id)).model_dump_json(), media_type="application/json")


@router.post(
    "/keys/{key_id}/rotate",
    operation_id="rotateKey",
    summary="Change an API key's secret",
    response_model=NewKey,
    responses=problem(403, 404, 409, 415, 422, 429),
)
async def rotate_key(request: Request, key_id: Id, wish: RotateRequest | None = None) -> Response:
    """Give a key a new secret. The old one ends, and with it sessions and connections it opened, at once or after
    `overlap_minutes`. Of two who rotate a key at the same time one gets 409."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    kept = await _owned(edge, principal, key_id)
    key, at = kept.key, now()
    check_power(principal, key)
    if not key.lives(at):
        raise Problem(409, "key_gone", f"The key is {state_of(key, at)}.", hint="Make another one.")
    secret = new_token(key.id)
    overlap = timedelta(minutes=0 if wish is None else wish.overlap_minutes)
    changed = key.model_copy(
        update={
            "digest": digest(secret),
            "old_digest": key.digest if overlap else None,
            "old_until": at + overlap if overlap else None,
            "rotated_at": at,
        }
    )
    await edge.key_store.change(kept, changed)
    response = Response(_with_secret(changed, secret), 200, limit, media_type="application/json")
    if key.id == principal.id and by_session(request, edge):  # or who reads the new secret is signed out before
        await begin(response, edge, Principal(key.name, key.tenant, key=f"{key.id}:{changed.digest}"))
    return response


@router.delete(
    "/keys/{key_id}",
    operation_id="revokeKey",
    summary="Revoke an API key",
    status_code=204,
    responses=problem(403, 404, 409),
)
async def revoke_key(request: Request, key_id: Id) -> Response:
    """End a key for good: within two seconds it opens nothing any more, and the sessions, tickets, live connections and
    waiting calls it opened end. Its jobs and clones stay. Asking twice changes nothing."""
    edge, principal = enter(request)
    kept = await _owned(edge, principal, key_id)
    if kept.key.operator and not principal.operator:
        check_power(principal, kept.key)
    if kept.key.revoked_at is None:
        await edge.key_store.change(kept, kept.key.model_copy(update={"revoked_at": now(), "old_digest": None}))
    return Response(status_code=204)


async def _owned(edge: Edge, principal: Principal, key_id: str) -> Kept:
    kept = await edge.key_store.get(key_id)
    if kept is None or not may_see(principal, kept.key):
        raise Problem(404, "key_not_found", "There is no such API key.", hint="GET /keys lists them.")
    return kept


def _made(principal: Principal, wish: KeyRequest) -> tuple[ApiKey, str]:
    """The key that is wished for, with the limits of who makes it where none are named, and its secret."""
    at, tenant = now(), wish.tenant or principal.tenant
    if wish.operator and wish.scope is not Scope.ADMIN:
        raise _invalid("operator needs the scope admin")
    if wish.expires_at is not None and (wish.expires_in_days is not None or wish.expires_at <= at):
        raise _invalid("expires_at must be in the future, and without expires_in_days")
    expires = at + timedelta(days=wish.expires_in_days) if wish.expires_in_days else wish.expires_at
    key_id = new_key_id(tenant)
    secret = new_token(key_id)
    key = ApiKey(
        id=key_id,
        name=wish.name,
        tenant=tenant,
        scope=wish.scope,
        operator=wish.operator,
        lane=wish.lane or principal.lane,
        rate_per_minute=wish.rate_per_minute or principal.rate_per_minute,
        slots=wish.slots or principal.slots,
        digest=digest(secret),
        created_at=at,
        created_by=principal.who,
        expires_at=expires or principal.ends,
    )
    return key, secret


def _invalid(what: str) -> Problem:
    return Problem(422, "invalid_request", f"The request is not valid: {what}.", hint="Correct these fields.")


def _shown(key: ApiKey, at: datetime, used: datetime | None) -> Key:
    return Key(**_fields(key, at), last_used_at=used)


def _with_secret(key: ApiKey, secret: str) -> str:
    return NewKey(**_fields(key, now()), secret=secret).model_dump_json()


def _fields(key: ApiKey, at: datetime) -> dict[str, object]:
    overlaps = key.old_until is not None and at < key.old_until
    return {
        **key.model_dump(include=set(Key.model_fields)),
        "state": state_of(key, at),
        "old_secret_until": key.old_until if overlaps else None,
    }
