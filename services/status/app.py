"""Wiring of the status service: bus, projectors, live hub and HTTP server, started and stopped in order."""

from __future__ import annotations

import asyncio
import gc
import socket

import uvicorn
from fastapi import FastAPI
from uvicorn.loops.auto import auto_loop_factory

from services.status import asyncapi, dashboard, health
from services.status.door import Door
from services.status.hosts import HostGuard
from services.status.live import sse, websocket
from services.status.live.hub import Hub
from services.status.live.staying import Staying
from services.status.live.wire import Wire
from services.status.problems import answer_with_problems
from services.status.projector import Projector
from services.status.service import Service
from services.status.settings import StatusSettings
from services.status.webhooks import Webhooks
from shared import log
from shared.bus.connection import connect
from shared.contract import streams
from shared.contract.subjects import KINDS
from shared.lifecycle import eternal, stop_on_signals
from shared.listener import Listener
from shared.wordpress.addresses import keep_off

logger = log.get(__name__)

GOODBYE = 1.0
"""Seconds live clients get to take their leave."""
SEND_BUFFER = 64 * 1024
COLLECT = (50_000, 20, 20)
"""When the collector looks for cycles; Python's own 700 allocations are some milliseconds of events."""
DRAIN = 1
"""Seconds connections get to end after they were told; uvicorn's default is for ever."""


def create_app(service: Service) -> FastAPI:
    """The HTTP side."""
    app = FastAPI(title="Siteferry status", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    settings = service.settings
    routers = [module.router for module in (health, websocket, sse, asyncapi, dashboard)]
    for router in routers:
        app.include_router(router)
    routes = [route for router in routers for route in router.routes]
    answer_with_problems(app)
    app.add_middleware(HostGuard, allowed=None if settings.keys_needed else settings.hosts)
    app.add_middleware(Door, settings=settings, routes=routes)
    return app


async def work(service: Service) -> None:
    """Everything that needs NATS, until cancelled."""
    async with connect(service.settings, service="status") as bus:
        settings = service.settings
        allowed = settings.nats_install
        await streams.install_when_ready(
            bus.js,
            replicas=settings.replicas,
            ack_wait=settings.ack_wait,
            allowed=allowed,
            audit=settings.audit_kept,
        )
        service.projectors = [Projector(bus, kind) for kind in KINDS]
        hub = Hub(bus)
        service.bus, service.hub = bus, hub
        async with asyncio.TaskGroup() as group:
            group.create_task(eternal("the live hub", hub.run(), service.stop), name="hub")
            group.create_task(eternal("the announcer", service.live.announce(hub), service.stop), name="announcer")
            group.create_task(eternal("the API keys", service.doorman.keys.follow(bus), service.stop), name="keys")
            staying = Staying(service.doorman, service.live)
            group.create_task(eternal("who may stay", staying.run(), service.stop), name="staying")
            group.create_task(eternal("webhooks", Webhooks(bus, settings).run(), service.stop), name="webhooks")
            for part in service.projectors:
                group.create_task(eternal(part.feed.name, part.run(), service.stop), name=part.feed.name)


async def serve(service: Service) -> None:
    """Listen until the service stops."""
    settings = service.settings
    config = uvicorn.Config(
        create_app(service),
        log_config=None,
        access_log=False,
        lifespan="off",
        http=Listener,
        ws=Wire,
        ws_max_size=16 * 1024,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=DRAIN,
        server_header=False,
    )
    server = uvicorn.Server(config)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    logger.info("listening", url=f"http://{host}:{port}")
    async with asyncio.TaskGroup() as group:
        # serve() would take the signals from us
        group.create_task(eternal("the HTTP server", server._serve(sockets=[listener]), service.stop), name="http")
        await service.stop.wait()
        await service.live.goodbye(GOODBYE)
        server.should_exit = True


async def run(settings: StatusSettings) -> None:
    """Live until a signal comes."""
    async with stop_on_signals() as stop, asyncio.TaskGroup() as group:
        service = Service(settings, stop)
        group.create_task(serve(service), name="serve")
        working = group.create_task(work(service), name="work")
        await stop.wait()
        working.cancel()


def main() -> None:
    """Entry point of `python -m services.status`."""
    settings = StatusSettings()
    keep_off(settings.own)
    log.configure("status", fmt=settings.log_format, level=settings.log_level)
    # what is loaded now stays, and what comes lives by its references: a full collection walks every connection
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(run(settings))


def _listen(settings: StatusSettings) -> socket.socket:
    listener = socket.create_server((settings.status_host, settings.status_port), backlog=2048)
    # connections inherit it: what a client does not read shall wait in our queue, where it is merged
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return listener
