"""Webhooks: register, list, look at deliveries, try, remove."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from nats.js.errors import KeyNotFoundError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from services.gateway import reader
from services.gateway.edge import Edge, enter
from services.gateway.models import Body, Text
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.bus.webhook_messages import Outgoing
from shared.contract import streams
from shared.contract.events import now
from shared.contract.subjects import webhook_log
from shared.contract.times import Time, stamp
from shared.contract.webhooks import (
    EVENTS,
    TEST,
    Attempt,
    Endpoint,
    OutwardResolver,
    check_url,
    new_endpoint_id,
    new_secret,
    parse_networks,
    purpose,
)
from shared.wordpress.errors import AddressRefused

router = APIRouter(tags=["webhooks"])

MOST = 20
"""Endpoints of one tenant."""
SHOWN = 100
"""Deliveries shown, newest first."""
RESOLVE_WITHIN = 5.0
Id = Annotated[str, Path(description="The webhook's id, like wh-0k3v9x2m7c1p5t8w.", pattern=r"^wh-[0-9a-z]{16}$")]


class WebhookRequest(Body):
    """Where to send what."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://hooks.example.com/siteferry", "events": ["clone.completed"]}]}
    )

    url: Text = Field(
        max_length=2048,
        description="Receives POST requests. Public addresses only.",
        json_schema_extra={"format": "uri"},
    )
    events: list[Literal[EVENTS]] = Field(  # type: ignore[valid-type]
        default_factory=list, max_length=len(EVENTS), description="Only these; default: all."
    )
    description: Text = Field("", max_length=200)


class Webhook(BaseModel):
    """A registered webhook."""

    id: str
    url: str
    events: list[str] = Field(description="Empty: all.")
    description: str
    created_at: Time
    disabled: str | None = Field(description="Why nothing is sent any more; null while it is.")


class NewWebhook(Webhook):
    """A webhook just registered, with the secret its messages are signed with. It is not shown again."""

    secret: str


class WebhookList(BaseModel):
    """The tenant's webhooks, oldest first."""

    webhooks: list[Webhook]


class Delivery(BaseModel):
    """One message to one webhook."""

    id: str = Field(description="The header webhook-id; the same with every attempt.")
    type: str
    job_id: str | None
    state: Literal["delivered", "retrying", "failed"]
    next_attempt_at: Time | None
    attempts: list[Attempt] = Field(description="Newest first.")


class DeliveryList(BaseModel):
    """What became of the newest messages, newest first."""

    deliveries: list[Delivery]


class TestSent(BaseModel):
    """A test message was stored; the list of deliveries tells what became of it."""

    id: str


@router.post(
    "/webhooks",
    operation_id="createWebhook",
    summary="Register a webhook",
    status_code=201,
    response_model=NewWebhook,
    responses=problem(409, 415, 422, 429),
)
async def create_webhook(request: Request, wish: WebhookRequest) -> Response:
    """Be told when jobs end. The answer has the secret that signs the messages; keep it, it is not shown again."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    await _check(edge, wish.url)
    if len(await _all(edge, principal.tenant)) >= MOST:
        raise Problem(409, "too_many_webhooks", f"A tenant has at most {MOST} webhooks.", hint="Remove one first.")
    endpoint_id, secret = new_endpoint_id(), new_secret()
    endpoint = Endpoint(
        id=endpoint_id,
        tenant=principal.tenant,
        url=wish.url,
        events=sorted(set(wish.events)),
        description=wish.description,
        sealed_secret=edge.keys.seal(secret, purpose=purpose(endpoint_id)),
        created_at=now(),
    )
    await (await edge.bus.bucket(streams.WEBHOOKS)).create(endpoint_id, endpoint.model_dump_json().encode())
    body = NewWebhook(**_shown(endpoint).model_dump(), secret=secret).model_dump_json()
    return Response(body, 201, {"Location": f"/webhooks/{endpoint_id}", **limit}, media_type="application/json")


@router.get(
    "/webhooks", operation_id="listWebhooks", summary="List webhooks", response_model=WebhookList, responses=problem()
)
async def list_webhooks(request: Request) -> Response:
    """The webhooks of your tenant."""
    edge, principal = enter(request)
    found = sorted(await _all(edge, principal.tenant), key=lambda endpoint: endpoint.created_at)
    return _answer(WebhookList(webhooks=[_shown(endpoint) for endpoint in found]))


@router.get(
    "/webhooks/{webhook_id}",
    operation_id="getWebhook",
    summary="Look at a webhook",
    response_model=Webhook,
    responses=problem(404),
)
async def get_webhook(request: Request, webhook_id: Id) -> Response:
    """One webhook, without its secret."""
    return _answer(_shown(await _owned(request, webhook_id)))


@router.delete(
    "/webhooks/{webhook_id}",
    operation_id="deleteWebhook",
    summary="Remove a webhook",
    status_code=204,
    responses=problem(404),
)
async def delete_webhook(request: Request, webhook_id: Id) -> Response:
    """Send nothing there any more; what waits is dropped."""
    endpoint = await _owned(request, webhook_id)
    edge, _ = enter(request)
    await (await edge.bus.bucket(streams.WEBHOOKS)).delete(endpoint.id)
    return Response(status_code=204)


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="listDeliveries",
    summary="Look at deliveries",
    response_model=DeliveryList,
    responses=problem(404),
)
async def list_deliveries(request: Request, webhook_id: Id) -> Response:
    """What was sent there in the last two weeks, with every attempt."""
    endpoint = await _owned(request, webhook_id)
    edge, _ = enter(request)
    stored = await reader.read_all(edge.bus.nc, streams.OUTGOING, webhook_log(endpoint.id))
    attempts = [Attempt.model_validate_json(line.data) for line in stored]
    return _answer(DeliveryList(deliveries=deliveries(attempts)))


@router.post(
    "/webhooks/{webhook_id}/test",
    operation_id="testWebhook",
    summary="Send a test message",
    status_code=202,
    response_model=TestSent,
    responses=problem(404, 429),
)
async def test_webhook(request: Request, webhook_id: Id) -> Response:
    """Send a message of type `webhook.test` now, once."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    endpoint = await _owned(request, webhook_id)
    told = {
        "type": TEST,
        "timestamp": stamp(now()),
        "data": {"message": "This is a test of Siteferry's webhooks."},
    }
    delivery = f"msg_{secrets.token_hex(14)}"
    await Outgoing(endpoint.id, delivery, TEST, "", json.dumps(told).encode()).send(edge.bus)
    return Response(TestSent(id=delivery).model_dump_json(), 202, limit, media_type="application/json")


