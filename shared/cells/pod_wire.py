"""Frames between a cloner and the agent in a clone's Pod: one byte says what it is, four how long the payload is.

Files travel as the connector sent them (`shared.wordpress.connector.protocol`: F, B, C, D, L, W). Before them goes a
PLAN, behind them an END, so that an upload that breaks off is told from one that is complete. Stylesheets come back as
NAME and BYTES. The connection is TLS with the Pod's own certificate: frames need no checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from shared.wordpress import limits

PLAN, END, NAME, BYTES = "P", "Z", "N", "B"
FILES = frozenset("FBCDLW")
_HEAD = struct.Struct(">cI")


class BadFrames(ValueError):
    """What arrives is not made of frames, or ends inside of one."""


def packed(kind: str, payload: bytes | memoryview) -> bytes:
    """One frame."""
    return _HEAD.pack(kind.encode(), len(payload)) + payload


class Unpacker:
    """Frames from bytes, however they are split. Raises BadFrames."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """Frames completed by these bytes."""
        self._waiting += data
        at, size = 0, len(self._waiting)
        try:
            while size - at >= _HEAD.size:
                kind, length = _HEAD.unpack_from(self._waiting, at)
                if length > limits.FRAME.most or not kind.isalpha():
                    raise BadFrames("this is no frame")
                if size - at - _HEAD.size < length:
                    break
                begin = at + _HEAD.size
                at = begin + length
                yield kind.decode(), bytes(self._waiting[begin:at])
        finally:
            del self._waiting[:at]

    def finish(self) -> None:
        """No more comes."""
        if self._waiting:
            raise BadFrames("the last frame is not complete")
