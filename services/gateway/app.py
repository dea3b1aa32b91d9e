"""Wiring of the gateway: bus, app, server."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.gateway import paths, problems
from services.gateway.access import Keys
from services.gateway.audit import Audited
from services.gateway.bulk import operations_of
from services.gateway.compress import Compress
from services.gateway.edge import Edge
from services.gateway.express import Express
from services.gateway.guard import Guard
from services.gateway.key_uses import KeyUses
from services.gateway.models import ProblemAnswer
from services.gateway.problems import UNAVAILABLE, Problem
from services.gateway.routes import (
    audit,
    batches,
    bulk,
    clones,
    connector,
    defaults,
    docs,
    health,
    images,
    jobs,
    keys,
    login_links,
    preflight,
    restore,
    schedules,
    session,
    snapshots,
    states,
    statistics,
    submit,
    tickets,
    v1,
    webhooks,
    workers,
)
from services.gateway.schedules.firing import Scheduler
from services.gateway.scopes import scoped
from services.gateway.settings import GatewaySettings
from shared import log as logging
from shared import tracing
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.listener import Listener
from shared.secrets.vault import KeyRing
from shared.wordpress.addresses import keep_off

log = logging.get(__name__)

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405
GRACE = 2
"""Seconds running requests get at shutdown."""


async def serve_bus(app: FastAPI, settings: GatewaySettings, keys: KeyRing) -> None:
    """Connect, install streams and buckets, and hold the connection until cancelled.

    Runs beside the server, so that the gateway answers 503 instead of nothing while NATS is away.
    """
    # pending_size 0: while disconnected, a publish fails at once instead of being stored after we answered 503
    async with connect(settings, service="gateway", pending_size=0) as bus:
        bus.js = Audited(bus.nc, timeout=settings.store_timeout)
        async with asyncio.TaskGroup() as group:
            group.create_task(app.state.callers.follow(bus), name="keys")
            group.create_task(app.state.uses.write(bus), name="key uses")
            group.create_task(_serve(app, settings, keys, bus), name="edge")


async def _serve(app: FastAPI, settings: GatewaySettings, keys: KeyRing, bus: Bus) -> None:
    while True:
        try:
            if settings.nats_install:
                await streams.install(
                    bus.js, replicas=settings.replicas, ack_wait=settings.ack_wait, audit=settings.audit_kept
                )
            await bus.js.stream_info(streams.PROBE)
            edge = Edge(settings, bus, await bus.bucket(streams.VAULT), keys, app.state.callers)
            with suppress(*UNAVAILABLE):  # or the first callers would wait for the next look
                await app.state.callers.look()
            edge.operations = operations_of(edge)
            app.state.edge = edge
            log.info("ready", port=settings.gateway_port)
            await edge.warm()
            await asyncio.gather(
                edge.behind.run(), edge.operations.run(), edge.calls.run(), edge.audit.run(), Scheduler(edge).run()
            )
        except UNAVAILABLE as error:
            log.warning("streams are not ready yet", error=repr(error))
            await asyncio.sleep(0.5)


def create_app(settings: GatewaySettings) -> FastAPI:
    """The ASGI app. Its lifespan connects to NATS."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        keys = KeyRing.load(settings.vault_key_file)
        task = asyncio.create_task(serve_bus(app, settings, keys), name="bus")
        # what is loaded now stays: the collector need not look at it again, which takes milliseconds each time
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app = FastAPI(
        title="Siteferry",
        version=version("siteferry"),
        summary="Clone WordPress sites asynchronously, with live progress and nothing lost.",
        lifespan=lifespan,
        openapi_url=None,  # routes/docs.py has it
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.router.redirect_slashes = (
        False  # its redirects name the host that was asked for, which a proxy may have changed
    )
    app.state.edge = None
    uses = KeyUses()
    app.state.callers = Keys(settings.api_keys_file, used=uses.note)
    app.state.uses = uses
    for module in (
        submit,
        restore,
        batches,
        preflight,
        bulk,
        jobs,
        clones,
        images,
        login_links,
        states,
        schedules,
        snapshots,
        statistics,
        tickets,
        session,
        keys,
        webhooks,
        workers,
        defaults,
        audit,
        connector,
        health,
        docs,
        v1,
    ):
        # not include_router: it matches every request router by router, which a submission pays for
        app.router.routes.extend(map(scoped, module.router.routes))
    _answer_with_problems(app)
    docs.install_openapi(app, ProblemAnswer)
    app.add_middleware(Express)
    app.add_middleware(Compress)
    app.add_middleware(Guard, settings=settings)
    return app


def _answer_with_problems(app: FastAPI) -> None:
    def answer(request: Request, problem: Problem) -> Response:
        request.state.code = problem.code
        return problem.response(instance=request.url.path, trace_id=request.state.trace_id)

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return answer(request, error)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, problems.validation(error.errors()))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        if error.status_code == METHOD_NOT_ALLOWED:
            return answer(request, problems.method_not_allowed(paths.methods_of(app, path)))
        if error.status_code == NOT_FOUND and (there := paths.without_slash(app, path, request.scope["query_string"])):
            return Response(status_code=308, headers={"Location": there})
        return answer(request, problems.http_problem(error.status_code, error.headers))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = GatewaySettings()
    keep_off(settings.own)
    logging.configure("gateway", fmt=settings.log_format, level=settings.log_level)
    tracing.configure("gateway")
    uvicorn.run(
        create_app(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        http=Listener,
        ws="websockets-sansio",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nobody asks for the client's address
        timeout_graceful_shutdown=GRACE,
    )
