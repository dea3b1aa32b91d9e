"""A real site whose connector lies: answers are changed on their way and signed again, as the site's owner could do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shared.wordpress.connector.protocol import parse_pairing_key
from tests.sites.site import Site

HEADER = struct.Struct(">cBII")
MAGIC = b"SFR1"
AFAR = 0.03
"""Seconds."""
HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(frozen=True)
class Piece:
    """One frame as it travels."""

    type: str
    payload: bytes = b""
    flags: int = 0

    @property
    def json(self) -> Any:
        """What a JSON frame holds."""
        return json.loads(self.payload)


def said(type_: str, value: Any) -> Piece:
    """A frame of JSON."""
    return Piece(type_, json.dumps(value).encode())


@dataclass(frozen=True)
class Asked:
    """A request to the connector."""

    op: str
    params: dict[str, Any]
    nonce: str


@dataclass
class Answer:
    """What is sent instead: frames, and bytes behind their headers that the frames themselves would not have."""

    pieces: list[Piece]
    raw: bytes | None = None
    """Sent in place of everything, unsigned."""


Forge = Callable[[Asked, list[Piece]], list[Piece] | Answer]
Raw = Callable[[str, str], "tuple[int, dict[str, str], Iterator[bytes]] | None"]


def honest(_asked: Asked, pieces: list[Piece]) -> list[Piece]:
    """As the connector answers."""
    return pieces


NAME = "hostile-000"
"""The real site's name. Its lying twins have other numbers, so names are exchanged without changing any length."""


@dataclass(frozen=True)
class Lies:
    """What one twin does: `forge` sees every answer of the connector, `raw` every other request, first."""

    forge: Forge = honest
    raw: Raw | None = None


@dataclass
class Forged:
    """The site behind its lying front: one honest address, and as many lying ones as there are lies."""

    site: Site
    pairing: str
    """The key of the connector installed by hand."""
    lies: dict[str, Lies] = field(default_factory=dict)
    """By the twin's name."""
    port: int = 0
    remember: bool = False
    """Whether liars are far away: what the site said once is said again without asking it, after the time an answer
    needs to come from there. So a lie costs this machine no more than one of another machine's would."""
    said: dict[str, tuple[int, list[tuple[str, str]], bytes]] = field(default_factory=dict)
    """By what was asked."""

    @property
    def url(self) -> str:
        """The honest address."""
        return f"http://{NAME}.localhost:{self.port}"

    def twin(self, lies: Lies) -> str:
        """The address of a new twin that lies so."""
        name = f"{NAME[:-3]}{len(self.lies) + 1:03d}"
        self.lies[name] = lies
        return f"http://{name}.localhost:{self.port}"


def unpacked(body: bytes) -> Asked:
    """The request behind a body. The signature is the product's business."""
    envelope = json.loads(zlib.decompress(base64.b64decode(body.split(b".", 2)[2]), -15))
    return Asked(envelope["op"], envelope["params"], envelope["nonce"])


def pieces_of(data: bytes) -> list[Piece]:
    """The frames of an answer, inflated, without the signature."""
    at, found = data.index(MAGIC) + len(MAGIC), []
    while at < len(data):
        kind, flags, length, _ = HEADER.unpack_from(data, at)
        payload = data[at + HEADER.size : at + HEADER.size + length]
        at += HEADER.size + length
        if kind != b"S":
            found.append(Piece(kind.decode(), zlib.decompress(payload) if flags & 1 else payload, flags & ~1))
    return found


def signed(pieces: list[Piece], asked: Asked, key: bytes) -> bytes:
    """Frames as a connector with this key sends them."""
    mac, out = hmac.new(key, asked.nonce.encode(), hashlib.sha256), bytearray(MAGIC)
    for piece in pieces:
        header = HEADER.pack(piece.type.encode(), piece.flags, len(piece.payload), zlib.crc32(piece.payload))
        mac.update(header)
        out += header + piece.payload
    signature = mac.hexdigest().encode()
    return bytes(out + HEADER.pack(b"S", 0, len(signature), zlib.crc32(signature)) + signature)


@contextmanager
def forged(site: Site, pairing: str) -> Iterator[Forged]:
    """Put the front before the site, which then calls itself by the front's address."""
    front, key = Forged(site, pairing), parse_pairing_key(pairing)
    behind = int(site.origin.rpartition(":")[2])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        name = NAME

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            with suppress(ConnectionError, TimeoutError):
                self._serve()

        do_POST = do_HEAD = do_GET

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.name = self.headers.get("Host", "").partition(".")[0]
            lies = front.lies.get(self.name, Lies())
            if lies.raw is not None and (instead := lies.raw(self.command, self.path)) is not None:
                self._stream(*instead)
                return
            status, named, data = self._ask(body)
            if body.startswith(b"SF1.") and MAGIC in data[:65536]:
                data = self._forge(lies.forge, body, data)
            else:
                data = self._named(data)
            self.send_response(status)
            for name, value in named:
                if name.lower() not in HOP:
                    self.send_header(name, value.replace(NAME, self.name))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            """What the real site says: status, headers, body."""
            about = f"{self.command} {self.path} {unpacked(body).op if body.startswith(b'SF1.') else ''}"
            if front.remember and self.name in front.lies:
                time.sleep(AFAR)
                if about in front.said:
                    return front.said[about]
            connection = http.client.HTTPConnection("127.0.0.1", behind, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                headers = {name: value.replace(self.name, NAME) for name, value in headers.items()}
                connection.request(self.command, self.path, body=body, headers=headers)
                answer = connection.getresponse()
                found = front.said[about] = (answer.status, answer.getheaders(), answer.read())
            finally:
                connection.close()
            return found

        def _named(self, data: bytes) -> bytes:
            return data.replace(NAME.encode(), self.name.encode())

        def _forge(self, forge: Forge, body: bytes, data: bytes) -> bytes:
            asked = unpacked(body)
            pieces = [replace(piece, payload=self._named(piece.payload)) for piece in pieces_of(data)]
            if front.remember:
                pieces[0] = said("H", pieces[0].json | {"nonce": asked.nonce})
            made = forge(asked, pieces)
            if isinstance(made, Answer):
                return made.raw if made.raw is not None else signed(made.pieces, asked, key)
            return signed(made, asked, key)

        def _stream(self, status: int, headers: dict[str, str], chunks: Iterator[bytes]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for chunk in chunks:
                self.wfile.write(chunk)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    front.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="forged site", daemon=True)
    thread.start()
    site.sql("UPDATE {p}options SET option_value=%s WHERE option_name IN ('home', 'siteurl')", (front.url,))
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
