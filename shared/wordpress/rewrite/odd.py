r"""Addresses with other than two slashes: browsers open them all the same.

https://url.spec.whatwg.org/#special-authority-ignore-slashes-state: behind "http:" any number of slashes and of
backslashes means two. With fewer than two it depends on the page ("http:/host" is a path where the page is http
itself), so those stay, and are told; so are a host behind a line break, which browsers drop, and one behind an optional
part of a regular expression, `(?:www\.)?`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .context import starts_clean
from .mapping import BaseUrl
from .report import Kind, Reason
from .spelling import PERCENT, RAW_LIMIT, colon, slash

_NEAR = 96
_ANY_SLASH = (
    rb"(?:[\\/]|%b(?:2[fF]|5[cC])|\\u00(?:2[fF]|5[cC])|&(?:amp;)*(?:\#0*(?:47|92)|\#[xX]0*(?:2[fF]|5[cC])|sol|bsol);)"
    % PERCENT
)
_BROKEN = re.compile(rb"[/fF;](?P<rest>(?:www\.)?(?:[\r\n\t]|\\+[rnt])+)\Z", re.IGNORECASE)
_SOFT = rb"(?:=(?:\r|\\+r)?(?:\n|\\+n))*"
_QUOTED = re.compile(
    b"".join((rb"(?:https?", _SOFT, rb"(?::|=3a))?", (_SOFT + rb"(?:/|=2f)") * 2, _SOFT))
    + _SOFT.join((b"(?:w", b"w", b"w", rb"(?:\.|=2e)"))
    + _SOFT
    + rb")?\Z",
    re.IGNORECASE,
)
"""https://www.rfc-editor.org/rfc/rfc2045#section-6.7: mail as it is sent, with numbers and lines that go on."""


@dataclass(frozen=True, slots=True)
class OddStart:
    """What stands before a host from `begin` on; it stays for `reason`, or may be written again."""

    begin: int
    reason: Reason | None
    secure: bool = False
    colon: bytes = b""
    slashes: bytes = b""

    @property
    def kind(self) -> Kind:
        """What a replacement is counted as."""
        return Kind.URLENCODED if b"%" in self.slashes else Kind.PLAIN

    def written(self, data: bytes, start: int, target: BaseUrl) -> bytes:
        """The target's base URL with these slashes."""
        port = self.colon + target.port.encode() if target.port else b""
        path = b"".join(b"/" + part.encode() for part in target.path.split("/")) if target.path else b""
        return target.scheme.encode() + self.colon + self.slashes + target.host.encode() + port + path


class Odd:
    """Reads what stands before a host in text with up to `limit` backslashes."""

    def __init__(self, limit: int) -> None:
        self._run = re.compile(rb"(?:(https?)(%b))?(%b*+)\Z" % (colon(limit), _ANY_SLASH), re.IGNORECASE)
        self._one = re.compile(slash(limit) + rb"\Z")
        self._backslashes = b"\\" * 2 * (limit // RAW_LIMIT)

    def read(self, data: bytes, start: int, lo: int) -> OddStart | None:
        """What stands before the host at `start`, where it makes an address of it; None if it does not."""
        if data[max(lo, start - 2) : start] == b")?":
            return OddStart(start, Reason.OPTIONAL)
        first = max(lo, start - _NEAR)
        if (broken := _BROKEN.search(data, first, start)) is not None:
            inner = self._run.search(data, first, broken.start("rest"))
            slashes = inner is not None and not self._one.fullmatch(inner[3]) and len(inner[3]) > 1
            return OddStart(broken.start(), Reason.LINE_BREAK) if slashes else None
        if b"=" in data[first:start] and (quoted := _QUOTED.search(data, first, start)) and b"=" in quoted[0]:
            return OddStart(quoted.start(), Reason.QUOTED)
        run = self._run.search(data, first, start)
        if run is None:
            return None
        if run[1] is None:
            return self._without_scheme(data, run.start(), run[3], lo)
        reason = Reason.SLASHES if not run[3] or self._one.fullmatch(run[3]) else None
        return OddStart(run.start(), reason, run[1].lower() == b"https", run[2], run[3])

    def _without_scheme(self, data: bytes, begin: int, slashes: bytes, lo: int) -> OddStart | None:
        """`///host`, and `\\\\host`, which a browser takes for two slashes; a path is neither."""
        if not slashes or not starts_clean(data, lo, begin) or self._one.fullmatch(slashes):
            return None
        if b"/" not in slashes and b"%" not in slashes and len(slashes) < len(self._backslashes):
            return None
        return OddStart(begin, Reason.SLASHES)
