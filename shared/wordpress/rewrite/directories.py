"""Candidates of one directory: which of them are paths of the source, and what takes their place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .context import Found, starts_clean
from .mapping import PathMapping
from .report import Kind


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
