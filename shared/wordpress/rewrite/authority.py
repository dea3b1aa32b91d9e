"""What stands behind a host: whether the name goes on, a port follows, or all of it was a user before another host.

https://www.rfc-editor.org/rfc/rfc3986#section-3.2: "https://www.example.com:secret@evil.test/" leads to evil.test.
"""

from __future__ import annotations

import html
import re
import unicodedata

from .spelling import PERCENT, RAW_LIMIT, colon, slash, spelled

SAFE_ENDS = frozenset(b'/"<> \t\r\n?#')
"""Bytes behind a host or port that end it in every spelling."""

HOST_END = rb"(?![a-z0-9_-]|\.[a-z0-9_-]|@|%(?:25)*40)"
"""Pattern source, for lower-cased text, of what may not follow a host; the rest is asked of `goes_on`."""

_NEXT = re.compile(
    rb"(?:(?:\\|%b5[cC])(?:u005[cC])*+){1,62}+u([0-9a-fA-F]{4})|((?:%b[0-9a-fA-F]{2}){1,4})"
    rb"|&(?:amp;)*([a-zA-Z]{2,24}(?=;)|\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6});?"
    rb"|\\{1,62}(?:([1-9a-fA-F][0-9a-fA-F]{1,5}|0[0-9a-fA-F]{5})[ \t]?|([.-]))"
    rb"|([\xc2-\xf4][\x80-\xbf]{1,3}|[!-~])" % (PERCENT, PERCENT)
)
_DOTS = ".\u3002\uff0e\uff61"
_HEX = re.compile(rb"%(?:25)*([0-9a-fA-F]{2})")
_AT = rb"(?:@|%(?:25)*40|&(?:amp;)*(?:commat|\#0*64|\#[xX]0*40);|\\+u0040)"
_PART = rb"[A-Za-z0-9._~!$*+=:;,&|^`\x80-\xff-]|%(?!(?:25)*(?:2[0236fF]|3[fF]|40))(?:25)*[0-9a-fA-F]{2}"
_COMMA = (
    rb"(?:[:,;&]|%(?:25)*(?:2[6-9cC]|3[aAbB])|\\+u00(?:2[6-9cC]|3[bB])"
    rb"|&(?:amp;)*(?:amp|comma|semi|lpar|apos|\#0*(?:3[489]|4[0145]|59));)"
)
_BEHIND = rb"(?:[/?\#]|\\+/|:[0-9]|%(?:25)*(?:2[fF]|3[aA][0-9]|3[fF]))"
_HOST = rb"(?:[A-Za-z0-9.\x80-\xff-]+|\[[0-9a-fA-F:.]+\])"
_LISTED = re.compile(
    rb"(?:%b|[()'|^`{}\[\]])%b(?:[A-Za-z0-9\x80-\xff-]+(?:\.[A-Za-z0-9\x80-\xff]|%b)|\[[0-9a-fA-F:])"
    % (_COMMA, _AT, _BEHIND)
    + rb"|%b(?!mailto:|sips?:|xmpp:)(?:%b){1,256}?%b%b%b" % (_COMMA, _PART, _AT, _HOST, _BEHIND)
)
"""A user made of a host and of what stands between the parts of a list: "host;x@evil.test/". A mail address
that nothing follows is the next entry of the list."""
_USER_INFO = (
    rb"(?:[A-Za-z0-9._~!$*+=:-]|%(?!(?:25)*(?:2[0236fF]|3[fF]|40))(?:25)*[0-9a-fA-F]{2})*+(?:@|%(?:25)*40|\\+u0040)"
)


def _next(data: bytes, at: int, hi: int) -> tuple[str, int]:
    """The character at `at`, decoded, and where it ends; nothing for what cannot belong to a name."""
    match = _NEXT.match(data, at, hi)
    if match is None:
        return "", at
    if match[1]:
        return chr(int(match[1], 16)), match.end()
    if match[2]:
        return _percent(match[2], at)
    if match[3]:
        text = html.unescape(f"&{match[3].decode()};")
        return (text, match.end()) if len(text) == 1 else ("", at)
    if match[4]:
        code = int(match[4], 16)
        return (chr(code), match.end()) if code <= 0x10FFFF else ("", at)
    try:
        return (match[5] or match[6]).decode(), match.end()
    except UnicodeDecodeError:
        return "", at


