"""The connector's protocol, version 1, without any I/O.

Request body: `SF1.<HMAC-SHA256 hex of the payload text>.<payload>`; the payload is base64 of the raw-deflated JSON
envelope `{version, op, params, expires, nonce}`. Each nonce is good for one request, within five minutes.

Answer: `SFR1`, then frames: type (1 ASCII byte), flags (1 byte), length (u32 BE), CRC-32 of the payload as sent
(u32 BE), payload. The first frame is `H` (JSON with the request's nonce), the last but one `E` (JSON: `cursor`, `done`,
statistics) or `X` (JSON: `code`, `message`), the last `S`: HMAC-SHA256 hex over the nonce and all frame headers before.

    J  JSON      the result of a small operation (db.count and files.count too); files.digest sends many, and
                 files.stream with `digest`: {files: [{root, path_b64, size, mtime, mode, md5}]} in place of F, B and C
    D  JSON      directory {root, path_b64, mode, mtime}
    F  JSON      a file begins {root, path_b64, size, mtime, mode, offset}
    B  bytes     the next bytes of that file, at most 1 MiB
    C  JSON      the file ends {size, changed}; a file cut by the budget has none and goes on in the next answer
    L  JSON      symlink {root, path_b64, target_b64}, the target relative and inside the root
    W  JSON      what could not be sent: {root, path_b64, reason} or {table, reason}
    T  JSON      the rows that follow belong to {table, columns, resumed}
    R  bytes     rows in LOAD DATA's default format; whole rows, about 1 MiB; with `continues` (pieces of a
                 large row, at most 8 MiB) the row goes on in the next R. With `digest`: lines of the row's key
                 columns in that format, a tab and the MD5 of the row's line (no key: the MD5 alone)
    K  JSON      a cursor {table, key, offset, table_done?} ({table, at} of db.fetch): every row before it has been sent

Operations of a clone: hello, inspect, files.count, files.stream, db.count, db.stream, remove. One that begins with what
an earlier clone got also asks db.stream {digest: true}, db.fetch, files.stream {digest: true} and {files: [{root,
path_b64}]}, which sends these alone, at most 5,000. A connector that knows neither of the last two sends everything.
Of a restore, since 1.1:

    inspect {target: true}      also foreign_keys, triggers_on, users, writable_bases, privileges
    db.stream {digest: true}, db.fetch, files.digest, files.fetch    what two sites are compared by, and single pieces
    stage.begin/copy/reserve/apply/files/sql/drop    tables `sfn_<8 hex>_<n>` and files in a directory of ours, beside
                                the live ones; every one may be repeated
    swap, swap.late, swap.rollback, swap.state, snapshots, health    the exchange, its journal, and what is kept

A file of a restore is named {base, path_b64}: base is content, plugins, mu-plugins, themes or uploads, the most
specific one that holds the file. `rescue.php` in the plugin's directory takes the same requests when WordPress can not
start with its plugins: hello, swap, swap.state and swap.rollback only. Old tables are called `sfo_<8 hex>_<n>`. What
the connector reports in `X` may carry `details` (table, key, file).

The journal: swap first notes its plan (state `swapping`) and marks it beside the plugin, puts the files in place (each
old one kept), and exchanges all tables in one RENAME, which is the commit point. Whoever comes next and finds an
exchange that nobody works on ends it: forward when a table was renamed, back when none was. A roll-back renames first
and is always ended forward. The connection that renames holds a named lock of the database; it is ended before the
outcome is looked at, so that a RENAME still waiting in the server can not come later.

Reading rows: BIT comes as an unsigned number; FLOAT and DOUBLE with all digits; TIMESTAMP in UTC (load with
`time_zone='+00:00'`); geometry as its internal bytes; everything else as the bytes that are stored.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import Temporary
from shared.wordpress import limits
from shared.wordpress.connector.errors import BadPairingKey

VERSION: Final = 1
MAGIC: Final = b"SFR1"
WINDOW: Final = 300
"""Seconds a request may be used."""
MAX_JUNK: Final = 16384
"""Bytes that a badly behaved plugin may print before the magic (a BOM, a notice)."""
MAX_PAYLOAD: Final = int(limits.FRAME.most)
DEFLATED: Final = 1
CONTINUES: Final = 2
KEY_BYTES: Final = 32
PAIRING_PREFIX: Final = "sf1_"

_HEADER = struct.Struct(">cBII")
_KNOWN_TYPES = frozenset(b"HJDFBCLWTRKEXS")


class TruncatedResponse(Temporary):
    """The source's answer broke off or arrived damaged."""

    code = "truncated_response"
    hint = "Siteferry goes on from the last byte that arrived safely."


