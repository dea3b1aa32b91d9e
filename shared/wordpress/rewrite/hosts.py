"""Candidates of one host name: which of them are URLs of the source, and what takes their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from .authority import HOST_END, SAFE_ENDS, Authority
from .context import Found, starts_clean
from .mapping import BaseUrl, Route
from .odd import Odd
from .report import Kind, Reason
from .spelling import PATH_END, WINDOW, Spelling, colon, goes_on_with_blank, slash, spelled_text

_CACHE = 4096
_PORT = 6  # :65535
_LEFT_LENGTHS = (7, 8, 9, 10, 11, 12)  # http:// https:// and with one or two backslashes before each slash

_NEAR = 48
_USER = re.compile(rb"/[^\s/@\"'<>]{1,128}@\Z")
_TORN_SCHEME = re.compile(rb"https?(?::|=3a)(=)?(?:[\r\n]|\\+[rn])+\Z", re.IGNORECASE)
"""A scheme with a line break between it and its slashes: whoever drops the break reads one address."""
_SHORT_ESCAPE = re.compile(rb"\\{1,2}[^\\u]")


class HostAnchor:
    """Candidates of one bare host, with every route that starts there."""

    def __init__(
        self, needle: bytes, ways: Sequence[Route], limit: int, bare_domains: bool, *, legacy: bool = False
    ) -> None:
        """`needle`: the host without "www.", in lower case as far as ASCII goes. `legacy`: it is not in UTF-8."""
        self.needle = needle
        self._legacy = legacy
        self._bare_domains = bare_domains
        self._limit = limit
        literal = re.escape(self.needle)
        befores = [rb"[/f;@:\\\r\n\t]", rb"3b", rb"3a", rb"5c", rb"=2e", rb"\\[rnt]"]
        ways_before = [before + www + literal for before in befores for www in (b"", rb"www\.")]
        ways_before += [before + literal for before in (rb"\)\?", rb"ww\.[\r\n\t]", rb"ww\.\\[rnt]")]
        left = rb"(?:%b)" % b"|".join(rb"(?<=%b)" % way for way in ways_before)
        self.pattern = re.compile(literal + (b"" if bare_domains else left) + HOST_END)
        self._left = re.compile(
            rb"(?:(https?)(%b))?(%b)(%b)\Z" % (colon(limit), slash(limit), slash(limit)), re.IGNORECASE
        )
        # A letter behind a backslash is half of an escape, not the end of a scheme.
        self._scheme_left = re.compile(rb"(?<!\\)[a-zA-Z0-9]%b\Z" % colon(limit))
        self._odd = Odd(limit)
        self._authority = Authority(limit)
        self._ways: dict[tuple[bytes, bytes], list[tuple[re.Pattern[bytes] | None, BaseUrl]]] = {}
        for way in ways:
            key = (b"www." + needle if way.host.startswith("www.") else needle, way.port.encode())
            self._ways.setdefault(key, []).append((self._path_pattern(way.path), way.target))
        self._www = b"www." + self.needle
        self._has_port = any(way.port for way in ways)
        self._memorable = not any(way.path for way in ways) and not bare_domains
        self._memo: dict[bytes, tuple[int, int, bytes | None, Kind | Reason]] = {}
        self._spellings: dict[bytes, Spelling] = {}
        self._replacements: dict[tuple[bytes, BaseUrl], bytes] = {}

    def _path_pattern(self, path: str) -> re.Pattern[bytes] | None:
        if not path:
            return None
        parts = (slash(self._limit) + spelled_text(unquote(part), self._limit) for part in path.split("/"))
        return re.compile(b"".join(parts) + PATH_END)

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """The URL whose bare host stands at `at`, within the text data[lo:hi]; None if it is not one of ours.

        A site writes its URLs in few ways, so what was decided for the bytes next to a host is remembered: those to
        the left reach over the scheme in its two commonest spellings, those to the right over a port.
        """
        end = at + len(self.needle)
        stop = at - 4 if data[at - 1] == 46 else at  # 46 is the dot of "www."
        plain = data[stop - 2] == 47  # one slash right before the other
        first = stop - (8 if plain else 12)
        last = end + (1 if plain else 3) + (_PORT if self._has_port else 0)
        if not self._memorable or first < lo or last > hi:
            return self._locate(data, at, lo, hi)
        key = data[first:last]
        known = self._memo.get(key)
        if known is None:
            found = self._locate(data, at, lo, hi)
            if found and found[2] is not None and found[0] >= first and self._settled(data, found[0], found[1], last):
                if len(self._memo) < _CACHE:
                    self._memo[key] = (found[0] - at, found[1] - at, found[2], found[3])
            return found
        return at + known[0], at + known[1], known[2], known[3]

    def _settled(self, data: bytes, begin: int, end: int, last: int) -> bool:
        """Whether the bytes up to `last` that `locate` remembers by were enough to decide; the URL ends at `end`."""
        if data[begin : begin + 4].lower() != b"http" or end >= last:
            return False
        return data[end] in SAFE_ENDS or (data[end] == 92 and _SHORT_ESCAPE.match(data, end, last) is not None)

    def _locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        end = at + len(self.needle)
        start = at - 4 if at - 4 >= lo and data[at - 4 : at].lower() == b"www." else at
        host = self._www if start != at else self.needle
        slashed = start > lo and data[start - 1] in b"/fF;bB"
        spelling = self._spelling(data, start, lo) if slashed else None
        if spelling is None:
            return self._unspelled(data, start, end, host, lo, hi)
        begin, left = spelling
        if not (left.scheme or starts_clean(data, lo, begin)):
            return self._unspelled(data, start, end, host, lo, hi)
        way = self._route(data, host, end, hi, data[begin : begin + 5].lower() == b"https")
        if way is None:
            return (begin, end, None, Reason.CREDENTIALS) if self._authority.listed(data, end, hi) else None
        end, target = way
        if not left.scheme and self._scheme_left.search(data, max(lo, begin - self._limit - 24), begin):
            return begin, end, None, Reason.SCHEME
        if not left.scheme and (torn := _TORN_SCHEME.search(data, max(lo, begin - _NEAR), begin)):
            return torn.start(), end, None, Reason.QUOTED if torn[1] else Reason.LINE_BREAK
        replacement = self._render(data[begin:start], left, target)
        return None if data[begin:end] == replacement else (begin, end, replacement, left.kind)

    def _spelling(self, data: bytes, start: int, lo: int) -> tuple[int, Spelling] | None:
        """Where the URL before its host begins, and how it is spelled."""
        known = self._spellings
        for length in _LEFT_LENGTHS:
            if start - length < lo:
                break
            spelling = known.get(data[start - length : start])
            if spelling is not None and spelling.scheme:
                return start - length, spelling
        match = self._left.search(data, max(lo, start - _NEAR), start)
        if match is None or match.start() == start - _NEAR or not (match[1] or self._begins(data, match.start(), lo)):
            match = self._left.search(data, max(lo, start - WINDOW), start)
        if match is None:
            return None
        spelling = Spelling(match[1] is not None, match[2] or b"", match[3], match[4])
        if len(known) < _CACHE:
            known[match[0]] = spelling
        return match.start(), spelling

    @staticmethod
    def _begins(data: bytes, at: int, lo: int) -> bool:
        """Whether nothing of the URL can stand before `at`: none of what a colon, or a backslash, is spelled with."""
        return at == lo or data[at - 1] not in b":;aAbBcC\\"

    def _route(self, data: bytes, host: bytes, end: int, hi: int, secure: bool) -> tuple[int, BaseUrl] | None:
        """Where the base URL ends and where it leads; `end` is where the host ends."""
        if self._legacy and end < hi and data[end] >= 0x80:
            return None  # one more letter of a character set that is not UTF-8
        read = self._authority.read(data, end, hi)
        if read is None:
            return None
        port, end = read
        if port == (b"443" if secure else b"80") and (host, port) not in self._ways:
            port = b""
        for pattern, target in self._ways.get((host, port), ()):
            if pattern is None:
                return end, target
            below = pattern.match(data, end, hi)
            if below is not None and not goes_on_with_blank(data, end, below.end(), hi):
                return below.end(), target
        return None

    def _render(self, before: bytes, spelling: Spelling, target: BaseUrl) -> bytes:
        key = (before, target)
        known = self._replacements.get(key)
        if known is None:
            scheme = target.scheme.encode() + spelling.colon if spelling.scheme else b""
            port = spelling.port_colon + target.port.encode() if target.port else b""
            slashes = spelling.first_slash + spelling.slash
            known = scheme + slashes + target.host.encode() + port + spelling.path(target.path)
            if len(self._replacements) < _CACHE:
                self._replacements[key] = known
        return known

    def _unspelled(self, data: bytes, start: int, end: int, host: bytes, lo: int, hi: int) -> Found | None:
        """A host without two slashes before it: odd ones, credentials, an e-mail address, or a bare domain."""
        odd = self._odd.read(data, start, lo)
        if odd is not None:
            way = self._route(data, host, end, hi, odd.secure)
            if way is None:
                return None
            if odd.reason is not None:
                return odd.begin, way[0], None, odd.reason
            replacement = odd.written(data, start, way[1])
            return None if data[odd.begin : way[0]] == replacement else (odd.begin, way[0], replacement, odd.kind)
        if start > lo and data[start - 1] == 64:  # @
            slash_at = data.rfind(b"/", max(lo, start - 130), start)
            user = slash_at >= 0 and _USER.match(data, slash_at, start)
            way = self._route(data, host, end, hi, False) if user else None
            return (start, way[0], None, Reason.CREDENTIALS) if way else None
        if not self._bare_domains or not starts_clean(data, lo, start):
            return None
        way = self._route(data, host, end, hi, False)
        if way is None:
            return None
        replacement = self._render(b"", Spelling(False, b"", b"", b""), way[1])
        return None if data[start : way[0]] == replacement else (start, way[0], replacement, Kind.BARE)
