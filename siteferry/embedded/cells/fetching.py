"""Serves the media of one clone's source to the clone's web server: GET, below the uploads, by name and type alone.

Whoever is in the cell can ask, so a request says which file and nothing else: where it is fetched was written when the
clone was made. Nothing is sent along but what a visitor of the source would send: no header, query, cookie or login.
"""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import unquote_to_bytes

import h11

from shared.own import Own
from shared.wordpress.addresses import keep_off
from shared.wordpress.media import extension, served_as, stays
from siteferry.embedded.cells.helper import Talk
from siteferry.embedded.cells.keeping import Body, Keeper
from siteferry.embedded.cells.media import Place
from siteferry.embedded.cells.source import Away, Missing, Source

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Files that are fetched at the same time."""
WAIT_SECONDS = 20.0
"""A visitor waits for a file so long, in line and while it comes, until it counts as missing."""
MISSING_SECONDS = 5.0
"""What was not there is not asked for again for so long."""
AWAY_SECONDS = 5.0
"""A source that did not answer is not asked for anything for so long."""
REMEMBERED = 2000
REQUEST_SECONDS = 10.0
PIECE_SECONDS = 60.0
HEAD = 16 * 1024
"""Bytes of a request."""
PIECE = 64 * 1024
LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 1500, 30
HOST = "localhost"
"""Any name: how to write one is a module that is loaded with the first, from where a clone's account may not read."""
RUNS = re.compile(
    rb"\.(?:ph(?:p[0-9s]?|tml|t|ar)|cgi|pl|py|rb|sh|fcgi|aspx?|jspx?|s?html?|svgz?|htaccess)(?:\.|$)", re.I
)
"""Names a server may take for a program, wherever they stand in a path."""
UNCLEAN = re.compile(rb"[\x00-\x1f\x7f\\]")


def talk(place: Place) -> Talk:
    """Called with all rights, so that what is loaded late is there: modules, certificates. Opens no file of a clone."""
    keep_off(Own(place.own_ports, place.edge_port))
    HOST.encode("idna")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # else it tells of each request
    return Media(place).talk


def asked_for(target: bytes, prefix: str) -> bytes | None:
    """The path below the uploads a request names, decoded; None: it is none that may be fetched."""
    path = unquote_to_bytes(target.partition(b"?")[0])
    start = prefix.encode()
    if not path.startswith(start) or len(path) > LONGEST_PATH:
        return None
    below = path[len(start) :]
    # Read once more, as a careless server would, it must mean a file of the same folders.
    for text in (below, unquote_to_bytes(below)):
        parts = text.split(b"/")
        if UNCLEAN.search(text) or len(parts) > DEEPEST or any(not _plain(part) for part in parts):
            return None
    return below if stays(below) and below.count(b"/") == unquote_to_bytes(below).count(b"/") else None


def _plain(part: bytes) -> bool:
    return bool(part) and not part.startswith(b".") and len(part) <= LONGEST_NAME and not RUNS.search(part)


class Media:
    """What one process serves. Everything happens in its event loop, but for fetching, which has threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._keeper = Keeper(place.folder / place.origin.prefix.strip("/"), place.room)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")
        # The first one reads the certificates, while they can be read.
        self._sources = [Source(place.origin, allow_private=place.allow_private)]
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._coming: dict[bytes, asyncio.Task[Body | None]] = {}
        self._waiting: dict[bytes, int] = {}
        self._missing: dict[bytes, float] = {}
        self._away = 0.0
        self._told = False

    def close(self) -> None:
        """End its threads and connections."""
        self._threads.shutdown()
        for source in self._sources:
            source.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request and its answer."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await _request(connection, reader)
        except (h11.RemoteProtocolError, TimeoutError):
            await _refuse(connection, writer, 400)
            return
        if request.method != b"GET":
            await _refuse(connection, writer, 405)
            return
        below = asked_for(request.target, self._place.origin.prefix)
        body = await self._get(below) if below is not None else None
        if below is None or body is None:
            await _refuse(connection, writer, 404)
            return
        await _send(connection, writer, body, served_as(extension(below)))

    async def _get(self, below: bytes) -> Body | None:
        now = asyncio.get_running_loop().time()
        if (kept := self._keeper.kept(below)) is not None:
            return kept
        if max(self._away, self._missing.get(below, 0.0)) > now:
            return None
        task = self._coming.get(below)
        if task is None:
            task = self._coming[below] = asyncio.create_task(self._fetch(below))
            task.add_done_callback(lambda _: self._coming.pop(below, None))
        self._waiting[below] = self._waiting.get(below, 0) + 1
        try:
            return await asyncio.wait_for(asyncio.shield(task), WAIT_SECONDS)
        except TimeoutError:
            return None
        finally:
            self._waiting[below] -= 1
            if not self._waiting[below]:
                del self._waiting[below]

    async def _fetch(self, below: bytes) -> Body | None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._away > loop.time() or below not in self._waiting:
                return None
            try:
                return await loop.run_in_executor(self._threads, self._bring, below)
            except Away:
                self._away = loop.time() + AWAY_SECONDS
            except (Missing, OSError) as error:
                if isinstance(error, OSError) and not self._told:
                    self._told = True
                    log.warning("media can not be kept in %s: %s", self._place.folder, error)
                self._remember(below, loop.time())
        return None

    def _bring(self, below: bytes) -> Body:
        """In a thread, with connections of its own. Raises Missing, Away, OSError."""
        try:
            source = self._sources.pop()
        except IndexError:
            source = Source(self._place.origin, allow_private=self._place.allow_private)
        try:
            with self._keeper.aside() as aside:
                whole = source.fetch(below, extension(below), aside.write)
                return aside.settle(below if whole else None)
        finally:
            self._sources.append(source)

    def _remember(self, below: bytes, now: float) -> None:
        if len(self._missing) >= REMEMBERED:
            self._missing = {name: until for name, until in self._missing.items() if until > now}
        if len(self._missing) < REMEMBERED:
            self._missing[below] = now + MISSING_SECONDS


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request:
    """The head of a request without a body. Raises h11.RemoteProtocolError, EOFError."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return _bodiless(event)
        if event is not h11.NEED_DATA:
            raise EOFError
        data = await reader.read(HEAD)
        if not data:
            raise EOFError
        connection.receive_data(data)


def _bodiless(request: h11.Request) -> h11.Request:
    said = {name: value for name, value in request.headers}
    if b"transfer-encoding" in said or said.get(b"content-length", b"0") != b"0":
        raise h11.RemoteProtocolError("a request for media has no body")
    return request


async def _refuse(connection: h11.Connection, writer: asyncio.StreamWriter, status: int) -> None:
    with suppress(h11.LocalProtocolError):
        head = h11.Response(status_code=status, headers=[("Content-Length", "0"), ("Connection", "close")])
        await _write(writer, connection.send(head))


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, body: Body, content_type: str) -> None:
    size = body.size
    headers = [("Content-Type", content_type), ("Content-Length", str(size)), ("Connection", "close")]
    await _write(writer, connection.send(h11.Response(status_code=200, headers=headers)))
    at = 0
    while at < size:
        data = body.read(PIECE, at)
        if not data:
            return
        at += len(data)
        await _write(writer, connection.send(h11.Data(data=data)))


async def _write(writer: asyncio.StreamWriter, data: bytes | None) -> None:
    async with asyncio.timeout(PIECE_SECONDS):
        writer.write(data or b"")
        await writer.drain()
