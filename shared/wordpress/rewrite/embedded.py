r"""Serialized PHP inside escaped text: found, decoded, and encoded again without changing any other byte.

In `{"a":"s:15:\"http:\/\/host\";"}` the length counts the decoded bytes, so replacing in the escaped text would break
it. The string around it is decoded, rewritten as a value of its own and encoded again. That is safe only when the
encoder's style is known: encoding the untouched text must give back the very same bytes, else it is left and reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote_to_bytes

Encoder = Callable[[bytes], bytes]

_ESCAPED_STRING = re.compile(rb's:[0-9]{1,10}:(\\{1,31}")')
_NEEDLES = (rb":\"", rb":\\\"", rb":\\\\\\\"", b":" + b"\\" * 15 + b'"', b":" + b"\\" * 31 + b'"')
_DOCUMENT = re.compile(rb"\s*+(?:\{\s*+[\"}]|\[\s*+[\[{\"\]0-9tfn-]|\")")
_LITERAL = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)("|\Z)', re.DOTALL)
_SERIALIZED_LITERAL = re.compile(
    rb'"(?=a:[0-9]{1,10}:\{|s:[0-9]{1,10}:\\"|[OC]:[0-9]{1,10}:\\")([^"\\]*+(?:\\.[^"\\]*+)*+)("|\Z)', re.DOTALL
)
_URLENCODED = re.compile(
    rb"(?:[aOC]|s)%(?:25)*3[aA][0-9]{1,10}%(?:25)*3[aA]%(?:25)*(?:22|7[bB])[A-Za-z0-9_.~%+*!'()-]*+"
)


@dataclass(frozen=True, slots=True)
class Fragment:
    """data[start:end] holds serialized PHP in escaped form. Without `decode` it can only be left alone."""

    start: int
    end: int
    decode: Callable[[bytes], tuple[bytes, Encoder | None]] | None


def holds_fragments(data: bytes, start: int, end: int) -> bool:
    """A cheap test that is True whenever `fragments` would find any."""
    if any(data.find(needle, start, end) >= 0 for needle in _NEEDLES):
        return True
    return _maybe_urlencoded(data, start, end) and _URLENCODED.search(data, start, end) is not None


def _maybe_urlencoded(data: bytes, start: int, end: int) -> bool:
    return any(data.find(quoted, start, end) >= 0 for quoted in (b"%22", b"%2522", b"%2525"))


def fragments(data: bytes, start: int, end: int) -> Iterator[Fragment]:
    """The escaped serialized parts of the text data[start:end], in order."""
    if not holds_fragments(data, start, end):
        return
    found = [*_literals(data, start, end), *_urlencoded(data, start, end)]
    found.sort(key=lambda fragment: fragment.start)
    yield from found


def _literals(data: bytes, start: int, end: int) -> Iterator[Fragment]:
    """JSON strings that hold serialized PHP; then whatever escaped payload none of them covers."""
    if _ESCAPED_STRING.search(data, start, end) is None:
        return
    pattern = _LITERAL if _DOCUMENT.match(data, start, end) else _SERIALIZED_LITERAL
    covered = start
    for literal in pattern.finditer(data, start, end):
        if literal[2] and _ESCAPED_STRING.search(data, literal.start(1), literal.end(1)):
            yield from _uncovered(data, covered, literal.start())
            yield Fragment(literal.start(1), literal.end(1), _decode_json)
            covered = literal.end()
    yield from _uncovered(data, covered, end)


def _uncovered(data: bytes, start: int, end: int) -> Iterator[Fragment]:
    position = start
    while (opening := _ESCAPED_STRING.search(data, position, end)) is not None:
        close = data.find(opening[1], opening.end(), end)
        position = end if close < 0 else close
        yield Fragment(opening.start(), position, None)


def _urlencoded(data: bytes, start: int, end: int) -> Iterator[Fragment]:
    if _maybe_urlencoded(data, start, end):
        for token in _URLENCODED.finditer(data, start, end):
            yield Fragment(token.start(), token.end(), _decode_url)


def _decode_json(encoded: bytes) -> tuple[bytes, Encoder | None]:
    try:
        decoded = json.loads(b'"' + encoded + b'"', strict=False).encode()
    except (ValueError, RecursionError):
        return encoded, None
    return decoded, _style(decoded, encoded, _JSON_STYLES)


def _decode_url(encoded: bytes) -> tuple[bytes, Encoder | None]:
    for plus in (False, True):
        decoded = unquote_to_bytes(encoded.replace(b"+", b"%20") if plus else encoded)
        encoder = _style(decoded, encoded, _URL_STYLES)
        if encoder is not None:
            return decoded, encoder
    return encoded, None


def _style(decoded: bytes, encoded: bytes, styles: tuple[Encoder, ...]) -> Encoder | None:
    return next((style for style in styles if style(decoded) == encoded), None)


def _json(text: bytes, *, ascii_only: bool, escape_slash: bool) -> bytes:
    literal = json.dumps(text.decode(), ensure_ascii=ascii_only)[1:-1]
    return (literal.replace("/", "\\/") if escape_slash else literal).encode()


_JSON_STYLES: tuple[Encoder, ...] = (
    lambda text: _json(text, ascii_only=True, escape_slash=True),
    lambda text: _json(text, ascii_only=False, escape_slash=False),
    lambda text: _json(text, ascii_only=False, escape_slash=True),
    lambda text: _json(text, ascii_only=True, escape_slash=False),
)


def _lower_escapes(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), text)


_URL_STYLES: tuple[Encoder, ...] = (
    lambda text: quote(text, safe="-_.~").encode(),  # rawurlencode
    lambda text: quote_plus(text, safe="-_.").replace("~", "%7E").encode(),  # urlencode
    lambda text: quote(text, safe="-_.~!'()*").encode(),  # encodeURIComponent
    lambda text: _lower_escapes(quote(text, safe="-_.~")).encode(),
)