@dataclass(frozen=True, slots=True)
class Frame:
    """One verified piece of an answer; the payload is inflated already."""

    type: str
    flags: int
    payload: bytes

    @property
    def continues(self) -> bool:
        """Whether this `R` ends inside a row that the next `R` carries on."""
        return bool(self.flags & CONTINUES)

    def json(self) -> dict[str, Any]:
        """The payload of a JSON frame. Raises `TruncatedResponse` when it is none, `AnswerTooLarge`."""
        check_json(self.payload)
        try:
            data = json.loads(str(self.payload, "utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise TruncatedResponse(f"A frame of type {self.type} can not be read.") from error
        if not isinstance(data, dict):
            raise TruncatedResponse(f"A frame of type {self.type} holds no object.")
        return data


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request body and the nonce its answer must carry."""

    body: bytes
    nonce: str


def sign(op: str, params: dict[str, Any], key: bytes, *, now: float) -> SignedRequest:
    """Make a request body. `now` is the source's time in Unix seconds, as well as we know it."""
    nonce = secrets.token_hex(16)
    envelope = {"version": VERSION, "op": op, "params": params, "expires": int(now) + WINDOW, "nonce": nonce}
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(json.dumps(envelope, separators=(",", ":")).encode()) + packer.flush()
    payload = base64.b64encode(packed)
    mac = hmac.new(key, payload, hashlib.sha256).hexdigest().encode()
    return SignedRequest(b"SF1." + mac + b"." + payload, nonce)


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{]++|[\]}]++")


def check_json(payload: bytes) -> None:
    """Refuse JSON that would take far more memory as objects than as bytes, or nests deeper than anything of ours.

    Bounds from above, in time linear in the payload. Raises `AnswerTooLarge`.
    """
    opened = payload.count(b"[") + payload.count(b"{")
    if len(payload) < 4096 and opened <= limits.JSON_DEPTH.most:
        return
    limits.JSON.check(len(payload))
    bare = _STRING.sub(b"", payload)
    opened = bare.count(b"[") + bare.count(b"{")
    limits.JSON_VALUES.check(opened + bare.count(b",") + bare.count(b":"))
    if opened <= limits.JSON_DEPTH.most:
        return
    depth = 0
    for run in _BRACKETS.finditer(bare):
        length = run.end() - run.start()
        depth += length if bare[run.start()] in b"[{" else -length
        limits.JSON_DEPTH.check(depth)


