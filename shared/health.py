"""/livez, /readyz and /metrics for services that otherwise speak no HTTP: the cloner and the restorer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.bus.connection import Bus
from shared.engine.metrics import QUEUE


def health_app(problems: Callable[[], list[str]], bus: Bus) -> FastAPI:
    """The three routes. `problems` says, in words, why the service can not work right now; empty when it can."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        """The loop turns. Says nothing about NATS: restarting the process would not repair it."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        found = problems()
        return JSONResponse({"status": "not ready" if found else "ready", "problems": found}, 503 if found else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        await QUEUE.refresh(bus)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


async def serve_health(
    port: int, problems: Callable[[], list[str]], stop: asyncio.Event, bus: Bus, *, host: str = "127.0.0.1"
) -> None:
    """Answer at `host` until `stop`; 0: no health port is wanted. Raises OSError when it is taken."""
    if port == 0:
        await stop.wait()
        return
    config = uvicorn.Config(
        health_app(problems, bus), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    listener = socket.create_server((host, port))
    # serve() would take the signals from the service
    serving = asyncio.create_task(server._serve(sockets=[listener]), name="health")
    await asyncio.wait({serving, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
