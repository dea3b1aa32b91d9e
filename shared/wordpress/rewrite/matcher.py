"""Finds the source's URLs and paths in bytes, in every spelling, and says what takes their place.

Two steps keep it fast. Candidates are found by the part that never changes its spelling: the bare host, or the last
component of a path, as a literal that `re` searches at C speed in a lower-cased block. Only around a candidate is
the rest read: leftwards the slashes and scheme, rightwards port and path.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from operator import itemgetter

from .mapping import BaseUrl, PathMapping, Route, UrlMapping, clean_paths, routes
from .report import Kind, Reason
from .spelling import TSV_LIMIT, Spelling, colon, slash

BLOCK = 1 << 16
"""Bytes lower-cased and searched at a time; bounds the memory of candidates in one huge value."""

_CACHE = 4096
_SHORT_HOST = 5
_LEFT_LENGTHS = (7, 8, 9, 10, 11, 12)  # http:// https:// and with one or two backslashes before each slash

_HOST_END = rb"(?![a-z0-9_-]|\.[a-z0-9_/:-]|\.\\+/|@|%(?:25)*40)"
_PATH_END = rb"(?![A-Za-z0-9_~-]|\.[A-Za-z0-9_-]|%(?:25)*(?:2[dDeE]|20|5[fF]|7[eE]|[89a-fA-F]))"
_USER = re.compile(rb"/[^\s/@\"'<>]{1,128}@\Z")
_ESCAPE = re.compile(
    rb"(?:\\[bfnrt0Z]|\\u00(?!2[eEfF]|3[aA])[0-7][0-9a-fA-F]|%(?:25)*(?!2[eEfF]|3[aA])[0-3][0-9a-fA-F])\Z"
)
_SHORT_ESCAPE = re.compile(rb"\\{1,2}[^\\u]")
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-%\\/")


Found = tuple[int, int, bytes | None, Kind | Reason]
"""A source URL or path at data[start:end]: its replacement and kind, or None and the reason it is left."""


def starts_clean(data: bytes, lo: int, start: int) -> bool:
    """Whether nothing that would make it part of a longer URL or path stands before `start` (`lo`: text begins)."""
    if start <= lo or data[start - 1] not in _WORD:
        return True
    return _ESCAPE.search(data, max(lo, start - 24), start) is not None


class HostAnchor:
    """Candidates of one bare host, with every route that starts there."""

    def __init__(self, bare_host: str, ways: Sequence[Route], limit: int, bare_domains: bool) -> None:
        self.needle = bare_host.encode()
        self._bare_domains = bare_domains
        self._limit = limit
        literal = re.escape(self.needle)
        left = rb"(?:(?<=[/f;@]%b)|(?<=[/f;@]www\.%b))" % (literal, literal)
        self.pattern = re.compile(literal + (b"" if bare_domains else left) + _HOST_END)
        self._left = re.compile(
            rb"(?:(https?)(%b))?(%b)(%b)\Z" % (colon(limit), slash(limit), slash(limit)), re.IGNORECASE
        )
        # A letter behind a backslash is half of an escape, not the end of a scheme.
        self._scheme_left = re.compile(rb"(?<!\\)[a-zA-Z0-9]%b\Z" % colon(limit))
        self._port = re.compile(rb"%b([0-9]+)(?![A-Za-z0-9_@-]|\.[0-9])" % colon(limit))
        self._port_start = re.compile(rb"%b[0-9]" % colon(limit))
        self._window = 2 * (limit + 6) + 24
        self._ways: dict[tuple[bytes, bytes], list[tuple[re.Pattern[bytes] | None, BaseUrl]]] = {}
        for way in ways:
            key = (way.host.encode(), way.port.encode())
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
        parts = (slash(self._limit) + re.escape(part.encode()) for part in path.split("/"))
        return re.compile(b"".join(parts) + _PATH_END)

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """The URL whose bare host stands at `at`, within the text data[lo:hi]; None if it is not one of ours.

        A site writes its URLs in few ways, so what was decided for the bytes next to a host is remembered: those to
        the left reach over the scheme in its two commonest spellings, those to the right over a port.
        """
        end = at + len(self.needle)
        stop = at - 4 if data[at - 1] == 46 else at  # 46 is the dot of "www."
        plain = data[stop - 2] == 47  # one slash right before the other
        first = stop - (8 if plain else 12)
        last = end + (8 if self._has_port else 1 if plain else 3)
        if not self._memorable or first < lo or last > hi:
            return self._locate(data, at, lo, hi)
        key = data[first:last]
        known = self._memo.get(key)
        if known is None:
            found = self._locate(data, at, lo, hi)
            if found and found[2] is not None and found[0] >= first and self._settled(data, found[0], end):
                if len(self._memo) < _CACHE:
                    self._memo[key] = (found[0] - at, found[1] - at, found[2], found[3])
            return found
        return at + known[0], at + known[1], known[2], known[3]

    def _settled(self, data: bytes, begin: int, end: int) -> bool:
        """Whether the bytes that `locate` remembers by were enough to decide."""
        if data[begin : begin + 4].lower() != b"http" or data[end] in b"%&":
            return False
        if data[end] == 58:  # a colon: the port is in sight only where one is expected
            return self._has_port
        return data[end] != 92 or _SHORT_ESCAPE.match(data, end) is not None

    def _locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        end = at + len(self.needle)
        start = at - 4 if at - 4 >= lo and data[at - 4 : at].lower() == b"www." else at
        host = self._www if start != at else self.needle
        slashed = start > lo and data[start - 1] in b"/fF;"
        spelling = self._spelling(data, start, lo) if slashed else None
        if spelling is None:
            return self._unspelled(data, start, end, host, lo, hi)
        begin, left = spelling
        way = self._route(data, host, end, hi, data[begin : begin + 5].lower() == b"https")
        if way is None or not (left.scheme or starts_clean(data, lo, begin)):
            return None
        end, target = way
        if not left.scheme and self._scheme_left.search(data, max(lo, begin - self._limit - 24), begin):
            return begin, end, None, Reason.SCHEME
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
        match = self._left.search(data, max(lo, start - self._window), start)
        if match is None:
            return None
        spelling = Spelling(match[1] is not None, match[2] or b"", match[3], match[4])
        if len(known) < _CACHE:
            known[match[0]] = spelling
        return match.start(), spelling

    def _route(self, data: bytes, host: bytes, end: int, hi: int, secure: bool) -> tuple[int, BaseUrl] | None:
        """Where the base URL ends and where it leads; `end` is where the host ends."""
        port = b""
        if end < hi and data[end] in b":%\\&":
            match = self._port.match(data, end, hi)
            if match is not None:
                port, end = match[1], match.end()
                if port == (b"443" if secure else b"80") and (host, port) not in self._ways:
                    port = b""
            elif self._port_start.match(data, end, hi):
                return None
        for pattern, target in self._ways.get((host, port), ()):
            if pattern is None:
                return end, target
            below = pattern.match(data, end, hi)
            if below is not None:
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
        """A host without slashes before it: credentials, an e-mail address, or a bare domain."""
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


class PathAnchor:
    """Candidates of one directory, by its last component."""

    def __init__(self, mapping: PathMapping, longer: Sequence[PathMapping], limit: int) -> None:
        parts = [part.encode() for part in mapping.source.split("/")[1:]]
        self.needle = b"/" + parts[-1].lower()
        self.pattern = re.compile(re.escape(self.needle) + rb"(?![a-z0-9_~-]|\.[a-z0-9_-])")
        separator = rb"\\{0,%d}/" % limit
        self._left = re.compile(rb"(%b)%b\Z" % (separator, separator.join(re.escape(part) for part in parts)))
        self._window = len(parts) * (limit + 1) + len(mapping.source)
        self._target = mapping.target.split("/")[1:]
        below = (other.source.removeprefix(mapping.source).split("/")[1:] for other in longer)
        alternatives = [
            b"".join(separator + re.escape(part.encode()) for part in rest) + rb"(?![A-Za-z0-9_~-]|\.[A-Za-z0-9_-])"
            for rest in below
        ]
        self._longer = re.compile(b"|".join(alternatives)) if alternatives else None
        # "/app" alone may be any link on the site; only with WordPress's own directories below it is it a directory.
        self._below = re.compile(separator + b"wp-") if len(parts) == 1 else None

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """The path whose last component stands at `at`; None if it is another one, or a longer source takes it."""
        end = at + len(self.needle)
        match = self._left.search(data, max(lo, at - self._window), end)
        if match is None or (self._longer and self._longer.match(data, end, hi)):
            return None
        start = match.start()
        if not starts_clean(data, lo, start) and data[max(lo, start - 7) : start] != b"file://":
            return None
        if self._below is not None and not self._below.match(data, end, hi):
            return None
        separator = match[1]
        replacement = b"".join(separator + part.encode() for part in self._target)
        return None if data[start:end] == replacement else (start, end, replacement, Kind.PATH)


class WrapperAnchor:
    """Candidates of shortcodes whose body is base64; the text walker reads them itself."""

    needle = b"[vc_raw_"
    pattern = re.compile(rb"\[vc_raw_(?=html|js)")

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """Never a URL by itself."""
        return None


Anchor = HostAnchor | PathAnchor | WrapperAnchor
Candidate = tuple[int, Anchor]


class Matcher:
    """All anchors of one rewriter, for raw values or (`limit` doubled) for text in LOAD DATA format."""

    def __init__(
        self, urls: Sequence[UrlMapping], paths: Sequence[PathMapping], limit: int, *, bare_domains: bool = False
    ) -> None:
        self.anchors: list[Anchor] = []
        by_host: dict[str, list[Route]] = {}
        for way in routes(urls):
            by_host.setdefault(way.host.removeprefix("www."), []).append(way)
        self.anchors += [HostAnchor(host, ways, limit, bare_domains) for host, ways in by_host.items()]
        directories = clean_paths(paths)
        for mapping in directories:
            longer = [other for other in directories if other.source.startswith(mapping.source + "/")]
            self.anchors.append(PathAnchor(mapping, longer, limit))
        if by_host:
            self.anchors.append(WrapperAnchor())
        self.base64_needles = _base64_needles(by_host)
        self.overlap = max((len(anchor.needle) for anchor in self.anchors), default=0) + TSV_LIMIT + 32

    def may_match(self, lowered: bytes) -> bool:
        """Whether anything of ours can be in lower-cased text."""
        return any(anchor.needle in lowered for anchor in self.anchors)

    def candidates(self, lowered: bytes, offset: int = 0) -> list[Candidate]:
        """Candidates in lower-cased text, in order, their positions moved by `offset`."""
        found: list[Candidate] = []
        used = 0
        for anchor in self.anchors:
            if anchor.needle in lowered:
                found += [(match.start() + offset, anchor) for match in anchor.pattern.finditer(lowered)]
                used += 1
        if used > 1:
            found.sort(key=itemgetter(0))
        return found


def _base64_needles(hosts: Iterable[str]) -> tuple[bytes, ...]:
    """What a host looks like inside base64: one certain core for each of its three alignments.

    A short host has no core, or one that every blob holds: it is searched with the slash that stands before it.
    """
    needles = set()
    for host in map(str.encode, hosts):
        for text in [host] if len(host) >= _SHORT_HOST else [b"//" + host, b"\\/" + host, b"2F" + host, b"2f" + host]:
            for pad in range(3):
                encoded = base64.b64encode(b"\0" * pad + text)
                needles.add(encoded[(0, 2, 3)[pad] : (pad + len(text)) * 8 // 6])
    return tuple(sorted(needles))


class Cursor:
    """The candidates of one buffer, read forwards and one block at a time."""

    def __init__(self, matcher: Matcher, data: bytes) -> None:
        self._matcher = matcher
        self._data = data
        self._index = 0
        self._read_to = BLOCK
        if len(data) <= BLOCK:
            self._found = matcher.candidates(data.lower())
        else:
            self._found = self._block(0)
            self._more()

    def _block(self, begin: int) -> list[Candidate]:
        """The candidates that begin in one block; its neighbours are searched along, for what stands around them."""
        first = max(0, begin - self._matcher.overlap)
        lowered = self._data[first : begin + BLOCK + self._matcher.overlap].lower()
        end = begin + BLOCK
        return [found for found in self._matcher.candidates(lowered, first) if begin <= found[0] < end]

    def _more(self) -> None:
        while self._index == len(self._found) and self._read_to < len(self._data):
            self._found, self._index = self._block(self._read_to), 0
            self._read_to += BLOCK

    def peek(self) -> int:
        """Position of the next candidate; the length of the data and more when there is none."""
        return self._found[self._index][0] if self._index < len(self._found) else len(self._data) + 1

    def take(self) -> Candidate:
        """The next candidate; call only after `peek` found one."""
        candidate = self._found[self._index]
        self._index += 1
        if self._index == len(self._found):
            self._more()
        return candidate

    def seek(self, position: int) -> bool:
        """Skips candidates before `position`; True if there were any."""
        skipped = False
        while self.peek() < position:
            self.take()
            skipped = True
        return skipped
