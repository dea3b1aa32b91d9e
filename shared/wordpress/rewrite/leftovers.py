"""What of the source is still in a value after rewriting, however it is written."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from .layers import ESCAPINGS, Layer
from .matcher import Cursor, HintAnchor, Matcher
from .report import Kind, Reason
from .shortcodes import OPENING, from_base64

_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/]*")
_WINDOW = 1 << 12
_EFFORT = 16
"""Bytes decoded for each byte of a value, at most."""


@dataclass(frozen=True)
class Leftover:
    """A source URL or path found at `offset` of a value; `text` is what stands there (decoded, for base64)."""

    kind: Kind | Reason
    offset: int
    text: bytes


def scan(matcher: Matcher, value: bytes) -> list[Leftover]:
    """All leftovers of a value, serialized or not: lengths and keys do not matter for what is still visible."""
    return _scan(matcher, value, [_EFFORT * len(value) + (1 << 16)])


def in_base64(matcher: Matcher, value: bytes) -> list[Leftover]:
    """Those in base64 alone: in blocks of it, and in whatever else looks like it."""
    return _in_base64(matcher, value, [_EFFORT * len(value) + (1 << 16)])


def _scan(matcher: Matcher, value: bytes, effort: list[int]) -> list[Leftover]:
    found, hinted = _in_clear(matcher, value)
    found += _in_base64(matcher, value, effort)
    if hinted:
        found += _escaped(matcher, value, found, effort, set())
    return found


def _in_clear(matcher: Matcher, value: bytes) -> tuple[list[Leftover], bool]:
    """What can be read as it stands, and whether there is more for whoever decodes the text."""
    found: list[Leftover] = []
    cursor, covered, hinted = Cursor(matcher, value), 0, False
    while cursor.peek() < len(value):
        at, anchor = cursor.take()
        hinted = hinted or type(anchor) is HintAnchor
        hit = anchor.locate(value, at, 0, len(value))
        if hit is not None and hit[0] >= covered:
            found.append(Leftover(hit[3], hit[0], value[hit[0] : hit[1]]))
            covered = hit[1]
    return found, hinted


def _escaped(
    matcher: Matcher, value: bytes, known: list[Leftover], effort: list[int], seen: set[int]
) -> list[Leftover]:
    """What is seen only once the text is decoded: hosts whose own characters are escaped."""
    found: list[Leftover] = []
    taken = {left.offset for left in known}
    blocks = {left.text for left in known if left.kind is Kind.BASE64}
    for escaping in ESCAPINGS:
        effort[0] -= len(value)
        if escaping.sign not in value or effort[0] < 0:
            continue
        if escaping.innermost and not matcher.is_inner(escaping.name, value):
            continue
        layer = Layer(value, escaping)
        if not layer or (not escaping.innermost and hash(layer.text) in seen):
            continue
        inner, _ = _in_clear(matcher, layer.text)
        if escaping.kept:
            inner = [Leftover(escaping.kept, left.offset, left.text) for left in inner]
        if not escaping.innermost:
            seen.add(hash(layer.text))
            # A block that is seen from outside, up to its first escaped slash perhaps, is the same one.
            inner += [left for left in _in_base64(matcher, layer.text, effort) if left.text not in blocks]
            inner += _escaped(matcher, layer.text, inner, effort, seen)
        for left in inner:
            offset = layer.at(left.offset)
            if offset not in taken:
                taken.add(offset)
                found.append(Leftover(left.kind, offset, left.text))
    return found


def _in_base64(matcher: Matcher, value: bytes, effort: list[int]) -> list[Leftover]:
    """Blobs of base64 that hold a source host: blocks that are decoded, and what shows the host's own base64."""
    found = _in_blocks(matcher, value, effort)
    taken = {left.offset for left in found}
    return found + [left for left in _in_runs(matcher, value) if left.offset not in taken]


def _in_blocks(matcher: Matcher, value: bytes, effort: list[int]) -> list[Leftover]:
    """What stands in raw blocks, however it is written there."""
    if b"[vc_raw_" not in value:
        return []
    found: list[Leftover] = []
    for opening in OPENING.finditer(value):
        effort[0] -= len(opening[2])
        decoded = from_base64(opening[2]) if effort[0] >= 0 else None
        if decoded:
            inner = _scan(matcher, decoded, effort)
            found += [Leftover(Kind.BASE64, opening.start(2), left.text) for left in inner]
    return found


def _in_runs(matcher: Matcher, value: bytes) -> list[Leftover]:
    """Blobs of base64 that hold a source host, seen by what the host looks like at each of three alignments."""
    found: list[Leftover] = []
    for needle in matcher.base64_needles:
        position = value.find(needle)
        while position >= 0:
            begin, end = _run(value, position)
            decoded = _decode(value[begin:end])
            found += [Leftover(Kind.BASE64, begin, left.text) for left in _visible(matcher, decoded)]
            position = value.find(needle, end)
    return found


def _run(value: bytes, position: int) -> tuple[int, int]:
    """The stretch of base64 around a position, at most `_WINDOW` to either side."""
    left = _BASE64_RUN.match(value[max(0, position - _WINDOW) : position][::-1])
    right = _BASE64_RUN.match(value, position, min(len(value), position + _WINDOW))
    return position - (left.end() if left else 0), right.end() if right else position


def _decode(run: bytes) -> bytes:
    """Decodes at each alignment the blob may have and returns what was readable, joined."""
    pieces = []
    for shift in range(min(4, len(run))):
        part = run[shift:]
        if len(part) % 4 == 1:
            part = part[:-1]
        pieces.append(base64.b64decode(part + b"=" * (-len(part) % 4)))
    return b"\n".join(pieces)


def _visible(matcher: Matcher, decoded: bytes) -> list[Leftover]:
    cursor, found = Cursor(matcher, decoded), []
    while cursor.peek() < len(decoded):
        at, anchor = cursor.take()
        hit = anchor.locate(decoded, at, 0, len(decoded))
        if hit is not None and hit[3] is not Kind.PATH:
            found.append(Leftover(Kind.BASE64, at, decoded[hit[0] : hit[1]]))
    return found
