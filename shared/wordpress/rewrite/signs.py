r"""Signs that a text must be decoded before it can be rewritten: cheap to look for, and there whenever it is so.

A host whose own characters are escaped (`main\u002d\u002dshop.example`, `m%C3%BCnchen.de`) has three neighbouring
characters of which the first is: ordinary text has none. A serialized value has a length between two colons.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from itertools import pairwise

from .spelling import TSV_LIMIT, colon, spelled

_BACKSLASH = rb"(?:(?:\\|%(?:25)*+5c)(?:u005c)*+)++"
_NAMES: dict[str, set[bytes]] = {}
for _name, _text in html.entities.html5.items():
    if _name.endswith(";"):
        _NAMES.setdefault(_text, set()).add(_name.lower().encode())
_HEAD_LETTERS = "saOoCcE"
_COMMON_FIRST = b"etaoinsrhldcumfpgwyb/.v-0123456789k_xjqz"
"""Bytes of stored texts, roughly by how often they come; any other is rarer."""

_COLON, _QUOTE = colon(TSV_LIMIT), spelled('"', TSV_LIMIT, b"quot")
_BRACE = spelled("{", TSV_LIMIT, b"lbrace", b"lcub")

PLAIN_HEAD = re.compile(rb'(?<![A-Za-z])[sSE]:[0-9]{1,10}:"|[OC]:[0-9]{1,10}:"|a:[0-9]{1,10}:\{')
"""A serialized value that may hold a string begins here, in a text that is not escaped any more."""

_NO_WORD = rb"(?:(?<![A-Za-z])|(?<=\\[A-Za-z])|(?<=%[0-9a-fA-F]{2})|(?<=25[0-9a-fA-F]{2})|(?<=u[0-9a-fA-F]{4}))"
"""No letter stands before, but for one that is the end of an escape."""

ANY_HEAD = re.compile(
    b"".join((_NO_WORD, b"[sSEOC]", _COLON, b"[0-9]{1,10}", _COLON, b"(", _QUOTE, b")"))
    + b"".join((b"|a", _COLON, b"[0-9]{1,10}", _COLON, _BRACE))
)
"""The same in any spelling; the group is a string's opening quote."""

DOUBLED_QUOTES = re.compile(rb'[sSE]:[0-9]{1,10}:""(?!;)|[OC]:[0-9]{1,10}:""')

_BLANK = rb"(?:[ \t\r\n\f]|\\+[nrt]|%(?:25)*+(?:20|0[9acd]))?"
"""Ends a number in CSS; it may be escaped itself."""

_COLONS = re.compile(rb':[0-9]{1,10}(?::(?:["{\\]|&|%)|\\|&|%)')
_INNER_ENTITY = rb"(?:amp(?:;|%(?:25)*3b))*(?:#|%(?:25)*23|sol|colon|quot)"


def holds_head(data: bytes, start: int, end: int) -> bool:
    """Whether serialized PHP whose first colon is not escaped may begin somewhere in data[start:end]."""
    return any(
        ANY_HEAD.match(data, colon.start() - 1, end)
        for colon in _COLONS.finditer(data, start, end)
        if colon.start() > start
    )


def holds_escaped_head(data: bytes, start: int, end: int) -> bool:
    """The same, for heads that must be decoded to be read."""
    if _COLONS.search(data, start, end) is None:
        return False
    if DOUBLED_QUOTES.search(data, start, end):
        return True
    return any(not PLAIN_HEAD.match(data, head.start(), end) for head in ANY_HEAD.finditer(data, start, end))


class _Search:
    """A pattern with a needle to be asked for first. Compiled when the needle is first met: it takes 50 ms, and many
    sites have no `%` or `&` next to anything of theirs."""

    def __init__(self, needle: bytes, source: bytes) -> None:
        self.needle = needle
        self._source = source

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """What is searched where the needle is."""
        return re.compile(self._source)


