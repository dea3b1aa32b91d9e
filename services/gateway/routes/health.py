"""Whether the gateway lives, whether it can work, and its numbers."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from fastapi import APIRouter, Request
from nats.js.errors import NotFoundError
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from services.gateway import metrics, problems
from services.gateway.edge import Edge
from shared import standing
from shared.contract import streams

router = APIRouter(tags=["operations"])


class Version(BaseModel):
    """What answers here."""

    name: str = "siteferry"
    version: str


@router.get("/version", operation_id="version", summary="What answers, and in which version")
async def get_version() -> Version:
    """Name and version of this service."""
    return Version(version=version("siteferry"))


@router.get("/livez", operation_id="livez", summary="The process lives")
async def livez() -> dict[str, str]:
    """Answers as long as the event loop turns, whatever NATS does."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="readyz", summary="The gateway can work")
async def readyz(request: Request) -> Response:
    """Whether NATS is connected, the streams exist, and something can be stored.

    What else is wrong with the whole is in `problems`, and `status` is `degraded`: calls are answered all the same."""
    edge: Edge | None = request.app.state.edge
    checks = {"nats": edge is not None and edge.bus.nc.is_connected, "streams": False, "stores": False}
    found: list[str] = []
    if edge is not None and checks["nats"]:
        try:
            await asyncio.gather(*(edge.bus.js.stream_info(name) for name in streams.STREAMS.values()))
            checks["streams"] = True
            await edge.bus.js.publish(streams.PROBE_SUBJECT, b"?")
            checks["stores"] = True
        except problems.UNAVAILABLE as error:
            found.append(problems.unavailable(error).detail)
        if checks["streams"]:
            found += await _consumers_missing(edge)
        if edge.settings.parts_file is not None:
            found += standing.problems(edge.settings.parts_file)
    ready = all(checks.values())
    status = "unavailable" if not ready else "degraded" if found else "ok"
    return JSONResponse({"status": status, "checks": checks, "problems": found}, 200 if ready else 503)


async def _consumers_missing(edge: Edge) -> list[str]:
    """Consumers that are gone, or do not answer: what they feed stands still, though everything is accepted."""
    wanted = [(stream, durable) for stream, durables in streams.expected().items() for durable in durables]
    told = await asyncio.gather(
        *(edge.bus.js.consumer_info(stream, durable) for stream, durable in wanted), return_exceptions=True
    )
    found = []
    for (stream, durable), answer in zip(wanted, told, strict=True):
        if isinstance(answer, NotFoundError):
            found.append(f"the consumer {stream}/{durable} is gone")
        elif isinstance(answer, Exception):
            found.append(f"the consumer {stream}/{durable} does not answer")
    return found


@router.get("/metrics", operation_id="metrics", summary="Numbers for Prometheus", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """Counters, times and the depth of the queue, in Prometheus' text format."""
    edge: Edge | None = request.app.state.edge
    metrics.CONNECTED.set(edge is not None and edge.bus.nc.is_connected)
    await metrics.QUEUE.refresh(edge.bus if edge is not None else None)
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
