"""Searches in steps, for what is rare: a needle, what a pattern begins with, the whole pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache

from .buried import Buried, means

_MISSES = 64
"""Places in one text that may turn out to mean something else; further ones are taken for what they look like."""
_ONE_BY_ONE = 5000
"""Places judged without the whole pattern; for more of them compiling it pays."""


class Ways:
    """Alternatives of a pattern, each as it must be, and as what it begins with: a hundredth of the text."""

    def __init__(self) -> None:
        self.whole: set[bytes] = set()
        self.near: set[bytes] = set()
        self.parts: set[tuple[bytes, bytes]] = set()
        """Each of them alone, as how it begins and how it goes on: short patterns, of which few are ever needed."""

    def add(self, first: bytes, near: bytes | None = None, rest: bytes = b"") -> None:
        """One more, `first` and `rest` behind it; whatever matches that must match `near`."""
        self.whole.add(first + rest)
        self.near.add(first + rest if near is None else near)
        self.parts.add((first, rest))

    def joined(self, *others: Ways) -> Ways:
        """These and others."""
        ways = Ways()
        for one in (self, *others):
            ways.whole |= one.whole
            ways.near |= one.near
            ways.parts |= one.parts
        return ways

    def behind(self, start: bytes) -> Ways:
        """All of them as one alternative, behind something."""
        ways = Ways()
        whole, near = (b"|".join(sorted(each)) or b"(?!)" for each in (self.whole, self.near))
        ways.whole.add(rb"%b(?:%b)" % (start, whole))
        ways.near.add(rb"%b(?:%b)" % (start, near))
        ways.parts = {(start + first, rest) for first, rest in self.parts}
        return ways


class Search:
    """A pattern in steps, each only where the one before finds something: a needle; what it begins with, made in some
    milliseconds; the alternatives one by one. The whole takes half a second to compile: few sites need it."""

    def __init__(self, needle: bytes, skipped: bytes, ways: Ways, buried: Buried | None = None) -> None:
        """`skipped`: pattern of what may stand between the needle and one of the ways; `buried` is looked for on the
        way, if the needle is one byte."""
        self._needle = needle
        self._buried = buried
        self._judged = 0
        whole, near = (
            skipped + _first_seen(each) + rb"(?:%b)" % b"|".join(sorted(each)) for each in (ways.whole, ways.near)
        )
        self._begin = re.escape(needle) + skipped
        self._parts = ways.parts
        self._whole_source = re.escape(needle) + whole
        self._near_source = re.escape(needle) + rb"(?:(?=%b)()|%b)" % (
            near,
            buried.behind(needle) if buried else b"(?!)",
        )

    @cached_property
    def _near(self) -> re.Pattern[bytes]:
        return re.compile(self._near_source)

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        return re.compile(self._whole_source)

    @cached_property
    def _firsts(self) -> list[tuple[re.Pattern[bytes], list[bytes]]]:
        """How the alternatives begin, with all ways to go on."""
        rests: dict[bytes, list[bytes]] = {}
        for first, rest in sorted(self._parts):
            rests.setdefault(first, []).append(rest)
        return [(re.compile(self._begin + first), after) for first, after in rests.items()]

    def _match(self, lowered: bytes, at: int) -> int | None:
        """Where the pattern ends that begins here; None where it does not."""
        if self._judged >= _ONE_BY_ONE:
            found = self._whole.match(lowered, at)
            return None if found is None else found.end()
        self._judged += 1
        for first, rests in self._firsts:
            if begun := first.match(lowered, at):
                for rest in rests:
                    if found := _compiled(rest).match(lowered, begun.end()):
                        return found.end()
        return None

    def starts(self, lowered: bytes) -> Iterator[int]:
        """Where the whole pattern matches, none inside another, or something buried is; from left to right."""
        if self._needle not in lowered:
            return
        end = misses = 0
        for near in self._near.finditer(lowered):
            at = near.start()
            if near.lastindex and at >= end and (found := self._match(lowered, at)) is not None:
                end = found
                yield at
            elif self._buried:
                for between, sign in self._buried.readings(lowered, at):
                    if misses >= _MISSES or means(between, sign):
                        yield at
                        break
                    misses += 1

    def any(self, lowered: bytes) -> bool:
        """Whether it matches anywhere."""
        return self._needle in lowered and next(self.starts(lowered), None) is not None


def searches(unicode: Mapping[bytes, Ways], percent: Ways, entities: Ways, buried: Buried) -> list[Search]:
    """One for each sign that an escape begins with but the backslash; the keys of `unicode` are those of JSON."""
    found = [Search(prefix, b"", ways) for prefix, ways in unicode.items()]
    found += [Search(b"%", rb"(?:25)*+", percent, buried)] if percent.whole else []
    found += [Search(b"&", rb"(?:amp;)*+", entities, buried)] if entities.whole else []
    return found


@lru_cache(1024)
def _compiled(source: bytes) -> re.Pattern[bytes]:
    """`re` itself keeps 512, which the beginnings of one site's alternatives fill."""
    return re.compile(source)


def _first_seen(ways: Iterable[bytes]) -> bytes:
    """Most that can be none of them is seen by the first character."""
    if not all(way[:1].isalnum() for way in ways):
        return b""
    return rb"(?=[%b])" % bytes(sorted({way[0] for way in ways}))


def single(whole: bytes, near: bytes | None = None) -> Ways:
    """One way alone."""
    ways = Ways()
    ways.add(whole, near)
    return ways


def several(wholes: Iterable[bytes]) -> Ways:
    """Ways that are as short as what they begin with."""
    ways = Ways()
    for whole in wholes:
        ways.add(whole)
    return ways
