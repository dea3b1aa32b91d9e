r"""How the characters of a URL may be spelled in stored text, and how to write more of the same.

    plain        :  /
    JSON         :  \\/  \\\\\\/ ...        one level of escaping doubles the backslashes and adds one
    JSON         \\u003a \\u002f, and \\x3a \\x2f of scripts
    URL-encoded  %3A %2F, %253A %252F   either case of the digits, encoded any number of times
    HTML         &#58; &#x3A; &colon;   &#47; &#x2F; &sol;

A backslash and an ampersand may be spelled themselves: `%5C%2F` is JSON that was URL-encoded, `\\u005c/` JSON in the
attributes of a block, `&amp;#47;` HTML in HTML. Text in LOAD DATA format doubles every backslash once more; `limit`
bounds their number (31 is four levels of JSON).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from .report import Kind

RAW_LIMIT = 31
TSV_LIMIT = 2 * RAW_LIMIT
WINDOW = 384
"""Bytes that "https://" takes at most, as far as it is looked for."""

PERCENT = rb"%(?:25){0,8}"
AMPERSAND = rb"(?:(?:&|\\{1,62}u0026)(?:amp;){0,4}|%(?:25){0,8}26(?:amp%(?:25){0,8}3[bB]){0,4})"
HASH = rb"(?:\#|%(?:25){0,8}23)"
SEMICOLON = rb"(?:;|%(?:25){0,8}3[bB])"

_PERCENT = re.compile(rb"(%(?:25)*)2([Ff])\Z")


def backslashes(limit: int, least: int = 0) -> bytes:
    """Pattern source of `least` or more backslashes in any spelling."""
    return rb"(?:(?:\\|%b5[cC])(?:u005[cC]){0,8}){%d,%d}" % (PERCENT, least, limit)


def entity(code: int, *names: bytes) -> bytes:
    """Pattern source of a character as an HTML entity."""
    digits = rb"%b0{0,5}%d" % (HASH, code)
    hexadecimal = rb"%b[xX]0{0,5}%b" % (HASH, _either_case(b"%x" % code))
    return rb"%b(?:%b)%b" % (AMPERSAND, b"|".join([digits, hexadecimal, *names]), SEMICOLON)


def _either_case(digits: bytes) -> bytes:
    return b"".join(b"[%c%c]" % (d, d - 32) if d > 57 else b"%c" % d for d in digits)


@cache
def spelled(character: str, limit: int, *names: bytes) -> bytes:
    """Pattern source of one ASCII character in any spelling (no groups); a slash or a quote may be escaped."""
    code = _either_case(b"%02x" % ord(character))
    ways = [re.escape(character.encode()), PERCENT + code, entity(ord(character), *names)]
    found = rb"(?:%b)" % b"|".join(ways)
    if character in '/"':  # JSON escapes these with a backslash, whatever they become afterwards
        found = backslashes(limit) + found
    return rb"(?:%b|%b(?:u00|x)%b)" % (found, backslashes(limit, 1), code)


def slash(limit: int) -> bytes:
    """Pattern source of one slash in any spelling (no groups)."""
    return spelled("/", limit, b"sol")


def colon(limit: int) -> bytes:
    """Pattern source of one colon in any spelling (no groups)."""
    return spelled(":", limit, b"colon")


@cache
def spelled_text(text: str, limit: int) -> bytes:
    """Pattern source of a part of a path in any spelling: its letters beyond ASCII, and what else may be encoded."""
    found = []
    for character in text:
        raw = character.encode()
        ways = [re.escape(raw), b"".join(rb"%b%b" % (PERCENT, _either_case(b"%02x" % byte)) for byte in raw)]
        units = character.encode("utf-16-be")
        ways.append(
            b"".join(
                rb"%bu%b" % (backslashes(limit, 1), _either_case(units[i : i + 2].hex().encode()))
                for i in range(0, len(units), 2)
            )
        )
        ways.append(entity(ord(character)))
        found.append(rb"(?:%b)" % b"|".join(ways))
    return b"".join(found)


PATH_END = rb"(?![A-Za-z0-9_~-]|\.[A-Za-z0-9_-]|%b(?:2[dDeE]|5[fF]|7[eE]|[89a-fA-F]))" % PERCENT
"""Pattern source of what may not follow a path; whether a blank may is asked of `goes_on_with_blank`."""

_BLANK = re.compile(rb"%((?:25)*)20")
_ENCODED_SLASH = re.compile(rb"%((?:25)*)2[fF]")


def goes_on_with_blank(data: bytes, start: int, end: int, hi: int) -> bool:
    """Whether the folder's name of the path data[start:end] goes on with a blank that is part of it.

    "/blog%20x" is another folder than "/blog"; in text that is encoded as a whole, "%2Fblog%20x", a blank follows.
    """
    blank = _BLANK.match(data, end, hi)
    if blank is None:
        return False
    encoded = _ENCODED_SLASH.search(data, start, end)
    return encoded is None or encoded[1] != blank[1]


@dataclass(frozen=True)
class Spelling:
    """The spelling of one URL found: its parts as bytes, ready to be written again."""

    scheme: bool
    colon: bytes
    first_slash: bytes
    slash: bytes

    @property
    def kind(self) -> Kind:
        """What this spelling is counted as."""
        if b"%" in self.slash:
            return Kind.URLENCODED
        if b"&" in self.slash:
            return Kind.ENTITY
        return Kind.JSON if b"\\" in self.slash else Kind.PLAIN

    @property
    def port_colon(self) -> bytes:
        """The colon before a port, spelled like the rest."""
        if self.colon:
            return self.colon
        encoded = _PERCENT.search(self.slash)
        if encoded is None:
            return b":"
        return encoded[1] + (b"3A" if encoded[2] == b"F" else b"3a")

    def path(self, path: str) -> bytes:
        """A path such as "blog/en" with this spelling's slashes, one in front; nothing for an empty path."""
        return b"".join(self.slash + part.encode() for part in path.split("/")) if path else b""
