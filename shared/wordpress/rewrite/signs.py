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
from .veiled import STOP, WIDE, broken_names, entity_grams, script_grams, wide, wide_grams

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

_BLANK = rb"(?:[ \t\r\n\f+]|\\+[nrt]|%(?:25)*+(?:20|2b|0[9acd]))?"
"""Ends a number in CSS; it may be escaped itself."""

_COLONS = re.compile(rb':[0-9]{1,10}(?::(?:["{\\]|&|%)|\\|&|%)')
_LENGTH = rb"[0-9]{1,10}"
SIGNS = (b"%", b"&", b"\\", WIDE, STOP, b"\n", b"\r", b"\t")
"""One of these is in whatever must be decoded."""
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


class _Ways:
    """Alternatives of a pattern, each as it must be, and as what it begins with: a hundredth of the text."""

    def __init__(self) -> None:
        self.whole: set[bytes] = set()
        self.near: set[bytes] = set()

    def add(self, whole: bytes, near: bytes | None = None) -> None:
        """One more; whatever matches `whole` must match `near`."""
        self.whole.add(whole)
        self.near.add(whole if near is None else near)

    def joined(self, *others: _Ways) -> _Ways:
        """These and others."""
        ways = _Ways()
        for one in (self, *others):
            ways.whole |= one.whole
            ways.near |= one.near
        return ways

    def behind(self, start: bytes) -> _Ways:
        """All of them as one alternative, behind something."""
        whole, near = (b"|".join(sorted(each)) or b"(?!)" for each in (self.whole, self.near))
        return _one(rb"%b(?:%b)" % (start, whole), rb"%b(?:%b)" % (start, near))


class _Search:
    """A pattern in three steps, each only where the one before finds something: a needle; what it begins with, made
    in some milliseconds; the whole, which takes 0.1 s to compile, and many sites have nothing that comes so far."""

    def __init__(self, needle: bytes, skipped: bytes, ways: _Ways) -> None:
        """`skipped`: pattern of what may stand between the needle and one of the ways."""
        self._needle = needle
        whole, near = (
            skipped + _first_seen(each) + rb"(?:%b)" % b"|".join(sorted(each)) for each in (ways.whole, ways.near)
        )
        self._whole_source = re.escape(needle) + whole
        self._near_source = re.escape(needle) + rb"(?=%b)" % near

    @cached_property
    def _near(self) -> re.Pattern[bytes]:
        return re.compile(self._near_source)

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        return re.compile(self._whole_source)

    def starts(self, lowered: bytes) -> Iterator[int]:
        """Where the whole pattern matches, from left to right, none inside another."""
        if self._needle not in lowered:
            return
        end = 0
        for near in self._near.finditer(lowered):
            if near.start() >= end and (found := self._whole.match(lowered, near.start())):
                end = found.end()
                yield found.start()

    def any(self, lowered: bytes) -> bool:
        """Whether it matches anywhere."""
        return next(self.starts(lowered), None) is not None


