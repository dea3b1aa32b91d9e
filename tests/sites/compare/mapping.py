"""What a stored value must look like after a move: text by regular expressions, serialized PHP by parsing it and
measuring its strings anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.sites.site import Site

ROOM = 300
"""Bytes; more than any directory or scheme before a host, and any escaped path after it."""


@dataclass(frozen=True)
class Mapping:
    """`urls`: (source base URL, target base URL); `paths`: (source directory, target directory)."""

    urls: tuple[tuple[str, str], ...]
    paths: tuple[tuple[str, str], ...] = ()

    @classmethod
    def between(cls, source: Site, target: str, *, paths: Dictionary[str, str] | None = None) -> Mapping:
        """For a site and the address of its clone."""
        bases = dict.fromkeys((source.home, source.siteurl), target.rstrip("/"))
        if source.siteurl.startswith(source.home + "/"):
            del bases[source.siteurl]  # below home: moves along with it
        return cls(tuple(bases.items()), tuple((paths or {}).items()))

    def apply(self, value: bytes) -> bytes:
        """The value as it must be on the other side."""
        body = value.rstrip(b" \t\r\n")
        try:
            moved, end = self._serialized(body, 0)
        except (ValueError, IndexError):
            return self._text(value)
        return moved + value[len(body) :] if end == len(body) else self._text(value)

    def _text(self, text: bytes) -> bytes:
        """Only what surrounds the names looked for goes through the expressions: values may have tens of megabytes."""
        lowered = text.lower()
        near: list[tuple[int, int]] = []
        for start, end in sorted(span for needle in self._needles for span in _around(lowered, needle)):
            if near and start <= near[-1][1]:
                near[-1] = (near[-1][0], max(end, near[-1][1]))
            else:
                near.append((start, end))
        parts, done = [], 0
        for start, end in near:
            parts += [text[done:start], self._replaced(text[start:end])]
            done = end
        return b"".join((*parts, text[done:]))

    @cached_property
    def _needles(self) -> frozenset[bytes]:
        hosts = {(urlsplit(source).hostname or "").encode() for source, _ in self.urls}
        return frozenset(hosts | {source.rpartition("/")[2].lower().encode() for source, _ in self.paths})

    def _replaced(self, text: bytes) -> bytes:
        for pattern, base in self._patterns:
            text = pattern.sub(lambda found, base=base: _replacement(found, base), text)  # type: ignore[misc]
        for pattern, directory in self._directories:
            text = pattern.sub(lambda found, to=directory: to.replace(b"/", found["esc"] + b"/"), text)  # type: ignore[misc]
        return text

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[bytes], str]]:
        ordered = sorted(self.urls, key=lambda pair: -len(pair[0]))
        return [(pattern, target) for source, target in ordered for pattern in _patterns(source)]

    @cached_property
    def _directories(self) -> list[tuple[re.Pattern[bytes], bytes]]:
        found = []
        for source, target in sorted(self.paths, key=lambda pair: -len(pair[0])):
            first, *rest = source.encode().strip(b"/").split(b"/")
            steps = b"".join(rb"(?P=esc)/" + re.escape(step) for step in rest)
            pattern = rb"(?<![\w.\-/\\])(?P<esc>\\*)/" + re.escape(first) + steps + rb"(?![\w\-]|\.\w)"
            found.append((re.compile(pattern), target.encode()))
        return found

    def _serialized(self, data: bytes, at: int) -> tuple[bytes, int]:
        """The rewritten value that starts at `at`, and where it ends. ValueError or IndexError: there is none."""
        kind = data[at : at + 2]
        if kind == b"N;":
            return kind, at + 2
        if kind in (b"i:", b"b:", b"d:", b"r:", b"R:"):
            end = data.index(b";", at) + 1
            if not re.fullmatch(rb"[ibdrR]:[-+.\w]+;", data[at:end]):
                raise ValueError
            return data[at:end], end
        if kind in (b"s:", b"E:"):
            text, end = _quoted(data, at + 2, b'";')
            moved = self.apply(text) if kind == b"s:" else text
            return b'%s%d:"%s";' % (kind, len(moved), moved), end
        if kind == b"a:":
            count, start = _number(data, at + 2, b":{")
            return self._members(data, start, count, data[at:start])
        if kind == b"O:":
            _, end = _quoted(data, at + 2, b'":')
            count, start = _number(data, end, b":{")
            return self._members(data, start, count, data[at:start])
        raise ValueError(f"no serialized value starts with {kind!r}")

    def _members(self, data: bytes, at: int, count: int, head: bytes) -> tuple[bytes, int]:
        parts = [head]
        for _ in range(count):
            _, end = self._serialized(data, at)
            parts.append(data[at:end])  # keys and property names stay
            value, at = self._serialized(data, end)
            parts.append(value)
        if data[at : at + 1] != b"}":
            raise ValueError
        return b"".join((*parts, b"}")), at + 1


def _around(text: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    """Where `needle` is, with room for what belongs to an address before and after it."""
    at = text.find(needle)
    while at >= 0:
        yield max(0, at - ROOM), min(len(text), at + len(needle) + ROOM)
        at = text.find(needle, at + 1)


def _number(data: bytes, at: int, stop: bytes) -> tuple[int, int]:
    end = data.index(stop, at)
    if not data[at:end].isdigit():
        raise ValueError
    return int(data[at:end]), end + len(stop)


def _quoted(data: bytes, at: int, stop: bytes) -> tuple[bytes, int]:
    length, start = _number(data, at, b':"')
    end = start + length
    if data[end : end + len(stop)] != stop:
        raise ValueError
    return data[start:end], end + len(stop)


def _patterns(source: str) -> list[re.Pattern[bytes]]:
    """The two ways an address is written: with slashes (escaped or not), and percent-encoded (once or more)."""
    parts = urlsplit(source)
    host = re.escape((parts.hostname or "").encode())
    labels = parts.hostname or ""
    www = rb"(?:www\.)?" if "." in labels and not labels.startswith("www.") else b""
    steps = [step.encode() for step in parts.path.split("/") if step]
    slash = b"".join(rb"(?P=esc)/" + re.escape(step) for step in steps)
    coded = b"".join(rb"(?P=sep)" + re.escape(step) for step in steps)
    end = rb"(?![\w\-]|\.\w)" if steps else rb"(?!\d)" if parts.port else rb"(?![\w\-]|\.\w|:\d|%(?:25)*3[Aa]\d)"
    port = b":%d" % parts.port if parts.port else b""
    coded_port = rb"%%(?:25)*3A%d" % parts.port if parts.port else b""
    plain = (
        rb"(?:(?<![\w+.\-])(?P<scheme>https?):|(?<![\w:/\\]))(?P<esc>\\*)/(?P=esc)/" + www + host + port + slash + end
    )
    percent = (
        rb"(?:(?<![\w+.\-])(?P<scheme>https?)(?P<colon>%(?:25)*3A)|(?<![\w]))(?P<sep>%(?:25)*2F)(?P=sep)"
        + www + host + coded_port + coded + end
    )  # fmt: skip
    return [re.compile(plain, re.I), re.compile(percent, re.I)]


def _replacement(found: re.Match[bytes], target: str) -> bytes:
    parts = urlsplit(target)
    groups = found.groupdict()
    if groups.get("sep"):
        sep = groups["sep"]
        colon = groups["colon"] or sep[:-2] + (b"3a" if sep.endswith(b"f") else b"3A")
        scheme = parts.scheme.encode() + colon if groups["scheme"] else b""
        rest = parts.netloc.encode().replace(b":", colon) + parts.path.encode().replace(b"/", sep)
        return scheme + sep + sep + rest
    slash = groups["esc"] + b"/"
    scheme = parts.scheme.encode() + b":" if groups["scheme"] else b""
    return scheme + slash + slash + parts.netloc.encode() + parts.path.encode().replace(b"/", slash)
