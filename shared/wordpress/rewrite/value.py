"""Rewrites one value: text, JSON at any depth of escaping, serialized PHP, base64 shortcodes, and each in each."""

from __future__ import annotations

import base64
import binascii
import re

from . import php
from .embedded import Fragment, fragments, holds_fragments
from .matcher import Cursor, Matcher
from .report import Kind, Reason

MAX_DEPTH = 12
"""Serialized values inside strings, or bodies, of serialized values are followed this deep."""

_HELD = 1024
"""Edits held at most while nothing can be taken back."""

Edit = tuple[int, int, bytes, str | None]
"""data[start:end] becomes other bytes; counted under a kind, or not at all."""

_WRAPPER = re.compile(
    rb"\[(vc_raw_(?:html|js))\b[^\[\]]*+\]\s*+([A-Za-z0-9+/=\\]*+)\s*+\[(\\{0,31})/\1\]",
)
_TRIMMED = b" \t\r\n\0\x0b"
_REASONS = {
    php.Part.KEY: Reason.KEY,
    php.Part.NAME: Reason.NAME,
    php.Part.ENUM: Reason.ENUM,
    php.Part.ESCAPED: Reason.ESCAPED_STRING,
    php.Part.OPAQUE: Reason.CUSTOM,
}


class ValueRewriter:
    """One pass over one buffer. `kinds` and `left` say afterwards what was replaced and what was left.

    The buffer is read forwards only. What changes is kept as a list of edits, in order, so that what turns out to be
    unreadable is taken back at no cost, and a value without a replacement costs no copy.
    """

    def __init__(self, matcher: Matcher, data: bytes, depth: int = 0) -> None:
        self._matcher = matcher
        self._data = data
        self._cursor = Cursor(matcher, data)
        self._depth = depth
        self._edits: list[Edit] = []
        self._open = 0
        self._out = bytearray()
        self._copied = 0
        self._covered = 0
        self._escaped: bool | None = None
        self._grown = 0
        self.kinds: dict[str, int] = {}
        self.left: list[str] = []

    def run(self) -> bytes:
        """The rewritten buffer; the same object when nothing changed."""
        if self._cursor.peek() > len(self._data):
            return self._data
        self.content(0, len(self._data))
        if not self._edits and not self._copied:
            return self._data
        self._flush()
        self._out += memoryview(self._data)[self._copied :]
        return bytes(self._out)

    # -- output --------------------------------------------------------------------------------------------------

    def _replace(self, start: int, end: int, replacement: bytes, kind: str | None) -> None:
        self._edits.append((start, end, replacement, kind))
        self._covered = end
        self._grown += len(replacement) - (end - start)
        if kind is not None:
            self._count(kind)
        if not self._open and len(self._edits) >= _HELD:
            self._flush()

    def _flush(self) -> None:
        """Writes what is decided: nothing that may still be taken back is held when this is called."""
        data = memoryview(self._data)
        for start, end, replacement, _ in self._edits:
            self._out += data[self._copied : start]
            self._out += replacement
            self._copied = end
        self._edits.clear()

    def _fix_length(self, start: int, end: int, before: int, grown: int) -> None:
        """Corrects the digits data[start:end]; their payload's edits begin at `before` and made it grow by `grown`."""
        digits = b"%d" % (int(self._data[start:end]) + grown)
        self._edits.insert(before, (start, end, digits, None))
        self._grown += len(digits) - (end - start)

    def _take_back(self, number: int) -> None:
        """Forgets every edit but the first `number`."""
        for start, end, replacement, kind in self._edits[number:]:
            self._grown -= len(replacement) - (end - start)
            if kind is not None:
                self._count(kind, -1)
        del self._edits[number:]

    def _count(self, kind: str, number: int = 1) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + number

    # -- content of any kind -------------------------------------------------------------------------------------

    def content(self, start: int, end: int) -> None:
        """Rewrites data[start:end], the value itself or the payload of a serialized string."""
        head = php.HEAD.match(self._data, start, end)
        if head is None:
            self._text(start, end)
        elif self._depth >= MAX_DEPTH:
            self._leave(end, Reason.TOO_DEEP)
        else:
            self._serialized(head.end(), end)

    def _leave(self, end: int, reason: Reason) -> None:
        """Skips to `end`; notes the reason if one of our URLs or paths stood there."""
        found = False
        while self._cursor.peek() < end:
            at, anchor = self._cursor.take()
            found = found or anchor.locate(self._data, at, 0, len(self._data)) is not None
        if found:
            self.left.append(reason)

    def _serialized(self, start: int, end: int) -> None:
        before = len(self._edits)
        self._depth += 1
        self._open += 1
        try:
            php.walk(self._data, start, end, self)
        except php.Unreadable:
            self._take_back(before)
            self._cursor.seek(end)
            self.left.append(Reason.UNREADABLE)
        else:
            if len(self._edits) > before and self._depth == 1:
                self._count(Kind.SERIALIZED)
            self._leave(end, Reason.TRAILING)
        finally:
            self._open -= 1
            self._depth -= 1

    # -- what the walker of the serialized grammar reports -------------------------------------------------------

    def string(self, start: int, end: int, length_at: int) -> None:
        """The payload of a string value."""
        if self._cursor.peek() < end:
            self._sized(start, end, length_at, start - 2)

    def _sized(self, start: int, end: int, digits: int, digits_end: int) -> None:
        before, grown = len(self._edits), self._grown
        self.content(start, end)
        if self._grown != grown:
            self._fix_length(digits, digits_end, before, self._grown - grown)

    def other(self, part: php.Part, start: int, end: int) -> None:
        """A key, a name, an enum case: never changed."""
        if self._cursor.peek() < end:
            self._leave(end, _REASONS[part])

    def body(self, start: int, end: int, length_at: int) -> None:
        """The body of a C: token: rewritten only when it is made of serialized values from end to end."""
        if self._cursor.peek() >= end:
            return
        if self._depth >= MAX_DEPTH:
            self._leave(end, Reason.TOO_DEEP)
            return
        layout = php.custom_body_values(self._data, start, end)
        if layout is None or not _is_values(self._data, layout[0], end, layout[1]):
            self._leave(end, Reason.CUSTOM)
            return
        before, grown = len(self._edits), self._grown
        first, separator = layout
        self._depth += 1
        try:
            closed = php.walk(self._data, first, end, self)
            if separator:
                php.walk(self._data, closed + len(separator), end, self)
        finally:
            self._depth -= 1
        if self._grown != grown:
            self._fix_length(length_at, start - 2, before, self._grown - grown)

    # -- text ----------------------------------------------------------------------------------------------------

    def _text(self, start: int, end: int) -> None:
        if self._escaped is None:  # asked once for the buffer: most hold none, and some hold a million strings
            self._escaped = holds_fragments(self._data, 0, len(self._data))
        pending = fragments(self._data, start, end) if self._escaped else iter(())
        fragment = next(pending, None)
        cursor, data = self._cursor, self._data
        while cursor.peek() < end:
            at, anchor = cursor.take()
            while fragment is not None and fragment.end <= at:
                fragment = next(pending, None)
            if fragment is not None and fragment.start <= at:
                self._fragment(fragment)
                cursor.seek(fragment.end)
                continue
            found = anchor.locate(data, at, start, end)
            if found is None:
                if data[at] == 91:  # [
                    self._wrapper(at, end)
            elif found[2] is None:
                self.left.append(found[3])
            elif found[0] >= self._covered:
                self._replace(found[0], found[1], found[2], found[3])

    def _inner(self, data: bytes) -> bytes:
        """Rewrites a decoded buffer one level deeper and takes over what was noted there."""
        inner = ValueRewriter(self._matcher, data, self._depth + 1)
        result = inner.run()
        for kind, number in inner.kinds.items():
            self._count(kind, number)
        self.left += inner.left
        return result

    def _fragment(self, fragment: Fragment) -> None:
        """Serialized PHP inside an escaped string: decoded, rewritten, and encoded again in exactly its own style."""
        if fragment.decode is None or self._depth >= MAX_DEPTH:
            self.left.append(Reason.ESCAPED_SERIALIZED)
            return
        encoded = self._data[fragment.start : fragment.end]
        decoded, encode = fragment.decode(encoded)
        if encode is None:
            self.left.append(Reason.ESCAPED_SERIALIZED)
            return
        changed = self._inner(decoded)
        if changed is decoded:
            return
        try:
            self._replace(fragment.start, fragment.end, encode(changed), None)
        except UnicodeDecodeError:
            self.left.append(Reason.ESCAPED_SERIALIZED)

    def _wrapper(self, at: int, end: int) -> None:
        """A WPBakery raw block: base64 of rawurlencoded markup."""
        match = _WRAPPER.match(self._data, at, end)
        if match is None or self._depth >= MAX_DEPTH:
            return
        slash = match[3] + b"/"
        try:
            decoded = base64.b64decode(match[2].replace(slash, b"/"), validate=True)
        except (binascii.Error, ValueError):
            return
        changed = self._inner(decoded)
        if changed is not decoded:
            self._replace(match.start(2), match.end(2), base64.b64encode(changed).replace(b"/", slash), Kind.BASE64)


class _Silent:
    """A visitor that only lets the walker prove a value readable."""

    def string(self, start: int, end: int, length_at: int) -> None:
        """Nothing to do."""

    def body(self, start: int, end: int, length_at: int) -> None:
        """Nothing to do."""

    def other(self, part: php.Part, start: int, end: int) -> None:
        """Nothing to do."""


def _is_values(data: bytes, start: int, end: int, separator: bytes) -> bool:
    """Whether data[start:end] is one serialized value, or two with `separator` between them."""
    try:
        closed = php.walk(data, start, end, _Silent())
        if separator:
            if data[closed : closed + len(separator)] != separator:
                return False
            closed = php.walk(data, closed + len(separator), end, _Silent())
    except php.Unreadable:
        return False
    return closed == end