class Hints:
    """Finds, in lower-cased text, what must be decoded: hosts whose characters are escaped, lengths of serialized
    PHP between escaped colons, entities of entities, escaped shortcodes.
    """

    def __init__(self, hosts: Iterable[str], *, rows: bool = False) -> None:
        """`rows`: the text is in LOAD DATA format, where a line break is an escape."""
        self._hosts = list(dict.fromkeys(hosts))
        unicode: dict[bytes, _Ways] = {}
        percent, entities, names = _Ways(), _Ways(), _Ways()
        aheads = self._aheads(escapes=b"\\%&")
        for text in self._hosts:
            for code, rest in _grams(text):
                ahead = aheads[code]
                for form in _cases(code):
                    digits = _units(form)[0]
                    unicode.setdefault(b"u" + digits[:2], _Ways()).add(digits[2:] + rest, digits[2:] + ahead)
                    percent.add(_percent(form) + rest, _percent(form) + ahead)
                    entities.add(_entity(form) + rest, _entity(form) + ahead)
                    names.add(_css(form) + rest, _number(form))
                if not code.isalnum():
                    names.add(re.escape(code.encode()) + rest, re.escape(code.encode()) + ahead)
        following = names.joined(_slashes(self._hosts))
        names, following = (_behind_a_backslash(ways) for ways in (names, following))
        self._backslashed = _Search(b"\\", b"", following)
        scripts = _each(b"x" + way for way in script_grams(self._hosts))
        encoded = percent.joined(_each(entity_grams(self._hosts)))
        self._names = _searches(_with(unicode, names), encoded.joined(names.behind(b"5c")), entities)
        self._names.append(_Search(b"\\", b"", names.joined(scripts)))
        structure = _structure()
        self._all = [
            *_searches(
                _with(unicode, following, structure, _letters()),
                percent.joined(structure, following.behind(b"5c")),
                entities.joined(_entities_of_structure()),
            ),
            # one search for all that a backslash begins: rows and JSON are full of them
            _Search(b"\\", rb"(?=[02-7a-f.:\-nrtx])", following.joined(scripts, self._escaped_breaks())),
            _Search(b"&amp;", b"", _one(_INNER_ENTITY)),
            *self._veiled(rows),
        ]

    def _escaped_breaks(self) -> _Ways:
        whole, near = broken_names(self._hosts, rb"\\[rnt]", rb"\\rnt")
        return _one(b"[rnt]" + whole, b"[rnt]" + near)

    def _veiled(self, rows: bool) -> list[_Search]:
        """Hosts in letters of full width, and with line breaks in them."""
        wide = []
        for first in (WIDE, STOP):
            whole, near = wide_grams(self._hosts, first)
            wide.append(_Search(first[:1], re.escape(first[1:]), _one(whole, near)))
        plain = broken_names(self._hosts, rb"[\r\n\t]", rb"\r\n\t")
        breaks = [] if rows else [_Search(sign, b"", _one(*plain)) for sign in (b"\n", b"\r", b"\t")]
        escaped = _Search(b"\\", b"", self._escaped_breaks())
        self._inner = {"backslashed": [self._backslashed], "wide": wide, "breaks": [*breaks, escaped]}
        self._names += [*wide, *breaks, escaped]
        return wide + breaks

    def positions(self, lowered: bytes, offset: int = 0) -> list[int]:
        """Where an escaped character of a host stands, moved by `offset`; not in order."""
        return [start + offset for search in self._all for start in search.starts(lowered)]

    def any(self, lowered: bytes) -> bool:
        """Whether there is one."""
        return any(search.any(lowered) for search in self._all)

    def inner(self, name: str, lowered: bytes) -> bool:
        """Whether there is one that this innermost layer takes off."""
        return any(search.any(lowered) for search in self._inner[name])

    def names(self, lowered: bytes) -> bool:
        """Whether there is one of a host."""
        return any(search.any(lowered) for search in self._names)

    def _aheads(self, escapes: bytes) -> dict[str, bytes]:
        """Pattern source of the first byte of what may follow each character of the hosts, `escapes` included."""
        following: dict[str, bytes] = {}
        for text in self._hosts:
            for character, after in pairwise([*text, ""]):
                firsts = b"".join({form.encode()[:1] for form in _cases(after)}) if after else bytes(range(256))
                following[character] = following.get(character, b"") + firsts
        return {
            character: b""
            if len(set(firsts)) == 256
            else rb"[%b]" % b"".join(re.escape(bytes((byte,))) for byte in sorted({*firsts, *escapes}))
            for character, firsts in following.items()
        }

    def coarse(self) -> bytes:
        """Pattern source of an escaped character of a host and the first byte of what follows it there.

        Whatever `names` finds matches, and little more. It grows with the alphabet, not with the hosts: PCRE refuses
        patterns beyond 64 KB. Case must be ignored.
        """
        unicode, percent, entities, backslashed = [], [], [], []
        aheads = self._aheads(escapes=b"\\%&")
        for character, ahead in sorted(aheads.items()):
            for form in _cases(character):
                unicode.append(_units(form)[0] + (ahead if len(_units(form)) == 1 else b""))
                percent.append(_percent(form) + ahead)
                entities.append(_entity(form) + ahead)
                backslashed.append(_css(form))
            if not character.isalnum():
                backslashed.append(re.escape(character.encode()) + ahead)
        if not aheads:
            return b""
        percent += entity_grams(self._hosts)
        short = [digits[2:] for digits in unicode if digits.startswith(b"00")]
        ways = [rare_first(b"u00") + rb"(?:%b)" % b"|".join(short)] if short else []
        if far := [digits for digits in unicode if not digits.startswith(b"00")]:
            ways.append(rb"u(?:%b)" % b"|".join(far))
        ways.append(rb"%%(?:25)*+(?:%b)|&(?:amp;)*+(?:%b)" % (b"|".join(percent), b"|".join(entities)))
        ways.append(rb"(?:\\|5c)(?:%b)" % b"|".join(backslashed))
        ways.append(rb"\\x(?:%b)" % b"|".join(script_grams(self._hosts) or [b"(?!)"]))
        ways += self._coarse_veiled(aheads)
        return b"|".join(ways)

    def _coarse_veiled(self, characters: Iterable[str]) -> Iterator[bytes]:
        """The same for letters of full width, and for line breaks."""
        forms = {form for character in characters for form in wide(character)}
        if ends := sorted(re.escape(form[1:]) for form in forms if form.startswith(WIDE)):
            yield re.escape(WIDE) + rb"(?:%b)" % b"|".join(ends)
        yield rb"[\r\n\t]" + broken_names(self._hosts, rb"[\r\n\t]", rb"\r\n\t")[0]
        yield rb"\\[rnt]" + broken_names(self._hosts, rb"\\[rnt]", rb"\\rnt")[0]


