"""Candidates of one directory: which of them are paths of the source, and what takes their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from urllib.parse import unquote

from .context import Found, starts_clean
from .mapping import PathMapping
from .report import Kind, Reason
from .spelling import PATH_END, PERCENT, goes_on_with_blank, slash, spelled_text

_WRAPPERS = re.compile(rb"(?:file|phar|zip|compress\.zlib|compress\.bzip2)://\Z")
"""https://www.php.net/manual/en/wrappers.php: what a path of the source's disk may stand behind."""
_QUOTED = re.compile(
    rb"(?:[\"'(=\r\n]|\\[nr]|,\s*|&(?:amp;)*(?:quot|apos|\#0*3[49]|\#[xX]0*2[27]);|u002[278]|u003[dD]|%b(?:2[278]|3[dD]))\Z"
    % PERCENT
)


_LINE = 160
_DIRECTIVE = re.compile(
    rb"(?:\A|[\r\n]|\\[rn])[ \t]*(?:(?:dis)?allow:|clean-param:|noindex:|rewrite(?:base|rule|cond)\b|redirect\w*\b|"
    rb"errordocument\b|(?:script)?alias\w*\b|<?location\w*\b|rewrite\b|try_files\b|error_page\b)[^\r\n\\]*[ \t^\"]\Z",
    re.IGNORECASE,
)
"""Lines of robots.txt and of web servers' configuration: nobody asks a clone for them, and what was rewritten for a
clone at the root could not be told from any other path on the way back."""
_LONGEST_WRAPPER = len("compress.bzip2://")
_SPELLED = 12
"""Bytes that a slash or a letter of an encoded path takes, as far as it is looked for."""


class PathAnchor:
    """Candidates of one directory, by its last component, behind a slash as it is or (`encoded`) as a number."""

    def __init__(
        self, mapping: PathMapping, longer: Sequence[PathMapping], limit: int, *, encoded: bool = False
    ) -> None:
        parts = mapping.source.split("/")[1:]
        last = parts[-1].encode().lower()
        self.needle = b"2f" + last if encoded else b"/" + last
        self.pattern = re.compile(re.escape(self.needle) + rb"(?![a-z0-9_~-]|\.[a-z0-9_-])")
        separator = slash(limit) if encoded else rb"\\{0,%d}/" % limit
        ends = PATH_END if encoded else rb"(?![A-Za-z0-9_~-]|\.[A-Za-z0-9_-])"

        def spelled(names: Sequence[str]) -> list[bytes]:
            return [spelled_text(name, limit) if encoded else re.escape(name.encode()) for name in names]

        self._left_source = rb"(%b)%b\Z" % (separator, separator.join(spelled(parts)))
        self._window = len(parts) * (limit + 1) + len(mapping.source) * (_SPELLED if encoded else 1)
        self._target = mapping.target.split("/")[1:]
        below = (spelled(other.source.removeprefix(mapping.source).split("/")[1:]) for other in longer)
        alternatives = [b"".join(separator + part for part in rest) + ends for rest in below]
        self._longer = re.compile(b"|".join(alternatives)) if alternatives else None
        # "/app" alone may be any link on the site; only with WordPress's own directories below it is it a directory.
        self._below = re.compile(separator + b"wp-") if len(parts) == 1 else None
        self._ends = re.compile(ends)

    @cached_property
    def _left(self) -> re.Pattern[bytes]:
        """Takes 40 ms to compile where it is encoded, and most sites have no such path."""
        return re.compile(self._left_source)

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """The path whose last component stands at `at`; None if it is another one, or a longer source takes it."""
        end = at + len(self.needle)
        match = self._left.search(data, max(lo, at - self._window), end)
        if match is None or not self._ends.match(data, end, hi) or (self._longer and self._longer.match(data, end, hi)):
            return None
        start = match.start()
        if not starts_clean(data, lo, start) and not _WRAPPERS.search(data, max(lo, start - _LONGEST_WRAPPER), start):
            return None
        if self._below is not None and not self._below.match(data, end, hi):
            return None
        separator = match[1]
        replacement = b"".join(separator + part.encode() for part in self._target)
        return None if data[start:end] == replacement else (start, end, replacement, Kind.PATH)


class RootAnchor:
    """Candidates of root-relative addresses, `src="/blog/wp-content/x.png"`, for a site that lies in a folder.

    Only where an address can stand: behind a quote, a bracket, an equals sign, or at the very beginning of a text.
    """

    def __init__(self, source: str, target: str, limit: int) -> None:
        self.needle = source.split("/")[-1].encode().lower()
        self.pattern = re.compile(rb"(?:/|2f)%b(?![a-z0-9_~-]|\.[a-z0-9_-])" % re.escape(self.needle))
        parts = [spelled_text(unquote(part), limit) for part in source.split("/")]
        self._first = re.compile(rb"(%b)%b%b" % (slash(limit), slash(limit).join(parts), PATH_END))
        self._window = len(source) * 4 + 4 * limit
        self._slash = re.compile(slash(limit))
        self._new = target.split("/") if target else []
        known = [slash(limit) + spelled_text(unquote(part), limit) for part in self._new]
        self._done = re.compile(b"".join(known) + PATH_END) if known and target.startswith(source) else None

    def locate(self, data: bytes, at: int, lo: int, hi: int) -> Found | None:
        """The address whose folder's last name stands at `at`; None where no address can begin."""
        first = max(lo, at - self._window)
        for match in self._first.finditer(data, first, min(hi, at + self._window + 64)):
            if match.start() > at:
                return None
            if match.end() <= at or match.end() < at + len(self.needle):
                continue
            start, end = match.span()
            if goes_on_with_blank(data, start, end, hi):
                return None
            if start > lo and not _QUOTED.search(data, max(lo, start - 24), start):
                told = _DIRECTIVE.search(data[max(lo, start - _LINE) : start])
                return (start, end, None, Reason.DIRECTIVE) if told else None
            if self._done is not None and self._done.match(data, start, hi):
                return None
            replacement = b"".join(match[1] + part.encode() for part in self._new)
            if not self._new and not self._slash.match(data, end, hi):
                replacement = match[1]
            return start, end, replacement, Kind.ROOT_RELATIVE
        return None
