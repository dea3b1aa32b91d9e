"""What the dashboard's form for a clone begins with, as a tenant's administrators chose it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from nats.js.errors import KeyNotFoundError
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from services.gateway.edge import Edge, enter
from services.gateway.models import Body, CloneChoices, Priority, TtlMinutes
from services.gateway.routes.responses import problem
from shared.contract import streams
from shared.contract.api_keys import tenant_token
from shared.log import get

log = get(__name__)

router = APIRouter(tags=["clone"])


class Defaults(Body):
    """What the form begins with. Calls of the API do not change with it: what they leave out is as documented."""

    ttl_minutes: TtlMinutes | None = None
    priority: Priority = None
    options: CloneChoices = Field(default_factory=CloneChoices)


class _Kept(BaseModel):
    tenant: str
    defaults: Defaults


@router.get(
    "/defaults",
    operation_id="getDefaults",
    summary="See what the dashboard's form begins with",
    response_model=Defaults,
    responses=problem(),
)
async def get_defaults(request: Request) -> Response:
    """What your tenant's administrators chose for the form that asks for a clone."""
    edge, principal = enter(request)
    return Response((await _read(edge, principal.tenant)).model_dump_json(), media_type="application/json")


@router.put(
    "/defaults",
    operation_id="putDefaults",
    summary="Choose what the dashboard's form begins with",
    response_model=Defaults,
    responses=problem(403, 415, 422, 429),
)
async def put_defaults(request: Request, wish: Defaults) -> Response:
    """Put these in place of what was chosen before. Calls of the API do not change with it."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    kept = _Kept(tenant=principal.tenant, defaults=wish)
    await (await edge.bus.bucket(streams.DEFAULTS)).put(tenant_token(principal.tenant), kept.model_dump_json().encode())
    return Response(wish.model_dump_json(), 200, limit, media_type="application/json")


async def _read(edge: Edge, tenant: str) -> Defaults:
    try:
        entry = await (await edge.bus.bucket(streams.DEFAULTS)).get(tenant_token(tenant))
        kept = _Kept.model_validate_json(entry.value or b"")
    except KeyNotFoundError:
        return Defaults()
    except ValidationError:
        log.error("what the form begins with can not be read", tenant=tenant)
        return Defaults()
    return kept.defaults if kept.tenant == tenant else Defaults()
