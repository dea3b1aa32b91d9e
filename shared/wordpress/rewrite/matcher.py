"""Finds the source's URLs and paths in bytes, in every spelling, and says what takes their place.

Two steps keep it fast. Candidates are found by the part that never changes its spelling: the bare host, or the last
component of a path, as a literal that `re` searches at C speed in a lower-cased block. Only around a candidate is
the rest read: leftwards the slashes and scheme, rightwards port and path.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import itemgetter

from .context import Found
from .directories import PathAnchor, RootAnchor
from .hosts import HostAnchor
from .mapping import PathMapping, Route, UrlMapping, clean_paths, folders, routes
from .names import host_forms, legacy_forms, upper_letters
from .signs import SIGNS, Hints, holds_escaped_head, holds_head, rare_first
from .spelling import RAW_LIMIT, WINDOW

BLOCK = 1 << 16
"""Bytes lower-cased and searched at a time; bounds the memory of candidates in one huge value."""

_SHORT_HOST = 5


class WrapperAnchor:
    """Candidates of shortcodes whose body is base64; the text walker reads them itself."""

    needle = b"vc_raw_"
    pattern = re.compile(rb"vc_raw_(?=html|js)")

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """Never a URL by itself."""
        return None


class HintAnchor:
    """Escaped characters of a host: what stands there is seen once it is decoded."""

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """Never a URL by itself."""
        return None


Searched = HostAnchor | PathAnchor | RootAnchor | WrapperAnchor
Anchor = Searched | HintAnchor
Candidate = tuple[int, Anchor]


class Matcher:
    """All anchors of one rewriter, for raw values or (`limit` doubled) for text in LOAD DATA format."""

    def __init__(
        self, urls: Sequence[UrlMapping], paths: Sequence[PathMapping], limit: int, *, bare_domains: bool = False
    ) -> None:
        self.anchors: list[Searched] = []
        by_host: dict[str, list[Route]] = {}
        self._upper: set[tuple[bytes, bytes]] = set()
        for way in routes(urls):
            bare = way.host.removeprefix("www.")
            for form in host_forms(bare):
                host = form if bare == way.host else f"www.{form}"
                by_host.setdefault(form, []).append(replace(way, host=host))
            self._upper.update(upper_letters(bare))
        for host, ways in by_host.items():
            self.anchors.append(HostAnchor(host.encode(), ways, limit, bare_domains))
            self.anchors += [HostAnchor(form, ways, limit, bare_domains, legacy=True) for form in legacy_forms(host)]
        directories = clean_paths(paths)
        for mapping in directories:
            longer = [other for other in directories if other.source.startswith(mapping.source + "/")]
            self.anchors += [PathAnchor(mapping, longer, limit, encoded=encoded) for encoded in (False, True)]
        self.anchors += [RootAnchor(source, target, limit) for source, target in folders(urls)]
        if by_host:
            self.anchors.append(WrapperAnchor())
        self._hints = Hints((f"www.{host}" for host in by_host), rows=limit > RAW_LIMIT)
        self._hint = HintAnchor()
        self.base64_needles = _base64_needles(by_host)
        self.overlap = max((len(anchor.needle) for anchor in self.anchors), default=0) + WINDOW

    def lower(self, data: bytes) -> bytes:
        """The data in lower case, also for those letters beyond ASCII that a host has; of the same length."""
        lowered = data.lower()
        for upper, lower in self._upper:
            lowered = lowered.replace(upper, lower)
        return lowered

    def pattern(self) -> bytes:
        """What any text must match to hold anything of ours, in clear or escaped, as a source that PCRE reads too.

        It is for bytes: case is ignored as far as ASCII goes, and as far as a host's own letters go beyond it.
        """
        plain = [rare_first(needle, self._in_both_cases) for needle in sorted({a.needle for a in self.anchors})]
        ways = b"|".join(filter(None, [*plain, self._hints.coarse()]))
        return rb"(?i:%b)|%b" % (ways, b"|".join(map(rare_first, self.base64_needles)))

    def _in_both_cases(self, text: bytes) -> bytes:
        source = re.escape(text)
        for upper, lower in sorted(self._upper):
            source = source.replace(re.escape(lower), rb"(?:%b|%b)" % (re.escape(lower), re.escape(upper)))
        return source

    def may_match(self, lowered: bytes) -> bool:
        """Whether anything of ours can be in lower-cased text."""
        return any(anchor.needle in lowered for anchor in self.anchors) or self._hints.names(lowered)

    def is_escaped(self, data: bytes, start: int, end: int) -> bool:
        """Whether the text data[start:end] must be decoded to be read as a whole."""
        return holds_escaped_head(data, start, end) or self._is_hinted(data, start, end)

    def is_structured(self, data: bytes, start: int, end: int) -> bool:
        """Whether there may be more in a text than text: serialized PHP in any spelling, or what must be decoded."""
        return holds_head(data, start, end) or self._is_hinted(data, start, end)

    def is_inner(self, layer: str, data: bytes) -> bool:
        """Whether a text names a host as an innermost layer spells it: CSS's escapes, or letters of full width."""
        return self._hints.inner(layer, self.lower(data))

    def _is_hinted(self, data: bytes, start: int, end: int) -> bool:
        if not any(data.find(sign, start, end) >= 0 for sign in SIGNS):
            return False
        return self._hints.any(self.lower(data[start:end]))

    def candidates(self, lowered: bytes, offset: int = 0) -> list[Candidate]:
        """Candidates in lower-cased text, in order, their positions moved by `offset`."""
        found: list[Candidate] = []
        used = 0
        for anchor in self.anchors:
            if anchor.needle in lowered:
                found += [(match.start() + offset, anchor) for match in anchor.pattern.finditer(lowered)]
                used += 1
        hints = self._hints.positions(lowered, offset)
        if hints:
            found += [(at, self._hint) for at in hints]
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
            self._found = matcher.candidates(matcher.lower(data))
        else:
            self._found = self._block(0)
            self._more()

    def _block(self, begin: int) -> list[Candidate]:
        """The candidates that begin in one block; its neighbours are searched along, for what stands around them."""
        first = max(0, begin - self._matcher.overlap)
        lowered = self._matcher.lower(self._data[first : begin + BLOCK + self._matcher.overlap])
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
