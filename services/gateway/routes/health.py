"""Whether the gateway lives, whether it can work, and its numbers."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from services.gateway import metrics, problems
from services.gateway.edge import Edge
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
    """Whether NATS is connected and the streams exist."""
    edge: Edge | None = request.app.state.edge
    checks = {"nats": edge is not None and edge.bus.nc.is_connected, "streams": False}
    if edge is not None and checks["nats"]:
        try:
            await asyncio.gather(*(edge.bus.js.stream_info(name) for name in streams.STREAMS.values()))
            checks["streams"] = True
        except problems.UNAVAILABLE:
            pass
    ready = all(checks.values())
    return JSONResponse({"status": "ok" if ready else "unavailable", "checks": checks}, 200 if ready else 503)


@router.get("/metrics", operation_id="metrics", summary="Numbers for Prometheus", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """Counters, times and the depth of the queue, in Prometheus' text format."""
    edge: Edge | None = request.app.state.edge
    metrics.CONNECTED.set(edge is not None and edge.bus.nc.is_connected)
    await metrics.QUEUE.refresh(edge.bus if edge is not None else None)
    return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