def rare_first(text: bytes, source: Callable[[bytes], bytes] = re.escape) -> bytes:
    """A pattern for a text that a search tries only where the text's rarest byte is, and looks back from there.

    PCRE without its compiler, as MariaDB has it, tries every byte that one of the alternatives begins with: for the
    letters of ordinary hosts that is every eighth byte of a text, and takes three times as long.
    """
    at = max(range(len(text)), key=lambda index: _COMMON_FIRST.find(text[index]) % 256)
    return (rb"(?<=%b)" % source(text[:at]) if at else b"") + source(text[at:])


def _searches(unicode: Mapping[bytes, _Ways], percent: _Ways, entities: _Ways) -> list[_Search]:
    found = [_Search(prefix, b"", ways) for prefix, ways in unicode.items()]
    found += [_Search(b"%", rb"(?:25)*+", percent)] if percent.whole else []
    found += [_Search(b"&", rb"(?:amp;)*+", entities)] if entities.whole else []
    return found


def _first_seen(ways: Iterable[bytes]) -> bytes:
    """Most that can be none of them is seen by the first character."""
    if not all(way[:1].isalnum() for way in ways):
        return b""
    return rb"(?=[%b])" % bytes(sorted({way[0] for way in ways}))


def _one(whole: bytes, near: bytes | None = None) -> _Ways:
    ways = _Ways()
    ways.add(whole, near)
    return ways


def _each(wholes: Iterable[bytes]) -> _Ways:
    ways = _Ways()
    for whole in wholes:
        ways.add(whole)
    return ways


def _behind_a_backslash(ways: _Ways) -> _Ways:
    """What makes an escape of CSS, or of a regular expression, out of a backslash before it."""
    return ways.behind(rb"(?=[02-7a-f.:\-])")


def _with(unicode: Mapping[bytes, _Ways], following: _Ways, *more: _Ways) -> dict[bytes, _Ways]:
    """The escapes of JSON, and those whose backslash is one of them."""
    return {**unicode, b"u00": unicode.get(b"u00", _Ways()).joined(following.behind(b"5c"), *more)}


def _slashes(hosts: Iterable[str]) -> _Ways:
    """What leads to a host, behind a backslash: a slash before its first two characters, with "www." and without, and a
    colon before a slash."""
    ways = _Ways()
    for host in hosts:
        for name in (host, host.removeprefix("www.")):
            if name[1:]:
                ways.add(_css("/") + _any(name[0]) + _any(name[1]), _number("/"))
    ways.add(_css(":") + rb"[/\\]", _number(":"))
    ways.add(rb":[/\\]")
    return ways


def _structure() -> _Ways:
    """Behind the start of an escape: a length of serialized PHP, an entity's name, a shortcode's."""
    ways = _Ways()
    ways.add(b"3a" + _LENGTH + _any(":"), b"3a[0-9]")
    ways.add(b"26" + _INNER_ENTITY)
    ways.add(b"5bvc_raw_")
    return ways


def _letters() -> _Ways:
    """Behind the start of an escape: the letter a serialized value begins with."""
    ways = _Ways()
    for letter in _HEAD_LETTERS:
        ways.add(b"%02x" % ord(letter) + _any(":"), rb"%02x[:\\%%&]" % ord(letter))
    return ways


def _entities_of_structure() -> _Ways:
    ways = _Ways()
    ways.add(_entity(":") + _LENGTH + _any(":"), _entity(":") + b"[0-9]")
    ways.add(_entity("[") + b"vc_raw_")
    return ways


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


def _number(character: str) -> bytes:
    """What each match of `_css` begins with."""
    return b"0{0,4}%x" % ord(character)


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
