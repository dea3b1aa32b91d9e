"""The agent of a clone's Pod: takes files, configuration and calls from the cloner, and from nobody else.

It runs as the account of the site's files, but in a container of its own: the site's PHP sees neither its processes nor
its secrets. TLS with the Pod's own certificate, a token of this clone on every request, bounds on everything; paths are
names below the clone's directory and no link is followed (`shared.wordpress.transfer.files`). Once the site's PHP has
run, what is read here is the site's word, for whoever asked.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.cells import pod_layout
from shared.cells.client import AgentFailed, CellsAway, CellsClient
from shared.cells.php_log import tail
from shared.cells.pod_wire import BYTES, END, FILES, NAME, PLAN, BadFrames, Unpacker, packed
from shared.cells.stylesheets import stylesheets
from shared.errors import JobError
from shared.wordpress.connector.protocol import Frame
from shared.wordpress.paths import relative
from shared.wordpress.transfer.files import Arrangement, FileSink, Received
from shared.wordpress.transfer.folder import Folder
from siteferry.pod.place import Place, secret

OURS = re.compile(r"wp-config\.php|guard/[a-z-]{1,40}\.(?:php|sh|json)")
"""Files of the clone that are ours: the site's PHP sees them read-only."""
LARGEST = 1 << 20
"""Bytes of a body that is no upload."""
SILENCE = 90.0
"""Seconds an upload may bring nothing."""
BLOCK = 1 << 18
CONNECTIONS = 64


class OnlyTheCloner:
    """Refuses whoever has no token, before anything else is looked at."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/ready":
            said = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(said, self._wanted):
                await PlainTextResponse("This is for the cloner.\n", 401)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Agent:
    """One clone's."""

    def __init__(self, clone: Path, cells: CellsClient) -> None:
        self._clone, self._cells = clone, cells
        self._site, self._held = clone / "site", clone / pod_layout.QUARANTINE
        self._uploading = asyncio.Lock()
        self._uploads = 0

    def app(self, token: str) -> Starlette:
        """Everything that can be asked."""
        routes = [
            Route("/ready", self.ready),
            Route("/files", self.files, methods=["POST"]),
            Route("/head", self.head),
            Route("/stylesheets", self.stylesheets),
            Route("/log", self.log),
            Route("/own/{name:path}", self.own, methods=["PUT"]),
            Route("/call/{name}", self.call, methods=["POST"]),
        ]
        refused = {JobError: _job_error, BadFrames: _bad, ValueError: _bad, KeyError: _bad}
        wanted = [Middleware(OnlyTheCloner, token=token)]
        return Starlette(routes=routes, middleware=wanted, exception_handlers={**refused, OSError: _failed})

    def make_folders(self) -> None:
        """What the web part mounts, and what uploads go to."""
        for name in (*pod_layout.WRITABLE, pod_layout.QUARANTINE):
            (self._clone / name).mkdir(mode=0o700, exist_ok=True)
        (self._clone / "guard").mkdir(mode=0o755, exist_ok=True)

    async def ready(self, request: Request) -> Response:
        """For probes."""
        return PlainTextResponse("ready\n")

    async def files(self, request: Request) -> Response:
        """One response of the connector. Another one that comes meanwhile takes over: its carrier is the job's now."""
        self._uploads += 1
        mine = self._uploads
        async with self._uploading:
            upload = Upload(self._site, self._held)
            try:
                async for data in _arriving(request):
                    if mine != self._uploads:
                        return PlainTextResponse("another upload came\n", 409)
                    await asyncio.to_thread(upload.feed, data)
                return JSONResponse({"received": vars(await asyncio.to_thread(upload.finish))})
            except ClientDisconnect:
                return PlainTextResponse("it broke off\n", 400)
            finally:
                await asyncio.to_thread(upload.close)

    async def head(self, request: Request) -> Response:
        """The first bytes of a file that was begun, for a digest that must go on."""
        asked = request.query_params
        names, size = relative(_decoded(asked["path"])), int(asked["bytes"])
        folder = Folder(os.fsencode(self._held if asked.get("held") else self._site))
        try:
            file = os.fdopen(folder.reopen(names, size), "rb")
        finally:
            folder.close()

        def blocks() -> Iterator[bytes]:
            left = size
            with file:
                while left and (block := file.read(min(BLOCK, left))):
                    left -= len(block)
                    yield block

        return StreamingResponse(blocks())

    async def stylesheets(self, request: Request) -> Response:
        """CSS below the uploads."""
        below = b"/".join(relative(_decoded(request.query_params["uploads"])))

        def frames() -> Iterator[bytes]:
            for path, text in stylesheets(os.fsencode(self._site), below):
                yield packed(NAME, path) + packed(BYTES, text)
            yield packed(END, b"")

        return StreamingResponse(frames())

    async def log(self, request: Request) -> Response:
        """The end of PHP's log."""
        return PlainTextResponse(await asyncio.to_thread(tail, self._clone / "log"))

    async def own(self, request: Request) -> Response:
        """Write one of our files."""
        name = request.path_params["name"]
        if not OURS.fullmatch(name):
            raise ValueError("no file of ours is called so")
        text, path = await _body(request), self._clone / name
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_bytes(text)
        temporary.chmod(0o640)
        temporary.replace(path)
        return Response(status_code=204)

    async def call(self, request: Request) -> Response:
        """Have a script run where the site's PHP runs; its answer may be the site's."""
        asked, name = json.loads(await _body(request)), request.path_params["name"]
        seconds = float(asked["seconds"])
        try:
            run = self._cells.agent
            output = await asyncio.to_thread(run, self._clone.name, name, dict(asked["input"]), seconds=seconds)
        except AgentFailed as error:
            return JSONResponse({"failed": str(error)})
        except CellsAway as error:
            return JSONResponse({"error": error.code, "message": str(error)}, 503)
        return JSONResponse({"output": output})


