"""Is it alive, is it ready, what does it count."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.status import metrics
from services.status.service import Service

router = APIRouter()


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The loop runs. Says nothing about NATS: restarting us would not repair it."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Connected, and the consumers give signs of life."""
    service: Service = request.app.state.service
    problems = service.problems()
    if problems:
        return JSONResponse({"status": "not ready", "problems": problems}, status_code=503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics")
async def get_metrics(request: Request) -> Response:
    """Prometheus metrics: of this process, and of the queue and the projection."""
    service: Service = request.app.state.service
    await metrics.refresh(service.bus)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
