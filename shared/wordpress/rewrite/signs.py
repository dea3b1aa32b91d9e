r"""Signs that a text must be decoded before it can be rewritten: cheap to look for, and there whenever it is so.

A host whose own characters are escaped (`main\u002d\u002dshop.example`, `m%C3%BCnchen.de`) has three neighbouring
characters of which the first is: ordinary text has none. A serialized value has a length between two colons.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterable, Iterator

from .spelling import TSV_LIMIT, colon, spelled

_BACKSLASH = rb"(?:\\(?:u005c)*+|%(?:25)*+5c)++"
_LETTERS = ("http",)
_HEAD_LETTERS = "saOoCcE"

_COLON, _QUOTE = colon(TSV_LIMIT), spelled('"', TSV_LIMIT, b"quot")
_BRACE = spelled("{", TSV_LIMIT, b"lbrace", b"lcub")

PLAIN_HEAD = re.compile(rb'(?<![A-Za-z])[sSE]:[0-9]{1,10}:"|[OC]:[0-9]{1,10}:"|a:[0-9]{1,10}:\{')
"""A serialized value that may hold a string begins here, in a text that is not escaped any more."""

ANY_HEAD = re.compile(
    rb"(?<![A-Za-z])[sSEOC]%b[0-9]{1,10}%b(%b)|a%b[0-9]{1,10}%b%b" % (_COLON, _COLON, _QUOTE, _COLON, _COLON, _BRACE)
)
"""The same in any spelling; the group is a string's opening quote."""

DOUBLED_QUOTES = re.compile(rb'[sSE]:[0-9]{1,10}:""(?!;)|[OC]:[0-9]{1,10}:""')

_COLONS = re.compile(rb':[0-9]{1,10}(?::(?:["{\\]|&|%)|\\|&|%)')
_INNER_ENTITY = rb"(?:amp(?:;|%(?:25)*3b))*(?:#|%(?:25)*23|sol|colon|quot)"


def holds_head(data: bytes, start: int, end: int) -> bool:
    """Whether serialized PHP whose first colon is not escaped may begin somewhere in data[start:end]."""
    return _COLONS.search(data, start, end) is not None and ANY_HEAD.search(data, start, end) is not None


def holds_escaped_head(data: bytes, start: int, end: int) -> bool:
    """The same, for heads that must be decoded to be read."""
    if _COLONS.search(data, start, end) is None:
        return False
    if DOUBLED_QUOTES.search(data, start, end):
        return True
    return any(not PLAIN_HEAD.match(data, head.start(), end) for head in ANY_HEAD.finditer(data, start, end))


class Hints:
    """Finds, in lower-cased text, what must be decoded: hosts whose characters are escaped, lengths of serialized
    PHP between escaped colons, entities of entities, escaped shortcodes. Each pattern has a needle to be asked for
    first.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._searches: list[tuple[bytes, re.Pattern[bytes]]] = []
        length = rb"[0-9]{1,10}" + _any(":")
        unicode = {b"u00": {b"3a" + length, b"26" + _INNER_ENTITY, b"5bvc_raw_"}}
        percent = {b"3a" + length, b"26" + _INNER_ENTITY, b"5bvc_raw_"}
        entities = {_entity(":") + length, b"amp;" + _INNER_ENTITY, _entity("[") + b"vc_raw_"}
        for text in dict.fromkeys([*hosts, *_LETTERS]):
            for code, rest in _grams(text):
                for form in _cases(code):
                    digits = _units(form)[0]
                    unicode.setdefault(b"u" + digits[:2], set()).add(digits[2:] + rest)
                    percent.add(_percent(form) + rest)
                    entities.add(_entity(form) + rest)
        unicode[b"u00"] |= {b"%02x" % ord(letter) + _any(":") for letter in _HEAD_LETTERS}
        self._add(b"%", rb"%(?:25)*+", percent)
        self._add(b"&", rb"&", {rb"(?:amp;)*+(?:%b)" % b"|".join(sorted(entities))})
        for prefix, rests in unicode.items():
            self._add(prefix, prefix, rests)

    def _add(self, needle: bytes, prefix: bytes, rests: set[bytes]) -> None:
        firsts = bytes(sorted({rest[0] for rest in rests if rest[:1].isalnum()}))
        ahead = rb"(?=[%b])" % firsts if all(rest[:1].isalnum() for rest in rests) else b""
        self._searches.append((needle, re.compile(prefix + ahead + rb"(?:%b)" % b"|".join(sorted(rests)))))

    def positions(self, lowered: bytes, offset: int = 0) -> list[int]:
        """Where an escaped character of a host stands, moved by `offset`; not in order."""
        found: list[int] = []
        for needle, pattern in self._searches:
            if needle in lowered:
                found += [match.start() + offset for match in pattern.finditer(lowered)]
        return found

    def any(self, lowered: bytes) -> bool:
        """Whether there is one."""
        return any(needle in lowered and pattern.search(lowered) for needle, pattern in self._searches)


def _grams(text: str) -> Iterator[tuple[str, bytes]]:
    """Each character of a host, with the pattern of the two that follow it."""
    for index, character in enumerate(text):
        yield character, b"".join(map(_any, text[index + 1 : index + 3]))


def _cases(character: str) -> list[str]:
    return [character, upper] if len(upper := character.upper()) == 1 and upper != character else [character]


def _units(character: str) -> list[bytes]:
    encoded = character.encode("utf-16-be")
    return [encoded[at : at + 2].hex().encode() for at in range(0, len(encoded), 2)]


def _percent(character: str) -> bytes:
    encoded = character.encode()
    return rb"%(?:25)*+".join(b"%02x" % byte for byte in encoded)


def _entity(character: str) -> bytes:
    code = ord(character)
    names = [
        re.escape(name.lower().encode())
        for name, text in html.entities.html5.items()
        if text == character and name.endswith(";")
    ]
    return rb"(?:%b)" % b"|".join([rb"\#0*%d;" % code, rb"\#x0*%x;" % code, *sorted(set(names))])


def _any(character: str) -> bytes:
    """Pattern source of one character of a host in any spelling, in lower-cased text."""
    ways = [re.escape(character.encode())]
    for form in _cases(character):
        ways.append(b"".join(_BACKSLASH + b"u" + unit for unit in _units(form)))
        ways.append(rb"%(?:25)*+" + _percent(form))
        ways.append(rb"&(?:amp;)*+" + _entity(form))
    return rb"(?:%b)" % b"|".join(ways)
