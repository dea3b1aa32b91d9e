r"""Signs that a text must be decoded before it can be rewritten: cheap to look for, and there whenever it is so.

A host whose own characters are escaped (`main\u002d\u002dshop.example`, `m%C3%BCnchen.de`) has three neighbouring
characters of which the first is: ordinary text has none. A serialized value has a length between two colons.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise

from .buried import RAW_BLOCKS, Buried, coarse, joints
from .searching import Search, Ways, searches, several, single
from .spelling import TSV_LIMIT, colon, spelled
from .veiled import STOP, WIDE, broken_names, entity_grams, wide, wide_grams

_BACKSLASH_ENTITY = rb"(?:\#0*92|\#x0*5c|bsol);"
_BACKSLASH = rb"(?:(?:\\|%%(?:25)*+5c|&(?:amp;)*+%b)(?:(?:u00|x)5c)*+)++" % _BACKSLASH_ENTITY
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

_QUOTED_SIGNS = ".-"
"""Characters of a host that mail may hold as numbers; letters of ASCII never are."""
_BLANK = rb"(?:[ \t\r\n\f+]|\\+[nrt]|%(?:25)*+(?:20|2b|0[9acd]))?"
"""Ends a number in CSS; it may be escaped itself."""

_COLONS = re.compile(rb':[0-9]{1,10}(?::(?:["{\\]|&|%)|\\|&|%)')
_LENGTH = rb"[0-9]{1,10}"
_NAMES_BEGIN = (0, len("www."))
"""Where a name with "www." and one without begins: scripts that write letters as numbers write all of them so."""
SIGNS = (b"%", b"&", b"\\", WIDE, STOP, b"\n", b"\r", b"\t", b"=")
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


class Hints:
    """Finds, in lower-cased text, what must be decoded: hosts whose characters are escaped, lengths of serialized
    PHP between escaped colons, entities of entities, escaped shortcodes.
    """

    def __init__(self, hosts: Iterable[str], *, rows: bool = False) -> None:
        """`rows`: the text is in LOAD DATA format, where a line break is an escape."""
        self._hosts = list(dict.fromkeys(hosts))
        unicode: dict[bytes, Ways] = {}
        percent, entities, names, scripts = Ways(), Ways(), Ways(), single(b"x5bvc_raw_")
        quoted: dict[bytes, Ways] = {}
        aheads = self._aheads(escapes=b"\\%&")
        for text in self._hosts:
            for index, (code, rest) in enumerate(_grams(text)):
                ahead = aheads[code]
                for form in _cases(code):
                    digits = _units(form)[0]
                    unicode.setdefault(b"u" + digits[:2], Ways()).add(digits[2:], digits[2:] + ahead, rest)
                    if index in _NAMES_BEGIN or not (code.isalnum() and code.isascii()):
                        for number in _numbers(form):
                            scripts.add(number, number + ahead, rest)
                    for raw in _bytes_of(form) if form in _QUOTED_SIGNS or not form.isascii() else ():
                        others = b"".join(b"=%02x" % byte for byte in raw[1:])
                        quoted.setdefault(b"=%02x" % raw[0], Ways()).add(others, others + ahead, rest)
                    percent.add(_percent(form), _percent(form) + ahead, rest)
                    entities.add(_entity(form), _entity(form) + ahead, rest)
                    names.add(_css(form), _number(form), rest)
                if not code.isalnum():
                    names.add(re.escape(code.encode()), re.escape(code.encode()) + ahead, rest)
        following = names.joined(_slashes(self._hosts))
        names, following = (_behind_a_backslash(ways) for ways in (names, following))
        self._backslashed, self._quoted = Search(b"\\", b"", following), quoted
        inner = several(entity_grams(self._hosts))
        encoded = percent.joined(inner, scripts.behind(b"5c"))
        buried = Buried([*joints(self._hosts), *RAW_BLOCKS])
        self._names = searches(
            _with(unicode, names, inner, scripts.behind(b"5c")),
            encoded.joined(names.behind(b"5c")),
            entities.joined(_open_slashes(self._hosts), names.behind(_BACKSLASH_ENTITY)),
            buried,
        )
        numbers = scripts.joined(names.behind(b"x5c"), _numbered_slashes(self._hosts))
        self._names.append(Search(b"\\", b"", names.joined(numbers), buried))
        structure = _structure()
        self._all = [
            *searches(
                _with(unicode, following, structure, _letters(), inner, scripts.behind(b"5c")),
                encoded.joined(structure, following.behind(b"5c")),
                entities.joined(_entities_of_structure(), _open_slashes(self._hosts), names.behind(_BACKSLASH_ENTITY)),
                buried,
            ),
            # one search for all that a backslash begins: rows and JSON are full of them
            Search(
                b"\\",
                rb"(?=[0-7a-f.:\-nrtx]|u\{)",
                following.joined(numbers, structure.behind(b"x"), self._escaped_breaks()),
                buried,
            ),
            Search(b"&amp;", b"", single(_INNER_ENTITY)),
            *self._veiled(rows),
        ]

    def _escaped_breaks(self) -> Ways:
        whole, near = broken_names(self._hosts, rb"\\[rnt]", rb"\\rnt")
        return single(b"[rnt]" + whole, b"[rnt]" + near)

    def _veiled(self, rows: bool) -> list[Search]:
        """Hosts in letters of full width, and with line breaks in them."""
        wide = []
        for first in (WIDE, STOP):
            whole, near = wide_grams(self._hosts, first)
            wide.append(Search(first[:1], re.escape(first[1:]), single(whole, near)))
        plain = broken_names(self._hosts, rb"[\r\n\t]", rb"\r\n\t")
        breaks = [] if rows else [Search(sign, b"", single(*plain)) for sign in (b"\n", b"\r", b"\t")]
        escaped = Search(b"\\", b"", self._escaped_breaks())
        quoted = [Search(sign, b"", ways) for sign, ways in self._quoted.items()]
        self._inner = {
            "backslashed": [self._backslashed],
            "wide": wide,
            "breaks": [*breaks, escaped],
            "quoted": [*quoted, *breaks, escaped],
        }
        self._names += [*wide, *breaks, escaped, *quoted]
        return wide + breaks + quoted

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
        unicode, percent, entities, backslashed, numbered, quoted = [], [], [], [], [], []
        aheads = self._aheads(escapes=b"\\%&")
        for character, ahead in sorted(aheads.items()):
            for form in _cases(character):
                unicode.append(_units(form)[0] + (ahead if len(_units(form)) == 1 else b""))
                percent.append(_percent(form) + ahead)
                entities.append(_entity(form) + ahead)
                backslashed.append(_css(form))
                numbered += [number + ahead for number in _numbers(form)]
                if form in _QUOTED_SIGNS or not form.isascii():
                    quoted += [b"=".join(b"%02x" % byte for byte in raw) + ahead for raw in _bytes_of(form)]
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
        ways.append(rb"(?:\\|5c|&(?:amp;)*+%b)(?:%b)" % (_BACKSLASH_ENTITY, b"|".join(backslashed)))
        ways.append(rb"(?:\\|5c)(?:%b)" % b"|".join(numbered))
        ways.append(b"=(?:%b)" % b"|".join(quoted or [b"2e"]))
        ways += self._coarse_veiled(aheads)
        ways.append(coarse([*joints(self._hosts), *RAW_BLOCKS]))
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


def _behind_a_backslash(ways: Ways) -> Ways:
    """What makes an escape of CSS, or of a regular expression, out of a backslash before it."""
    return ways.behind(rb"(?=[02-7a-f.:\-])")


def _with(unicode: Mapping[bytes, Ways], following: Ways, *more: Ways) -> dict[bytes, Ways]:
    """The escapes of JSON, and those whose backslash is one of them."""
    return {**unicode, b"u00": unicode.get(b"u00", Ways()).joined(following.behind(b"5c"), *more)}


def _slashes(hosts: Iterable[str]) -> Ways:
    """What leads to a host, behind a backslash: a slash before its first two characters, with "www." and without, and a
    colon before a slash."""
    ways = Ways()
    for host in hosts:
        for name in (host, host.removeprefix("www.")):
            if name[1:]:
                ways.add(_css("/"), _number("/"), _any(name[0]) + _any(name[1]))
    ways.add(_css(":") + rb"[/\\]", _number(":"))
    ways.add(rb":[/\\]")
    return ways


def _open_slashes(hosts: Iterable[str]) -> Ways:
    """What leads to a host, behind an ampersand: a slash as a number without its semicolon, as browsers read it."""
    ways = Ways()
    for host in hosts:
        for name in (host, host.removeprefix("www.")):
            if name[1:]:
                rest = _any(name[0]) + _any(name[1])
                ways.add(rb"\#0*47(?![0-9;])", rb"\#0*47(?![0-9;])", rest)
                ways.add(rb"\#x0*2f(?![0-9a-f;])", rb"\#x0*2f(?![0-9a-f;])", rest)
    return ways


def _structure() -> Ways:
    """Behind the start of an escape: a length of serialized PHP, an entity's name, a shortcode's."""
    ways = Ways()
    ways.add(b"3a" + _LENGTH, b"3a[0-9]", _any(":"))
    ways.add(b"26" + _INNER_ENTITY)
    ways.add(b"5bvc_raw_")
    return ways


def _letters() -> Ways:
    """Behind the start of an escape: the letter a serialized value begins with."""
    ways = Ways()
    for letter in _HEAD_LETTERS:
        ways.add(b"%02x" % ord(letter), rb"%02x[:\\%%&]" % ord(letter), _any(":"))
    return ways


def _entities_of_structure() -> Ways:
    ways = Ways()
    ways.add(_entity(":") + _LENGTH, _entity(":") + b"[0-9]", _any(":"))
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


def _numbers(character: str) -> list[bytes]:
    r"""Pattern sources of what stands behind the backslash where scripts and PHP write a character as a number: `x2e`,
    `056`, `u{2e}`; for letters beyond ASCII those of its bytes, too."""
    code, found = ord(character), [rb"u\{0*%x\}" % ord(character)]
    if code < 0x80:
        return [b"x%02x" % code, rb"0*%o(?![0-7])" % code if code < 0o100 else b"%o" % code, *found]
    for raw in _bytes_of(character):
        found += [rb"\\+".join(b"x%02x" % byte for byte in raw), rb"\\+".join(b"%o" % byte for byte in raw)]
    return found


def _bytes_of(character: str) -> set[bytes]:
    """A character in UTF-8, and in latin1 if it is there."""
    return {character.encode(), character.encode("latin-1", "ignore")} - {b""}


def _numbered_slashes(hosts: Iterable[str]) -> Ways:
    """What leads to a host, behind a backslash: a slash as one of `_numbers` before its first two characters."""
    ways = Ways()
    for host in hosts:
        for name in (host, host.removeprefix("www.")):
            if name[1:]:
                for number in (rb"0?57", rb"u\{0*2f\}"):
                    ways.add(number, number, _any(name[0]) + _any(name[1]))
    return ways


@cache
def _entity(character: str) -> bytes:
    code = ord(character)
    names = [re.escape(name) for name in _NAMES.get(character, ())]
    numbers = [rb"\#0*%d(?:;|(?![0-9]))" % code, rb"\#x0*%x(?:;|(?![0-9a-f]))" % code]
    return rb"(?:%b)" % b"|".join([*numbers, *names])


@cache
def _any(character: str) -> bytes:
    """Pattern source of one character of a host in any spelling, in lower-cased text."""
    ways = [re.escape(character.encode())]
    for form in _cases(character):
        ways.append(
            _BACKSLASH + b"(?:u00|x)%02x" % ord(form)
            if form.isascii()
            else b"".join(_BACKSLASH + b"u" + unit for unit in _units(form))
        )
        ways.append(rb"%(?:25)*+" + _percent(form))
        ways.append(rb"&(?:amp;)*+" + _entity(form))
        ways.append(_BACKSLASH + _css(form))
        ways.append(_BACKSLASH + rb"(?:%b)" % b"|".join(_numbers(form)))
    if not character.isalnum():
        ways.append(_BACKSLASH + re.escape(character.encode()))
    return rb"(?:%b)" % b"|".join(ways)
