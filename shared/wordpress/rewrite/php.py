"""The grammar of PHP's serialize(), on bytes: https://www.php.net/manual/en/function.serialize.php.

Nothing is unserialized: no class is looked up, no object is made. The walker only proves that a value is readable
from its first to its last byte and hands every string payload to a visitor, which tells by how many bytes it changed
it. Tokens: N b i d s S a O C E r R. Any other token, and any wrong length or count, makes the value unreadable.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Protocol

HEAD = re.compile(rb'[ \t\r\n\0\x0b]*+(?=s:[0-9]{1,10}:"|a:[0-9]{1,10}:\{|[OCE]:[0-9]{1,10}:")')
"""What a serialized value that can hold a string begins with; its match ends where the value begins."""

_SCALAR = re.compile(
    rb"(?:(i:[+-]?[0-9]+;)|N;|b:[01];|d:(?:-?INF|NAN|[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?);|[rR]:[0-9]+;)"
)
_LENGTH = re.compile(rb"([sSaOCE]):([0-9]{1,10}):([\"{])")
_COUNT = re.compile(rb'":([0-9]{1,10}):\{')
_HEX = re.compile(rb"[0-9a-fA-F]{2}")
_RUBBLE = re.compile(
    rb"(?:\}|i:[+-]?[0-9]+;|N;|b:[01];|d:[-+.0-9A-Za-z]+;|[rR]:[0-9]+;|a:[0-9]+:\{|[OC]:[0-9]+:\"[^\"]{0,256}\":[0-9]+:\{"
    rb"|([sSE]:[0-9]+:\"))"
)
_ARRAY_OBJECT = re.compile(rb"x:i:[0-9]+;")


class Unreadable(Exception):
    """PHP could not read this value either: a wrong length, a wrong count, an unknown token. `at` is where it ends."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class Part(Enum):
    """What a piece of a serialized value is, as far as a visitor cares."""

    STRING = "string"
    KEY = "key"
    NAME = "name"
    ENUM = "enum"
    ESCAPED = "escaped"
    OPAQUE = "opaque"


class Visitor(Protocol):
    """Told about every piece that is longer than a number. `length_at` is where the length's digits stand."""

    def string(self, start: int, end: int, length_at: int) -> None:
        """A value string's payload is data[start:end]; its digits are data[length_at : start - 2]."""

    def body(self, start: int, end: int, length_at: int) -> None:
        """The body of a C: token, whose digits end where `:{` begins."""

    def other(self, part: Part, start: int, end: int) -> None:
        """A piece that must not change."""


def walk(data: bytes, start: int, end: int, visitor: Visitor) -> int:
    """Reads one value at `start` and returns where it ends; raises Unreadable. Time is linear, depth costs no stack."""
    position, remaining = start, 1
    open_items: list[int] = []
    while True:
        while remaining == 0:
            if not open_items:
                return position
            if data[position : position + 1] != b"}" or position >= end:
                raise Unreadable(position)
            position, remaining = position + 1, open_items.pop()
        is_key = bool(open_items) and remaining % 2 == 0
        remaining -= 1
        scalar = _SCALAR.match(data, position, end)
        if scalar is not None:
            if is_key and scalar[1] is None:
                raise Unreadable(position)
            position = scalar.end()
            continue
        token = _LENGTH.match(data, position, end)
        if token is None:
            raise Unreadable(position)
        letter, size, begin = token[1], int(token[2]), token.end()
        if (letter == b"a") != (token[3] == b"{") or (is_key and letter not in b"sS"):
            raise Unreadable(position)
        if letter == b"a":
            open_items.append(remaining)
            position, remaining = begin, 2 * size
        elif letter == b"s":
            position = begin + size + 2
            if position > end or data[position - 2 : position] != b'";':
                raise Unreadable(token.start())
            if is_key:
                visitor.other(Part.KEY, begin, begin + size)
            else:
                visitor.string(begin, begin + size, token.start(2))
        else:
            position, count = _rare(data, token, end, visitor)
            if count is not None:
                open_items.append(remaining)
                remaining = 2 * count


