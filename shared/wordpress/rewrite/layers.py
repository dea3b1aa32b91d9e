r"""One layer of escaping taken off a text, with the way back: JSON, URL-encoding, HTML entities, doubled quotes, and
the backslashes of CSS and of regular expressions.

In `{"a":"s:15:\"http:\/\/host\";"}` the length counts decoded bytes, so what changes must be found in the decoded
text. It is written back there alone where it stands: every other byte of the escaped text stays as it is, whoever
escaped it and however. A layer is taken off the whole of a text, whether or not all of it was escaped; what is found
in it is proof enough (a host of the source, a serialized value that reads from its first to its last byte).
"""

from __future__ import annotations

import html.entities
import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .report import Reason

_JSON = re.compile(
    rb"((?:\\(?:x[89a-fA-F][0-9a-fA-F]|[23][0-7]{2}))+)"
    rb'|\\(?:u\{0*+([0-9a-fA-F]{1,6})\}|([01][0-7]{2}|[4-7][0-7])|(["\\/bfnrt\'0])'
    rb"|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?:u(?![dD][89a-fA-F])([0-9a-fA-F]{4})|x([0-7][0-9a-fA-F])))"
)
"""And what scripts and PHP write: `\\u{2f}`, `\\057`, `\\x2f`. Bytes beyond ASCII are letters in UTF-8, or one each."""
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})")
_ENTITY = re.compile(
    rb"&(?:#([0-9]{1,7})(?:;|(?![0-9]))|#[xX]([0-9a-fA-F]{1,6})(?:;|(?![0-9a-fA-F]))|([A-Za-z][A-Za-z0-9]{1,31});)"
)
"""https://html.spec.whatwg.org/#numeric-character-reference-end-state: numbers are read without a semicolon, too."""
_DOUBLED = re.compile(rb'""')
_JSON_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0"}
"""And what addslashes() writes, which escapes two more, and scripts, whose `\\x2F` is a slash, too."""
_BACKSLASHED = re.compile(rb"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[ \t\r\n\f+])?|([^0-9A-Za-z\r\n\f]))")
"""https://www.w3.org/TR/css-syntax-3/#consume-escaped-code-point; letters that are no digits mean much in patterns.

In a form's data a plus is the blank behind a number; in an address none follows an escape.
"""
_WIDE = re.compile(rb"\xef(?:\xbc[\x8d\x8e\x90-\x99\xa1-\xba]|\xbd[\x81-\x9a\xa1])|\xe3\x80\x82")
"""https://www.unicode.org/reports/tr46/: a host's letters of full width, and its dots as East Asia writes them."""
_BREAKS = re.compile(rb"(?:[\r\n\t]|\\+[rnt])+")
_QUOTED = re.compile(rb"=(?:([0-9A-Fa-f]{2})|(?:\r|\\+r)?(?:\n|\\+n))")
"""https://www.rfc-editor.org/rfc/rfc2045#section-6.7: mail as it is sent, which plugins keep in their logs."""
_ENTITIES = {f"&{name}".encode(): text for name, text in html.entities.html5.items() if name.endswith(";")}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_LOOKED_AT = 64


def _from_json(escape: re.Match[bytes]) -> bytes | None:
    if escape[1]:
        return _from_bytes(escape[1])
    if escape[3]:
        return chr(int(escape[3], 8)).encode()
    if escape[4]:
        return _JSON_LETTERS.get(escape[4], escape[4])
    if number := escape[2] or escape[7] or escape[8]:
        code = int(number, 16)
        return None if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code).encode()
    units = bytes.fromhex((escape[5] + escape[6]).decode())
    return units.decode("utf-16-be").encode()


def _from_bytes(run: bytes) -> bytes:
    """Bytes beyond ASCII by their numbers: PHP writes UTF-8 so, scripts each letter."""
    numbers = run.split(b"\\")[1:]
    raw = bytes(int(number[1:], 16) if number[:1] == b"x" else int(number, 8) for number in numbers)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1").encode()
    return raw


def _from_percent(escape: re.Match[bytes]) -> bytes | None:
    return bytes.fromhex(escape[1].decode())


def _from_entity(escape: re.Match[bytes]) -> bytes | None:
    if escape[3]:
        text = _ENTITIES.get(escape[0])
        return None if text is None else text.encode()
    code = int(escape[1]) if escape[1] else int(escape[2], 16)
    return None if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code).encode()


def _from_doubled(escape: re.Match[bytes]) -> bytes | None:
    return b'"'


def _from_backslashed(escape: re.Match[bytes]) -> bytes | None:
    if escape[2]:
        return escape[2]
    code = int(escape[1], 16)
    return None if not 0x20 < code <= 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code).encode()


def _from_wide(escape: re.Match[bytes]) -> bytes | None:
    text = unicodedata.normalize("NFKC", escape[0].decode())
    return b"." if text == "\u3002" else text.encode()


def _from_break(escape: re.Match[bytes]) -> bytes | None:
    return b""


def _from_quoted(escape: re.Match[bytes]) -> bytes | None:
    return bytes.fromhex(escape[1].decode()) if escape[1] else b""


def _to_json(byte: bytes, style: dict[bytes, bytes]) -> bytes:
    if byte in b'"\\':
        return b"\\" + byte
    return byte if byte >= b" " else b"\\u%04x" % ord(byte)


