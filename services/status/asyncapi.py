"""The AsyncAPI 3 document: live connections, streams and webhooks, generated from the models that make them.

python -m services.status.asyncapi > docs/asyncapi.json
"""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from services.status.live import frames, said
from shared.contract import events
from shared.contract.jobs import Job
from shared.contract.subjects import KINDS, LANES, EventType, Kind
from shared.contract.webhooks import EVENTS

Json = dict[str, Any]

router = APIRouter()

SCHEMA = "#/components/schemas/{model}"
CLIENT: tuple[type[BaseModel], ...] = (frames.Hello, frames.Sub, frames.Unsub, frames.Ping)
LIVE: tuple[type[BaseModel], ...] = (*CLIENT, *said.FRAMES)
COMMANDS: dict[Kind, type[events.Message]] = {"clone": events.CloneRequested, "restore": events.RestoreRequested}
ENDS: dict[Kind, type[events.Message]] = {"clone": events.Expired, "restore": events.Discarded}
CLONES_ONLY = frozenset({EventType.EXPIRE, EventType.EXTENDED})
RESTORES_ONLY = frozenset({EventType.ROLLED_BACK})


class WebhookMessage(BaseModel):
    """The body of a webhook, as Standard Webhooks lays it out."""

    type: str = Field(description="One of " + ", ".join((*EVENTS, "webhook.test")))
    timestamp: str
    data: dict[str, Any] = Field(description="`job`, as pushed to live connections; `clone` and `reason` of an expiry.")


class EventHeaders(BaseModel):
    """CloudEvents attributes of every message on the streams."""

    ce_specversion: str = Field(alias="ce-specversion")
    ce_id: str = Field(alias="ce-id")
    ce_source: str = Field(alias="ce-source")
    ce_type: str = Field(alias="ce-type")
    ce_time: str = Field(alias="ce-time")
    ce_subject: str = Field(alias="ce-subject")
    traceparent: str | None = None


class WebhookHeaders(BaseModel):
    """What a receiver verifies."""

    webhook_id: str = Field(alias="webhook-id", description="The same with every attempt.")
    webhook_timestamp: str = Field(alias="webhook-timestamp", description="Seconds since 1970.")
    webhook_signature: str = Field(alias="webhook-signature", description="v1,base64(HMAC-SHA256(id.timestamp.body))")


@cache
def document() -> Json:
    """The whole document."""
    streams = {kind: _stream_messages(kind) for kind in KINDS}
    payloads = {model for messages in streams.values() for model in messages.values()}
    models: list[type[BaseModel]] = [
        *CLIENT,
        *said.FRAMES,
        WebhookMessage,
        EventHeaders,
        WebhookHeaders,
        Job,
        *payloads,
    ]
    models.sort(key=lambda model: model.__name__)
    _, defined = models_json_schema([(model, "validation") for model in models], ref_template=SCHEMA)
    messages = {model.__name__: _message(model) for model in LIVE}
    messages["Webhook"] = _message(WebhookMessage, WebhookHeaders)
    for kind, found in streams.items():
        for event, model in found.items():
            messages[f"{kind}.{event}"] = {"name": f"{kind}.{event}"} | _message(model, EventHeaders)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Siteferry",
            "version": version("siteferry"),
            "description": "Live progress of clones and restores: the WebSocket of browsers and scripts, the streams "
            "on NATS JetStream, and webhooks. The protocol in words: docs/live.md.",
            "license": {"name": "GPL-2.0-or-later"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": _channels(streams),
        "operations": _operations(),
        "components": {"messages": messages, "schemas": dict(sorted(defined["$defs"].items()))},
    }


def _stream_messages(kind: Kind) -> dict[EventType, type[events.Message]]:
    """What the stream of a kind carries, by event."""
    foreign = RESTORES_ONLY if kind == "clone" else CLONES_ONLY
    models = {event: model for event, model in events.MODELS.items() if event not in foreign}
    return models | {EventType.REQUESTED: COMMANDS[kind], EventType.EXPIRED: ENDS[kind]}


def _message(model: type[BaseModel], headers: type[BaseModel] | None = None) -> Json:
    told: Json = {"payload": {"$ref": SCHEMA.format(model=model.__name__)}}
    if headers is not None:
        told["headers"] = {"$ref": SCHEMA.format(model=headers.__name__)}
    if model.__doc__:
        told["summary"] = model.__doc__.strip().splitlines()[0]
    return told


def _servers() -> Json:
    return {
        "live": {
            "host": "localhost:8080",
            "protocol": "ws",
            "description": "The product's one origin. With API keys: the sub-protocol `ticket.<ticket>` beside "
            "`siteferry.v1`, a ticket in hello, an Authorization header, or the session cookie of a browser.",
        },
        "nats": {"host": "localhost:4222", "protocol": "nats", "description": "For operators and services."},
        "receiver": {"host": "hooks.example.com", "protocol": "https", "description": "Whoever registered a webhook."},
    }


def _channels(streams: dict[Kind, dict[EventType, type[events.Message]]]) -> Json:
    channels: Json = {
        "live": {
            "address": "/ws",
            "title": "Any number of jobs on one WebSocket",
            "servers": [{"$ref": "#/servers/live"}],
            "messages": {model.__name__: _reference(model.__name__) for model in LIVE},
        },
        "webhooks": {
            "address": None,
            "title": "The address given with POST /webhooks",
            "servers": [{"$ref": "#/servers/receiver"}],
            "messages": {"Webhook": _reference("Webhook")},
        },
    }
    for kind, found in streams.items():
        channels[f"{kind}s"] = {
            "address": f"{kind}.{{event}}.{{lane}}.{{job_id}}",
            "title": f"The log of {kind} jobs",
            "servers": [{"$ref": "#/servers/nats"}],
            "parameters": {
                "event": {"enum": [str(event) for event in found]},
                "lane": {"enum": [str(lane) for lane in LANES]},
                "job_id": {"description": f"Like {kind}-0k3v9x2m7c1p5t8w."},
            },
            "messages": {str(event).replace("-", "_"): _reference(f"{kind}.{event}") for event in found},
        }
    return channels


def _reference(message: str) -> Json:
    return {"$ref": f"#/components/messages/{message}"}


def _operations() -> Json:
    def operation(action: str, channel: str, summary: str, names: list[str] | None = None) -> Json:
        told: Json = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}
        if names is not None:
            told["messages"] = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]
        return told

    return {
        "hear": operation("receive", "live", "What clients say", [model.__name__ for model in CLIENT]),
        "tell": operation("send", "live", "What the server says", [model.__name__ for model in said.FRAMES]),
        "notify": operation("send", "webhooks", "When jobs end"),
        **{f"log_{kind}s": operation("send", f"{kind}s", f"Every message about {kind} jobs") for kind in KINDS},
    }


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


@router.get("/asyncapi.json", include_in_schema=False)
async def asyncapi() -> Response:
    """For people and generators."""
    return Response(text(), media_type="application/json", headers={"Cache-Control": "no-cache"})


if __name__ == "__main__":
    sys.stdout.write(text())
