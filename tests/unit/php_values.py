"""A small serialize() and unserialize() for tests, independent of the product's walker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PhpObject:
    """An object: class name and properties, names as serialized (private ones begin with NUL class NUL)."""

    name: bytes
    properties: tuple[tuple[bytes, Any], ...]


def serialize(value: Any) -> bytes:
    """None, bool, int, float, bytes, list, dict and PhpObject as PHP writes them."""
    match value:
        case None:
            return b"N;"
        case bool():
            return b"b:%d;" % value
        case int():
            return b"i:%d;" % value
        case float():
            return b"d:%s;" % repr(value).encode()
        case bytes():
            return b's:%d:"%s";' % (len(value), value)
        case list():
            return serialize(dict(enumerate(value)))
        case dict():
            items = b"".join(serialize(key) + serialize(item) for key, item in value.items())
            return b"a:%d:{%s}" % (len(value), items)
        case PhpObject():
            items = b"".join(serialize(key) + serialize(item) for key, item in value.properties)
            return b'O:%d:"%s":%d:{%s}' % (len(value.name), value.name, len(value.properties), items)
    raise TypeError(type(value))


def unserialize(data: bytes) -> Any:
    """The value; raises ValueError where PHP would refuse (lengths, counts, tail)."""
    value, rest = _read(data)
    if rest:
        raise ValueError(f"tail {rest[:20]!r}")
    return value


def _read(data: bytes) -> tuple[Any, bytes]:
    kind = data[:2]
    if kind == b"N;":
        return None, data[2:]
    if kind in (b"i:", b"b:", b"d:"):
        text, _, rest = data[2:].partition(b";")
        parsers: dict[bytes, Callable[[bytes], Any]] = {b"i:": int, b"b:": lambda t: bool(int(t)), b"d:": float}
        return parsers[kind](text), rest
    if kind == b"s:":
        return _string(data[2:])
    if kind == b"a:":
        count, _, rest = data[2:].partition(b":{")
        pairs, rest = _pairs(int(count), rest)
        return dict(pairs), rest
    if kind == b"O:":
        name, rest = _quoted(data[2:])
        count, _, rest = rest[1:].partition(b":{")
        pairs, rest = _pairs(int(count), rest)
        return PhpObject(name, tuple(pairs)), rest
    raise ValueError(f"token {data[:20]!r}")


def _quoted(data: bytes) -> tuple[bytes, bytes]:
    size, _, rest = data.partition(b':"')
    text, rest = rest[: int(size)], rest[int(size) :]
    if not rest.startswith(b'"'):
        raise ValueError(f"length {size!r}")
    return text, rest[1:]


def _string(data: bytes) -> tuple[bytes, bytes]:
    text, rest = _quoted(data)
    if not rest.startswith(b";"):
        raise ValueError("no semicolon")
    return text, rest[1:]


def _pairs(count: int, data: bytes) -> tuple[list[tuple[Any, Any]], bytes]:
    pairs = []
    for _ in range(count):
        key, data = _read(data)
        value, data = _read(data)
        pairs.append((key, value))
    if not data.startswith(b"}"):
        raise ValueError("no closing brace")
    return pairs, data[1:]