def _rare(data: bytes, token: re.Match[bytes], end: int, visitor: Visitor) -> tuple[int, int | None]:
    """The tokens O, S, E and C; returns where the token ends, or where properties begin and their number."""
    letter, size, begin = token[1], int(token[2]), token.end()
    close = begin + size
    if letter == b"S":
        return _escaped(data, token, end, visitor), None
    if letter == b"E":
        if data[close : close + 2] != b'";' or close + 2 > end:
            raise Unreadable(token.start())
        visitor.other(Part.ENUM, begin, close)
        return close + 2, None
    count = _COUNT.match(data, close, end)
    if count is None:
        raise Unreadable(token.start())
    if letter == b"O":
        visitor.other(Part.NAME, begin, close)
        return count.end(), int(count[1])
    body, closed = count.end(), count.end() + int(count[1])
    if closed >= end or data[closed : closed + 1] != b"}":
        raise Unreadable(token.start())
    visitor.other(Part.NAME, begin, close)
    visitor.body(body, closed, count.start(1))
    return closed + 1, None


def _escaped(data: bytes, token: re.Match[bytes], end: int, visitor: Visitor) -> int:
    """An S: token: so many units, each one byte or a backslash with two hexadecimal digits."""
    begin = position = token.end()
    left = int(token[2])
    while (escape := data.find(b"\\", position, min(position + left, end))) >= 0:
        if not _HEX.match(data, escape + 1, end):
            raise Unreadable(token.start())
        left -= escape - position + 1
        position = escape + 3
    close = position + left
    if close + 2 > end or data[close : close + 2] != b'";':
        raise Unreadable(token.start())
    visitor.other(Part.ESCAPED, begin, close)
    return close + 2


class Silent:
    """A visitor that only lets the walker prove a value readable."""

    def string(self, start: int, end: int, length_at: int) -> None:
        """Nothing to do."""

    def body(self, start: int, end: int, length_at: int) -> None:
        """Nothing to do."""

    def other(self, part: Part, start: int, end: int) -> None:
        """Nothing to do."""


def read(data: bytes, start: int, end: int) -> tuple[int | None, int]:
    """Where the value at `start` ends, None if PHP could not read it; and how far it could be read."""
    try:
        close = walk(data, start, end, Silent())
    except Unreadable as unreadable:
        return None, unreadable.at
    return close, close


def readable(data: bytes, start: int, end: int) -> int | None:
    """Where the value at `start` ends; None if PHP could not read it."""
    return read(data, start, end)[0]


def is_values(data: bytes, start: int, end: int, separator: bytes) -> bool:
    """Whether data[start:end] is one serialized value, or two with `separator` between them."""
    closed = readable(data, start, end)
    if closed is not None and separator:
        if data[closed : closed + len(separator)] != separator:
            return False
        closed = readable(data, closed + len(separator), end)
    return closed == end


def rubble(data: bytes, start: int, end: int) -> int:
    """Where an unreadable value ends that was read up to `start`: behind all that still looks like parts of one."""
    position = start
    while (part := _RUBBLE.match(data, position, end)) is not None:
        position = part.end()
        if part[1]:
            close = data.find(b'";', position, end)
            if close < 0:
                return part.start()
            position = close + 2
    return position


def custom_body_values(data: bytes, start: int, end: int) -> tuple[int, bytes] | None:
    """How the body of a C: token holds its values: where the first begins, and what separates it from the next.

    ArrayObject and ArrayIterator write `x:i:FLAGS;VALUE;m:MEMBERS`; most other classes write one value. None if the
    body begins with neither.
    """
    array_object = _ARRAY_OBJECT.match(data, start, end)
    if array_object is not None:
        return array_object.end(), b";m:"
    head = HEAD.match(data, start, end)
    return (start, b"") if head is not None and head.end() == start else None
