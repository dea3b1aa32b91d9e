"""How a colon and a slash of a URL may be spelled in stored text, and how to write more of the same.

    plain        :  /
    JSON         :  \\/  \\\\\\/ ...        one level of escaping doubles the backslashes and adds one
    JSON         \\u003a \\u002f
    URL-encoded  %3A %2F, %253A %252F   either case of the digits, encoded any number of times
    HTML         &#58; &#x3A; &colon;   &#47; &#x2F; &sol;

Text in LOAD DATA format doubles every backslash once more; `limit` bounds their number (31 is four levels of JSON).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .report import Kind

RAW_LIMIT = 31
TSV_LIMIT = 2 * RAW_LIMIT

_PERCENT = re.compile(rb"(%(?:25)*)2([Ff])\Z")


def slash(limit: int) -> bytes:
    """Pattern source of one slash in any spelling (no groups)."""
    escaped = rb"\\{0,%d}/|\\{1,%d}u002[fF]" % (limit, limit)
    return rb"(?:" + escaped + rb"|%(?:25){0,8}2[fF]|&\#0{0,5}47;|&\#[xX]0{0,5}2[fF];|&sol;)"


def colon(limit: int) -> bytes:
    """Pattern source of one colon in any spelling (no groups)."""
    escaped = rb":|\\{1,%d}u003[aA]" % limit
    return rb"(?:" + escaped + rb"|%(?:25){0,8}3[aA]|&\#0{0,5}58;|&\#[xX]0{0,5}3[aA];|&colon;)"


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