class Hints:
    """Finds, in lower-cased text, what must be decoded: hosts whose characters are escaped, lengths of serialized
    PHP between escaped colons, entities of entities, escaped shortcodes. Each pattern has a needle to be asked for
    first.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = list(dict.fromkeys(hosts))
        length = rb"[0-9]{1,10}" + _any(":")
        structure = {b"3a" + length, b"26" + _INNER_ENTITY, b"5bvc_raw_"}
        letters = {b"%02x" % ord(letter) + _any(":") for letter in _HEAD_LETTERS}
        unicode: dict[bytes, set[bytes]] = {}
        percent: set[bytes] = set()
        entities: set[bytes] = set()
        backslashed: set[bytes] = set()
        for text in self._hosts:
            for code, rest in _grams(text):
                for form in _cases(code):
                    digits = _units(form)[0]
                    unicode.setdefault(b"u" + digits[:2], set()).add(digits[2:] + rest)
                    percent.add(_percent(form) + rest)
                    entities.add(_entity(form) + rest)
                    backslashed.add(_css(form) + rest)
                if not code.isalnum():
                    backslashed.add(re.escape(code.encode()) + rest)
        names = _behind_a_backslash(backslashed)
        backslashed |= {_css("/") + start for start in _starts(self._hosts)}
        backslashed |= {_css(":") + rb"[/\\]", rb":[/\\]"}
        following = _behind_a_backslash(backslashed)
        self._backslashed = _Search(b"\\", rb"\\" + following)
        self._names = _searches(_with(unicode, names), percent | {b"5c" + names}, entities)
        self._names.append(_Search(b"\\", rb"\\" + names))
        entities |= {_entity(":") + length, _entity("[") + b"vc_raw_"}
        self._all = [
            *_searches(
                _with(unicode, following, structure | letters), percent | structure | {b"5c" + following}, entities
            ),
            self._backslashed,
            _Search(b"&amp;", b"&amp;" + _INNER_ENTITY),
        ]

    def positions(self, lowered: bytes, offset: int = 0) -> list[int]:
        """Where an escaped character of a host stands, moved by `offset`; not in order."""
        found: list[int] = []
        for search in self._all:
            if search.needle in lowered:
                found += [match.start() + offset for match in search.pattern.finditer(lowered)]
        return found

    def any(self, lowered: bytes) -> bool:
        """Whether there is one."""
        return any(search.needle in lowered and search.pattern.search(lowered) for search in self._all)

    def backslashed(self, lowered: bytes) -> bool:
        """Whether there is one that a backslash and a number, or a backslash alone, make."""
        return self._backslashed.pattern.search(lowered) is not None

    def names(self, lowered: bytes) -> bool:
        """Whether there is one of a host."""
        return any(search.needle in lowered and search.pattern.search(lowered) for search in self._names)

    def coarse(self) -> bytes:
        """Pattern source of an escaped character of a host and the first byte of what follows it there.

        Whatever `names` finds matches, and little more. It grows with the alphabet, not with the hosts: PCRE refuses
        patterns beyond 64 KB. Case must be ignored.
        """
        following: dict[str, bytes] = {}
        for text in self._hosts:
            for character, after in pairwise([*text, ""]):
                firsts = b"".join({form.encode()[:1] for form in _cases(after)}) if after else bytes(range(256))
                following[character] = following.get(character, b"") + firsts
        unicode, percent, entities, backslashed = [], [], [], []
        for character, firsts in sorted(following.items()):
            ahead = rb"[%b]" % b"".join(re.escape(bytes((byte,))) for byte in sorted({*firsts, *b"\\%&"}))
            ahead = b"" if len(set(firsts)) == 256 else ahead
            for form in _cases(character):
                unicode.append(_units(form)[0] + (ahead if len(_units(form)) == 1 else b""))
                percent.append(_percent(form) + ahead)
                entities.append(_entity(form) + ahead)
                backslashed.append(_css(form))
            if not character.isalnum():
                backslashed.append(re.escape(character.encode()) + ahead)
        if not following:
            return b""
        short = [digits[2:] for digits in unicode if digits.startswith(b"00")]
        ways = [rare_first(b"u00") + rb"(?:%b)" % b"|".join(short)] if short else []
        if far := [digits for digits in unicode if not digits.startswith(b"00")]:
            ways.append(rb"u(?:%b)" % b"|".join(far))
        ways.append(rb"%%(?:25)*+(?:%b)|&(?:amp;)*+(?:%b)" % (b"|".join(percent), b"|".join(entities)))
        ways.append(rb"(?:\\|5c)(?:%b)" % b"|".join(backslashed))
        return b"|".join(ways)


def rare_first(text: bytes, source: Callable[[bytes], bytes] = re.escape) -> bytes:
    """A pattern for a text that a search tries only where the text's rarest byte is, and looks back from there.

    PCRE without its compiler, as MariaDB has it, tries every byte that one of the alternatives begins with: for the
    letters of ordinary hosts that is every eighth byte of a text, and takes three times as long.
    """
    at = max(range(len(text)), key=lambda index: _COMMON_FIRST.find(text[index]) % 256)
    return (rb"(?<=%b)" % source(text[:at]) if at else b"") + source(text[at:])


def _searches(unicode: Mapping[bytes, set[bytes]], percent: set[bytes], entities: set[bytes]) -> list[_Search]:
    found = [_search(prefix, prefix, rests) for prefix, rests in unicode.items()]
    found += [_search(b"%", rb"%(?:25)*+", percent)] if percent else []
    found += [_search(b"&", rb"&(?:amp;)*+", entities)] if entities else []
    return found


def _behind_a_backslash(rests: set[bytes]) -> bytes:
    """Pattern source of what makes an escape of CSS, or of a regular expression, out of a backslash before it."""
    return rb"(?=[02-7a-f.:\-])(?:%b)" % b"|".join(sorted(rests)) if rests else rb"(?!)"


def _with(unicode: Mapping[bytes, set[bytes]], following: bytes, more: Iterable[bytes] = ()) -> dict[bytes, set[bytes]]:
    """The escapes of JSON, and those whose backslash is one of them."""
    return {**unicode, b"u00": {*unicode.get(b"u00", ()), b"5c" + following, *more}}


def _starts(hosts: Iterable[str]) -> set[bytes]:
    """What the first characters of each host look like, with "www." and without."""
    return {_any(name[0]) + _any(name[1]) for host in hosts for name in (host, host.removeprefix("www.")) if name[1:]}


def _search(needle: bytes, prefix: bytes, rests: set[bytes]) -> _Search:
    """A pattern for any of `rests` behind `prefix`; most that cannot be one is seen by the first character."""
    ahead = b""
    if all(rest[:1].isalnum() for rest in rests):
        ahead = rb"(?=[%b])" % bytes(sorted({rest[0] for rest in rests}))
    return _Search(needle, prefix + ahead + rb"(?:%b)" % b"|".join(sorted(rests)))


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


@cache
def _css(character: str) -> bytes:
    """Pattern source of what stands behind the backslash where a character is a number in CSS."""
    return rb"(?:0{0,4}%x(?![0-9a-f])|%06x)%b" % (ord(character), ord(character), _BLANK)


@cache
def _entity(character: str) -> bytes:
    code = ord(character)
    names = [re.escape(name) for name in _NAMES.get(character, ())]
    return rb"(?:%b)" % b"|".join([rb"\#0*%d;" % code, rb"\#x0*%x;" % code, *names])


@cache
def _any(character: str) -> bytes:
    """Pattern source of one character of a host in any spelling, in lower-cased text."""
    ways = [re.escape(character.encode())]
    for form in _cases(character):
        ways.append(b"".join(_BACKSLASH + b"u" + unit for unit in _units(form)))
        ways.append(rb"%(?:25)*+" + _percent(form))
        ways.append(rb"&(?:amp;)*+" + _entity(form))
        ways.append(_BACKSLASH + _css(form))
    if not character.isalnum():
        ways.append(_BACKSLASH + re.escape(character.encode()))
    return rb"(?:%b)" % b"|".join(ways)