def _percent(run: bytes, at: int) -> tuple[str, int]:
    raw, ends = bytearray(), []
    for byte in _HEX.finditer(run):
        raw += bytes.fromhex(byte[1].decode())
        ends.append(byte.end())
    for size in range(1, len(raw) + 1):
        try:
            return raw[:size].decode(), at + ends[size - 1]
        except UnicodeDecodeError:
            continue
    return "", at


def _in_name(character: str) -> bool:
    return character in "_-" or character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")


def _written_without_spaces(character: str) -> bool:
    """Scripts whose sentences have no spaces: a URL is followed by the next word's first letter."""
    code = ord(character)
    return 0x0E00 <= code < 0x1000 or 0x1780 <= code < 0x1800 or 0x2E80 <= code < 0xD7B0 or 0xF900 <= code


def goes_on(data: bytes, at: int, hi: int) -> bool:
    """Whether the name that ends at `at` really goes on there, in whatever spelling; not asked of plain ASCII."""
    character, end = _next(data, at, hi)
    while character and unicodedata.category(character) == "Cf":  # a name is read without them
        character, end = _next(data, end, hi)
    if not character:
        return False
    if character in _DOTS:
        return _begins_label(_next(data, end, hi)[0])
    if not _in_name(character):
        return character == "@"
    if not _written_without_spaces(character):
        return True
    while character and _in_name(character):
        character, end = _next(data, end, hi)
    return character == "." and _begins_label(_next(data, end, hi)[0])


def _begins_label(character: str) -> bool:
    return bool(character) and _in_name(character) and not _written_without_spaces(character)


class Authority:
    """Reads what follows a host in text with up to `limit` backslashes."""

    def __init__(self, limit: int = RAW_LIMIT) -> None:
        name = rb"(?![A-Za-z0-9_@-]|\.[A-Za-z0-9_])"
        # The dot of the root, "https://www.example.com./": the same host, and no sentence's end.
        self._root = re.compile(rb"%b(?=%b|%b[0-9])" % (spelled(".", limit, b"period"), slash(limit), colon(limit)))
        self._port = re.compile(rb"%b([0-9]+)%b" % (colon(limit), name))
        self._port_start = re.compile(rb"%b[0-9]" % colon(limit))
        self._empty_port = re.compile(rb"%b(?=[?\#]|%b)" % (colon(limit), slash(limit)))
        self._user = re.compile(rb"(?:%b|[!$*+=~])%b" % (colon(limit), _USER_INFO))

    def read(self, data: bytes, end: int, hi: int) -> tuple[bytes, int] | None:
        """The port behind a host that ends at `end`, and where the authority ends; None if it is another's."""
        if end >= hi or data[end] in SAFE_ENDS:
            return b"", end
        root = self._root.match(data, end, hi)
        end = root.end() if root else end
        if self._other(data, end, hi) or self.listed(data, end, hi):
            return None
        match = self._port.match(data, end, hi)
        if match is not None:
            other = self._other(data, match.end(), hi) or self.listed(data, match.end(), hi)
            return None if other else (match[1].lstrip(b"0"), match.end())
        if self._port_start.match(data, end, hi):
            return None
        empty = self._empty_port.match(data, end, hi)
        return b"", empty.end() if empty else end

    def listed(self, data: bytes, end: int, hi: int) -> bool:
        """Whether a host that ends at `end` is the user of another one for whoever reads an address, and an entry for
        whoever reads a list."""
        return _LISTED.match(data, end, hi) is not None

    def _other(self, data: bytes, end: int, hi: int) -> bool:
        if end >= hi:
            return False
        after = data[end]
        if (after in b".\\%&" or after >= 0x80) and goes_on(data, end, hi):
            return True
        return self._user.match(data, end, hi) is not None