def _to_percent(byte: bytes, style: dict[bytes, bytes]) -> bytes:
    lower = any(spelled.lower() == spelled != spelled.upper() for spelled in style.values())
    return (b"%%%02x" if lower else b"%%%02X") % ord(byte)


def _to_entity(byte: bytes, style: dict[bytes, bytes]) -> bytes:
    return {b"&": b"&amp;", b'"': b"&quot;", b"<": b"&lt;", b">": b"&gt;"}.get(byte, byte)


def _to_doubled(byte: bytes, style: dict[bytes, bytes]) -> bytes:
    return b'""' if byte == b'"' else byte


def _as_it_is(byte: bytes, style: dict[bytes, bytes]) -> bytes:
    return byte


@dataclass(frozen=True, slots=True)
class Escaping:
    """One way to escape text: what an escape begins with, how it reads, and how a byte without example is written.

    `innermost`: what it holds is addresses and nothing that is encoded once more.
    """

    name: str
    sign: bytes
    pattern: re.Pattern[bytes]
    decode: Callable[[re.Match[bytes]], bytes | None]
    encode: Callable[[bytes, dict[bytes, bytes]], bytes]
    innermost: bool = False
    kept: Reason | None = None
    """Why what is found in it stays; nothing is written in it then."""

    def example(self, escape: bytes) -> bytes:
        """An escape as it may be written before anything: a number without its semicolon goes on with what follows."""
        return escape + b";" if self.name == "entity" and not escape.endswith(b";") else escape

    def shows(self, decoded: bytes, escape: bytes) -> bool:
        """Whether one escape is an example of how its character is to be written elsewhere."""
        if self.name == "wide":
            return False
        if self.innermost:
            return len(escape) == 2  # a number is one character's alone, and what follows it may belong to it
        return (len(decoded) == 1 and decoded[0] not in _UNRESERVED) or decoded == b"-"


ESCAPINGS = (
    Escaping("backslashed", b"\\", _BACKSLASHED, _from_backslashed, _as_it_is, innermost=True),
    Escaping("wide", b"", _WIDE, _from_wide, _as_it_is, innermost=True),
    Escaping("breaks", b"", _BREAKS, _from_break, _as_it_is, innermost=True, kept=Reason.LINE_BREAK),
    Escaping("quoted", b"=", _QUOTED, _from_quoted, _as_it_is, innermost=True, kept=Reason.QUOTED),
    Escaping("json", b"\\", _JSON, _from_json, _to_json),
    Escaping("percent", b"%", _PERCENT, _from_percent, _to_percent),
    Escaping("entity", b"&", _ENTITY, _from_entity, _to_entity),
    Escaping("doubled", b'""', _DOUBLED, _from_doubled, _to_doubled),
)


class Layer:
    """`text` is `source` with one kind of escapes decoded."""

    def __init__(self, source: bytes, escaping: Escaping) -> None:
        self._source = source
        self.escaping = escaping
        self._begins, self._ends = array("Q"), array("Q")
        self._from, self._to = array("Q"), array("Q")
        self._style: dict[bytes, bytes] = {}
        self.text = b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        source, escaping, copied, size = self._source, self.escaping, 0, 0
        for escape in escaping.pattern.finditer(source):
            decoded = escaping.decode(escape)
            if decoded is None:
                continue
            begin, end = escape.span()
            size += begin - copied
            self._begins.append(size)
            size += len(decoded)
            self._ends.append(size)
            self._from.append(begin)
            self._to.append(end)
            if escaping.shows(decoded, escape[0]):
                self._style.setdefault(decoded, escaping.example(escape[0]))
            yield source[copied:begin]
            yield decoded
            copied = end
        yield source[copied:]

    def __bool__(self) -> bool:
        """Whether anything was escaped."""
        return bool(self._ends)

    def at(self, position: int) -> int:
        """Where in the source a position of the text stands; inside of an escape, where the escape begins."""
        index = bisect_right(self._ends, position) - 1
        following = index + 1
        if following < len(self._begins) and self._begins[following] < position:
            return self._from[following]
        return position if index < 0 else self._to[index] + position - self._ends[index]

    def written(self, replacement: bytes, start: int, end: int) -> bytes:
        """What takes the place of text[start:end], escaped like that was."""
        style, shown = dict(self._style), set(self.text[start : min(end, start + 1024)])
        first = bisect_left(self._begins, start)
        for index in range(first, min(first + _LOOKED_AT, len(self._begins))):
            if self._ends[index] > end:
                break
            character = self.text[self._begins[index] : self._ends[index]]
            if character in self._style:
                style[character] = self.escaping.example(self._source[self._from[index] : self._to[index]])
                shown.discard(character[0])
        if self.escaping.name != "doubled":  # what stands there as it is may stand there again
            style = {character: escape for character, escape in style.items() if character[0] not in shown}
        out = bytearray()
        for byte in replacement:
            character = bytes((byte,))
            if byte in _UNRESERVED and not (self.escaping.innermost and character in style):
                out.append(byte)
            elif character in style:
                out += style[character]
            elif byte in shown and self.escaping.name == "percent":
                out.append(byte)
            elif byte >= 0x80 and self.escaping.name != "percent":
                out.append(byte)
            else:
                out += self.escaping.encode(character, style)
        dash = self._style.get(b"-")
        if dash and self.escaping.name == "json" and b"--" in out:
            out = out.replace(b"--", dash * 2)  # as WordPress writes them in the attributes of a block
        return bytes(out)
