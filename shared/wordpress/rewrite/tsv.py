"""Rows in LOAD DATA format: fields end in a tab, rows in a newline; backslash escapes both, itself, NUL, CR and SUB."""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_DECODED = {b"\\%c" % byte: bytes((byte,)) for byte in range(256)}
_DECODED |= {rb"\n": b"\n", rb"\t": b"\t", rb"\0": b"\0", rb"\r": b"\r", rb"\Z": b"\x1a", rb"\b": b"\b"}


def unescape(cell: bytes) -> bytes:
    """The value of a field. NULL (backslash N alone) has none: callers look for it before."""
    # One pass with a look-up for each escape: five times as fast as replacing one kind after the other.
    return _ESCAPE.sub(_decoded, cell) if b"\\" in cell else cell


def _decoded(escape: re.Match[bytes]) -> bytes:
    return _DECODED[escape[0]]


def escape(value: bytes) -> bytes:
    """A value as a field."""
    value = value.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\t", b"\\t")
    return value.replace(b"\0", b"\\0").replace(b"\r", b"\\r").replace(b"\x1a", b"\\Z")


class Fields:
    """The fields of a block of rows, looked up by ascending positions: which one it is and where it lies."""

    __slots__ = ("_data", "end", "index", "line_end", "line_start", "start")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.index = self.start = self.end = self.line_start = self.line_end = 0

    def move(self, at: int) -> None:
        """Goes to the field around position `at`, which lies behind the present field."""
        data = self._data
        if at >= self.line_end:
            self.line_start = data.rfind(b"\n", self.line_end, at) + 1 or self.line_end
            line_end = data.find(b"\n", at)
            self.line_end = len(data) if line_end < 0 else line_end
            self.start, self.index = self.line_start, 0
        tabs = data.count(b"\t", self.start, at)
        if tabs:
            self.index += tabs
            self.start = data.rfind(b"\t", self.start, at) + 1
        end = data.find(b"\t", at, self.line_end)
        self.end = self.line_end if end < 0 else end
