"""`/ws`: the live protocol over a WebSocket. One reader and one writer a socket; neither waits for another client."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope
from starlette.websockets import WebSocketDisconnect

from services.status import metrics
from services.status.access import NOTHING, UNREADABLE, Grant
from services.status.live import frames
from services.status.live.frames import CLIENT_FRAME, Hello, Ping, Sub, Unsub
from services.status.live.session import Session
from services.status.live.wire import EXTENSION, Wire, text_frame
from services.status.problems import problem, unavailable
from services.status.service import Service

SEND_WITHIN = 10.0
"""Seconds until a client must take more; a client slower than that is sent away and comes back to a snapshot."""
IDLE = 3600.0
RATE, BURST = 50.0, 200.0
"""Messages a second a client may send, and at once."""
QUEUE_MOST = 1024
"""Frames of any sort that may wait for one client."""

router = APIRouter()


class Close(Exception):
    """End the connection with this code."""

    def __init__(self, code: int) -> None:
        self.code = code


@router.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    """Serve one client."""
    service: Service = websocket.app.state.service
    refusal = refuse(service, websocket.scope)
    if refusal is not None:
        await websocket.send_denial_response(refusal)
        return
    assert service.hub is not None
    try:
        grant = await service.doorman.at_handshake(websocket)
    except UNREADABLE:
        await websocket.send_denial_response(unavailable(websocket.scope))
        return
    wire: Wire = websocket.scope["extensions"][EXTENSION]
    session = Session(service.hub, NOTHING if grant is None else grant.scope, wire)
    # of the sub-protocols offered, only the one without a secret is named again
    offered = websocket.scope.get("subprotocols") or []
    await websocket.accept(frames.SUBPROTOCOL if frames.SUBPROTOCOL in offered else None)
    with service.live.member(session, "websocket"):
        await Socket(websocket, wire, session, service, grant).serve()


@router.get("/ws")
async def no_websocket(request: Request) -> Response:
    """A call that is no handshake."""
    detail = "This address speaks WebSocket only."
    return problem(426, "upgrade_required", detail, request.scope, {"Upgrade": "websocket"})


def refuse(service: Service, scope: Scope) -> Response | None:
    """The answer to a client that is not served; None when it is welcome.

    Browsers always send the Origin of a WebSocket, and nothing else protects it from other sites' pages; a client
    without one is no browser.
    """
    origin = Headers(scope=scope).get("origin")
    if origin is not None and origin.lower() not in service.settings.origins:
        return problem(403, "cross_origin", "Pages of this origin may not connect.", scope)
    if service.stop.is_set() or service.hub is None or not service.hub.started():
        return unavailable(scope, "Live connections are not ready yet.")
    if len(service.live) >= service.settings.max_connections:
        return unavailable(scope, "There are too many live connections.", after=5)
    return None


class Socket:
    """One accepted WebSocket."""

    def __init__(
        self, websocket: WebSocket, wire: Wire, session: Session, service: Service, grant: Grant | None
    ) -> None:
        """`grant`: what the handshake proved; None when hello has to."""
        self._grant = session.grant = grant
        self._websocket = websocket
        self._wire = wire
        self._session = session
        self._service = service
        session.greeted = False
        self._allowance = BURST
        self._counted_at = time.monotonic()

    async def serve(self) -> None:
        """Until either side ends."""
        reader = asyncio.create_task(self._read(), name=f"read {self._session.name}")
        writer = asyncio.create_task(self._write(), name=f"write {self._session.name}")
        try:
            await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
            code = _close_code(reader if reader.done() else writer)
            if reader.done() and not writer.done() and code is not None:
                self._session.close(code)
                await asyncio.wait([writer], timeout=1.0)
        finally:
            for task in (reader, writer):
                task.cancel()
            results = await asyncio.gather(reader, writer, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Close | WebSocketDisconnect | OSError):
                raise result

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(frames.HELLO_WITHIN):
                await self._take(await self._receive())
        except TimeoutError:
            raise Close(frames.NO_HELLO) from None
        while True:
            await self._take(await self._receive())

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        if text is None:
            raise Close(frames.BAD_MESSAGE)
        self._count()
        return str(text)

    def _count(self) -> None:
        now = time.monotonic()
        self._allowance = min(BURST, self._allowance + (now - self._counted_at) * RATE) - 1
        self._counted_at = now
        if self._allowance < 0 or len(self._session.outbox) > QUEUE_MOST:
            raise Close(frames.TOO_MANY)

    async def _take(self, text: str) -> None:
        try:
            frame = CLIENT_FRAME.validate_json(text)
        except ValidationError:
            raise Close(frames.BAD_MESSAGE) from None
        if isinstance(frame, Hello):
            await self._greet(frame)
        elif not self._session.greeted:
            raise Close(frames.UNAUTHENTICATED)
        elif isinstance(frame, Sub):
            await self._subscribe(frame)
        elif isinstance(frame, Unsub):
            self._session.unsubscribe(frame.id)
        elif isinstance(frame, Ping):
            self._session.say(frames.pong(frame.k))

    async def _greet(self, hello: Hello) -> None:
        if self._session.greeted or hello.v != frames.VERSION:
            raise Close(frames.BAD_MESSAGE)
        if self._grant is None and hello.token:
            try:
                self._grant = await self._service.doorman.by_token(hello.token)
            except UNREADABLE:
                raise Close(frames.RESTART) from None
        if self._grant is None:
            raise Close(frames.UNAUTHENTICATED)
        self._session.grant, self._session.scope = self._grant, self._grant.scope
        self._session.greeted = True
        self._session.say(frames.ready(self._session.name))
        hub = self._service.hub
        if hub is not None and not hub.current():
            self._session.say(frames.upstream(False))

    async def _subscribe(self, sub: Sub) -> None:
        if sub.id in self._session.subs:
            raise Close(frames.DUPLICATE)
        if len(self._session.subs) >= frames.MAX_SUBS:
            self._session.say(frames.err(sub.id, "too_many", f"At most {frames.MAX_SUBS} subscriptions a connection."))
        elif sub.job is not None and not frames.known_job(sub):
            self._session.say(frames.err(sub.id, "not_found", "There is no such job."))
        elif sub.list is not None and self._session.scope.jobs is not None:
            self._session.say(frames.err(sub.id, "not_found", "This ticket is for single jobs only."))
        else:
            await self._session.subscribe(sub.id, job=sub.job, topic=sub.list, after=sub.after)

    async def _write(self) -> None:
        session, wire = self._session, self._wire
        while True:
            await session.some(IDLE)
            if not await wire.drained(SEND_WITHIN):
                await self._close(frames.SLOW)
                return
            wire.push(b"".join(text_frame(text) for text in session.take()))
            if session.closing is not None and session.outbox.idle:
                await self._close(session.closing)
                return

    async def _close(self, code: int) -> None:
        metrics.CLOSED.labels(str(code)).inc()
        try:
            async with asyncio.timeout(1.0):
                await self._websocket.close(code)
        except (TimeoutError, RuntimeError):
            return


def _close_code(task: asyncio.Task[None]) -> int | None:
    error = task.exception()
    return error.code if isinstance(error, Close) else None