class FrameDecoder:
    """Turns the bytes of one answer into verified frames, however they are split.

    for frame in decoder.feed(data): ...
    decoder.finish()   # raises unless the answer was complete and signed

    `H` and `S` are checked and kept back. Everything wrong raises `TruncatedResponse`; frames that were already
    given out are good: their checksum held and they came after the nonce. Bytes after `S` are ignored.
    """

    def __init__(self, nonce: str, key: bytes) -> None:
        self._nonce = nonce
        self._mac = hmac.new(key, nonce.encode(), hashlib.sha256)
        self._chunks: list[bytes] = []
        self._size = 0
        self._need = len(MAGIC)
        self._begun = False
        self._opened = False
        self._ended = False
        self.hello: dict[str, Any] = {}
        """What the `H` frame said: nonce, connector, instance."""
        self.complete = False
        """Whether the signature at the end was seen and is right."""

    @property
    def begun(self) -> bool:
        """Whether the magic was seen: whoever answers speaks our protocol."""
        return self._begun

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames completed by these bytes. Must be iterated to its end before the next call."""
        if self.complete:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size < self._need:
            return
        joined = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        start = 0 if self._begun else self._find_magic(joined)
        if start < 0:
            self._keep(joined, 0, self._size + 1)
            return
        yield from self._frames(joined, start)

    def finish(self) -> None:
        """Say that no more bytes come. Raises `TruncatedResponse` unless the answer is whole."""
        if not self.complete:
            raise TruncatedResponse("The source's answer broke off before its end.")

    def _find_magic(self, data: bytes) -> int:
        at = data.find(MAGIC, 0, MAX_JUNK + len(MAGIC))
        if at < 0:
            if len(data) > MAX_JUNK:
                raise TruncatedResponse("The answer does not come from the connector.")
            return -1
        self._begun = True
        return at + len(MAGIC)

    def _frames(self, data: bytes, at: int) -> Iterator[Frame]:
        size, header_size = len(data), _HEADER.size
        view = memoryview(data)
        while size - at >= header_size:
            kind, flags, length, crc = _HEADER.unpack_from(data, at)
            if kind[0] not in _KNOWN_TYPES or length > MAX_PAYLOAD:  # most likely damaged on the way
                raise TruncatedResponse("The answer holds something that is not a frame.")
            end = at + header_size + length
            if end > size:
                self._keep(data, at, header_size + length)
                return
            payload = view[at + header_size : end]
            if zlib.crc32(payload) != crc:
                raise TruncatedResponse("A frame arrived damaged.")
            frame = self._accept(kind.decode(), flags, payload)
            if kind != b"S":
                self._mac.update(view[at : at + header_size])
            at = end
            if frame is not None:
                yield frame
            if self.complete:
                self._chunks, self._size = [], 0
                return
        self._keep(data, at, header_size)

    def _keep(self, data: bytes, at: int, need: int) -> None:
        rest = data[at:] if at else data
        self._chunks = [rest] if rest else []
        self._size = len(rest)
        self._need = need

    def _accept(self, kind: str, flags: int, payload: memoryview) -> Frame | None:
        if kind == "S":
            if flags or not self._ended or not hmac.compare_digest(bytes(payload), self._mac.hexdigest().encode()):
                raise TruncatedResponse("The signature at the end of the answer is wrong.")
            self.complete = True
            return None
        if self._ended or self._opened == (kind == "H"):
            raise TruncatedResponse("The answer's frames are out of order.")
        frame = Frame(kind, flags, inflate(payload) if flags & DEFLATED else bytes(payload))
        if kind == "H":
            self.hello = frame.json()
            if self.hello.get("nonce") != self._nonce:
                raise TruncatedResponse("The answer belongs to another request (a cache in front of the site?).")
            self._opened = True
            return None
        self._ended = kind in "EX"
        return frame


def inflate(payload: bytes | memoryview) -> bytes:
    """Unpack a deflated payload. Raises `TruncatedResponse`, `AnswerTooLarge`."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(payload, MAX_PAYLOAD)
    except zlib.error as error:
        raise TruncatedResponse("A packed frame can not be unpacked.") from error
    if unpacker.unconsumed_tail:
        limits.FRAME.check(MAX_PAYLOAD + 1)
    if not unpacker.eof:
        raise TruncatedResponse("A packed frame is incomplete.")
    return data


def parse_pairing_key(text: str) -> bytes:
    """The key behind what the connector's page shows (`sf1_…`). Raises `BadPairingKey`."""
    body = "".join(text.split())
    if not body.startswith(PAIRING_PREFIX):
        raise BadPairingKey(f"A pairing key begins with {PAIRING_PREFIX}.")
    body = body.removeprefix(PAIRING_PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", body):
        raise BadPairingKey("The pairing key is incomplete or has a wrong character in it.")
    return base64.urlsafe_b64decode(body + "=")


def format_pairing_key(key: bytes) -> str:
    """The text form of a key, as the connector's page shows it."""
    return PAIRING_PREFIX + base64.urlsafe_b64encode(key).rstrip(b"=").decode()


class FileCursor:
    """Follows a `files.stream` and knows the cursor behind each frame, for resuming an answer that broke off."""

    def __init__(self, cursor: dict[str, Any] | None = None) -> None:
        self.cursor = cursor
        """Where to resume: pass it as the next request's `cursor` (None = from the start)."""
        self._file: dict[str, Any] | None = None

    def passed(self, frame: Frame) -> None:
        """Call after a frame was dealt with."""
        if frame.type == "B" and self._file is not None:
            self._file["offset"] += len(frame.payload)
            self.cursor = dict(self._file)
        elif frame.type == "F":
            meta = frame.json()
            self._file = {name: meta[name] for name in ("root", "path_b64", "offset", "size", "mtime")}
        elif frame.type == "C" and self._file is not None:
            self.cursor = {"root": self._file["root"], "path_b64": self._file["path_b64"], "offset": None}
            self._file = None
        elif frame.type in "DLW":
            meta = frame.json()
            past = {"past": True} if frame.type == "W" else {}
            self.cursor = {"root": meta["root"], "path_b64": meta["path_b64"], "offset": None, **past}
        elif frame.type == "E":
            self.cursor = frame.json()["cursor"]
