r"""Hosts that a browser reads and a search for their bytes does not find: letters of full width, dots as East Asia
writes them, line breaks in the middle of a name, numbers of scripts. Pattern sources, for lower-cased text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_DOTS = (b"\xe3\x80\x82", b"\xef\xbc\x8e", b"\xef\xbd\xa1")
_WIDENED = 0xFEE0
"""How far the characters of full width stand behind those of ASCII."""
_LONG = 4
"""Characters of a name that hardly begin a line by chance."""

WIDE, STOP = b"\xef", b"\xe3\x80\x82"
"""What a letter of full width begins with, and the dot of East Asia that does not."""


def wide(character: str) -> list[bytes]:
    """A character of a host in full width, in both cases; nothing for what has none."""
    if character == ".":
        return list(_DOTS)
    if not (character.isascii() and (character.isalnum() or character == "-")):
        return []
    return [chr(ord(form) + _WIDENED).encode() for form in dict.fromkeys((character, character.upper()))]


def wide_grams(hosts: Iterable[str], first: bytes) -> tuple[bytes, bytes]:
    """What follows `first` where a character of a host is written in full width, with one neighbour or two; and what
    that begins with."""
    ways, seconds, lasts = set(), set(), set()
    for host in hosts:
        for index, character in enumerate(host):
            before, after = host[max(0, index - 1) : index], host[index + 1 : index + (2 if index else 3)]
            following = b"".join(_plain_or_wide(each) for each in after)
            for form in wide(character):
                if form.startswith(first) and (before or after):
                    rest = re.escape(form[len(first) :]) + following
                    seconds.add(form[1:2])
                    lasts.add(form[2:])
                    ways.add(rest + (_behind(before, form, after) if before else b""))
    if not ways:
        return rb"(?!)", rb"(?!)"
    ahead = rb"(?=[%b][%b])" % (b"".join(sorted(seconds)), b"".join(sorted(lasts))) if first == WIDE else b""
    return ahead + rb"(?:%b)" % b"|".join(sorted(ways)), ahead


def _plain_or_wide(character: str) -> bytes:
    return rb"(?:%b)" % b"|".join(map(re.escape, [character.encode(), *wide(character)]))


def _behind(before: str, form: bytes, after: str) -> bytes:
    """That the character before `form`, and before what follows it, is this one, wide or not."""
    ends = [each for character in after for each in [character.encode(), *wide(character)]] or [b""]
    starts = [before.encode(), *wide(before)]
    ways = {re.escape(start + form + end) for start in starts for end in ends}
    return rb"(?:%b)" % b"|".join(rb"(?<=%b)" % way for way in sorted(ways))


def entity_grams(hosts: Iterable[str]) -> list[bytes]:
    r"""What follows `%` or `\u00` where an ampersand is escaped, and a dot or a dash of a host was an entity before."""
    return [
        rb"26(?:\#|%%(?:25)*+23)(?:0*%d|x0*%x)(?:;|%%(?:25)*+3b)%b" % (ord(sign), ord(sign), re.escape(after))
        for sign, after in _signs(hosts)
    ]


def _signs(hosts: Iterable[str]) -> list[tuple[str, bytes]]:
    """The dots and dashes of hosts, each with the letter behind it."""
    pairs = {(host[at], host[at + 1]) for host in hosts for at in range(len(host) - 1) if host[at] in ".-"}
    return [(sign, after.encode()) for sign, after in sorted(pairs)]


def broken_names(hosts: Iterable[str], line_break: bytes, last: bytes) -> tuple[bytes, bytes]:
    """What follows a line break in the middle of a host, its rest, and what that begins with. `line_break` is the
    pattern of one, of fixed length, and `last` what its last byte may be."""
    tree: dict[bytes, set[bytes]] = {}
    before = set()
    # before the line break: the first half of one, and the sign with which mail goes on; escaped twice, too
    marks = [b"", b"\r"] if not line_break.startswith(b"\\") else [b"", rb"\\r", rb"\\", rb"\\\\r\\"]
    marks += [b"=" + mark for mark in marks]
    for host in map(str.encode, hosts):
        for at in range(1, len(host)):
            if host[:at] == b"www.":
                continue
            rest = re.escape(host[at + 1 :])
            if len(host) - at < _LONG:
                near, end = re.escape(host[max(0, at - _LONG) : at]), re.escape(host[at:])
                ways = [rb"(?<=%b%b%b%b)" % (near, mark, line_break, end) for mark in marks]
                rest += rb"(?:%b)" % b"|".join(ways)
            tree.setdefault(re.escape(host[at : at + 1]), set()).add(rest)
            before.add(re.escape(host[at - 1 : at]))
    before.add(b"=")  # as mail breaks its lines
    if not tree:
        return rb"(?!)", rb"(?!)"
    ways = [first + rb"(?:%b)" % b"|".join(sorted(rests)) for first, rests in sorted(tree.items())]
    behind = rb"(?<=[%b%b]%b)" % (b"".join(sorted(before)), last, line_break)
    near = rb"(?=[%b])%b" % (b"".join(sorted(tree)), behind)
    return near + rb"(?:%b)" % b"|".join(ways), near