def deliveries(attempts: list[Attempt]) -> list[Delivery]:
    """The log by message, newest message first. `attempts` are in the order they were made."""
    by_id: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_id.setdefault(attempt.delivery, []).insert(0, attempt)
    newest = sorted(by_id.values(), key=lambda found: found[-1].at, reverse=True)[:SHOWN]
    return [
        Delivery(
            id=found[0].delivery,
            type=found[0].type,
            job_id=found[0].job_id,
            state=found[0].outcome,
            next_attempt_at=found[0].next_at,
            attempts=found,
        )
        for found in newest
    ]


async def _check(edge: Edge, url: str) -> None:
    """Refuse what nothing shall be sent to. Looked at again with each delivery, for names may change their address."""
    try:
        host = check_url(url)
        resolver = OutwardResolver(parse_networks(edge.settings.webhook_networks))
        async with asyncio.timeout(RESOLVE_WITHIN):
            await asyncio.to_thread(resolver.resolve, host, 443)
    except AddressRefused:
        raise Problem(
            422,
            "webhook_address_refused",
            "This address is in a private network, where no webhooks are sent.",
            hint="Use a public address; an operator may allow networks with SITEFERRY_WEBHOOK_NETWORKS.",
        ) from None
    except ValueError as error:
        raise Problem(422, "invalid_request", f"The request is not valid: url {error}.") from None
    except (OSError, TimeoutError):
        raise Problem(422, "invalid_request", "The request is not valid: no server has the name in url.") from None


async def _all(edge: Edge, tenant: str) -> list[Endpoint]:
    stored = await reader.read_all(edge.bus.nc, f"KV_{streams.WEBHOOKS}", f"$KV.{streams.WEBHOOKS}.>")
    found = [endpoint for line in stored if (endpoint := _read(line.data)) is not None]
    return [endpoint for endpoint in found if endpoint.tenant == tenant]


def _read(data: bytes) -> Endpoint | None:
    try:
        return Endpoint.model_validate_json(data)
    except ValidationError:  # the marker of a removed one is empty
        return None


async def _owned(request: Request, webhook_id: str) -> Endpoint:
    edge, principal = enter(request)
    try:
        entry = await (await edge.bus.bucket(streams.WEBHOOKS)).get(webhook_id)
        endpoint = _read(entry.value or b"")
    except KeyNotFoundError:
        endpoint = None
    if endpoint is None or endpoint.tenant != principal.tenant:
        raise Problem(404, "webhook_not_found", "There is no such webhook.", hint="GET /webhooks lists them.")
    return endpoint


def _shown(endpoint: Endpoint) -> Webhook:
    return Webhook(**endpoint.model_dump(include=set(Webhook.model_fields)))


def _answer(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")