class Upload:
    """Frames of one request on their way to the disk. Blocking; one call at a time."""

    def __init__(self, site: Path, held: Path) -> None:
        self._site, self._held = site, held
        self._unpacker = Unpacker()
        self._sink: FileSink | None = None
        self._received, self._settle, self._complete = Received(), False, False

    def feed(self, data: bytes) -> None:
        """More bytes. Raises JobError, BadFrames, OSError."""
        for kind, payload in self._unpacker.feed(data):
            if self._complete:
                raise BadFrames("something comes behind the end")
            if kind == PLAN and self._sink is None:
                self._begin(json.loads(payload))
            elif self._sink is None:
                raise BadFrames("files come before the plan")
            elif kind in FILES:
                self._sink.feed(Frame(kind, 0, payload))
            elif kind == END:
                self._complete = True
            else:
                raise BadFrames("a frame of another kind")

    def finish(self) -> Received:
        """All has come: what is there now. Raises BadFrames when not all has."""
        self._unpacker.finish()
        if self._sink is None or not self._complete:
            raise BadFrames("the upload breaks off")
        self._sink.cut()
        if self._settle:
            self._sink.settle()
        return self._received

    def close(self) -> None:
        """Let go of everything; what was written stays for the resume."""
        if self._sink is not None:
            self._sink.close()

    def _begin(self, plan: dict[str, Any]) -> None:
        roots = {str(name): _decoded(place) for name, place in plan["roots"].items()}
        arrangement = Arrangement(roots, _decoded(plan["content"]), _decoded(plan["mu_plugins"]))
        self._received, self._settle = Received(**plan["received"]), bool(plan["settle"])
        self._sink = FileSink(arrangement.at(self._site, self._held), self._received)


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            data = await asyncio.wait_for(anext(stream), SILENCE)
        except (StopAsyncIteration, TimeoutError):
            return
        yield data


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for data in _arriving(request):
        body += data
        if len(body) > LARGEST:
            raise ValueError("the body is too long")
    return bytes(body)


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text)
    except binascii.Error as error:
        raise ValueError("no base64") from error


async def _job_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, JobError)
    return JSONResponse({"error": error.code, "message": error.message}, 422)


async def _bad(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "bad_request", "message": str(error)}, 400)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "disk", "message": str(error)}, 500)


async def _serve(place: Place) -> None:
    agent = Agent(place.clone, CellsClient(pod_layout.CONTROL))
    agent.make_folders()
    config = uvicorn.Config(
        agent.app(secret(pod_layout.TOKEN)),
        host=place.pod_ip,
        port=pod_layout.AGENT_PORT,
        ssl_certfile=str(pod_layout.SECRETS / pod_layout.CERTIFICATE),
        ssl_keyfile=str(pod_layout.SECRETS / pod_layout.KEY),
        limit_concurrency=CONNECTIONS,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Serve the cloner."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(Place()))
