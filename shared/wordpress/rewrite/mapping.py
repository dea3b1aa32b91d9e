"""What is to be replaced by what: site URLs and file-system paths, normalised once before any value is read."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from .names import ascii_host

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class UrlMapping:
    """Every URL at or below one of `sources` moves to the same place below `target`.

    `sources` are base URLs as the site knows them (home, siteurl, extra domains), "http://www.example.com:8081/blog";
    `target` is one base URL, "http://clone-abc.localhost:8080". A source stands for both schemes, for the
    protocol-relative form and for its host with and without "www."; of several sources the longest path wins.
    """

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class PathMapping:
    """A directory of the source server and the directory that takes its place ("/var/www/html" -> "/srv/clone")."""

    source: str
    target: str


@dataclass(frozen=True)
class BaseUrl:
    """One base URL, taken apart: `port` is empty when it is the scheme's own, `path` has no slash at its ends."""

    scheme: str
    host: str
    port: str
    path: str

    @classmethod
    def parse(cls, url: str) -> BaseUrl:
        """Takes an http(s) URL apart; raises ValueError when it is none or carries a query, fragment or user."""
        parts = urlsplit(url.strip())
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f"not an http(s) URL: {url!r}")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"a base URL has no query, fragment or user: {url!r}")
        port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else str(parts.port)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(parts.scheme, host, port, parts.path.strip("/"))

    @property
    def bare_host(self) -> str:
        """The host without "www."; what both of its variants have in common."""
        return self.host.removeprefix("www.")

    @property
    def other_host(self) -> str | None:
        """The host with "www." taken away or added; None where that makes no sense (addresses, single labels)."""
        if self.host.startswith("www."):
            return self.host[4:]
        if "." not in self.host or self.host.startswith("[") or _is_address(self.host):
            return None
        return "www." + self.host


@dataclass(frozen=True)
class Route:
    """One way from an exact origin and path to a target."""

    host: str
    port: str
    path: str
    target: BaseUrl


def routes(mappings: Sequence[UrlMapping]) -> list[Route]:
    """All routes, longest path first.

    What is spelled out wins over what is derived: a www variant is added only where no mapping names it. A target
    on a source's own host routes to itself, which is what makes rewriting twice the same as rewriting once.
    """
    found: dict[tuple[str, str, str], Route] = {}
    for tier in (_named(mappings), _own_targets(mappings), _variants(mappings)):
        for route in tier:
            found.setdefault((route.host, route.port, route.path), route)
    return sorted(found.values(), key=lambda route: -len(route.path))


def _named(mappings: Sequence[UrlMapping]) -> Iterator[Route]:
    for mapping in mappings:
        target = BaseUrl.parse(mapping.target)
        for source in map(BaseUrl.parse, mapping.sources):
            yield Route(ascii_host(source.host), source.port, source.path, target)


def _own_targets(mappings: Sequence[UrlMapping]) -> Iterator[Route]:
    sources = [BaseUrl.parse(source) for mapping in mappings for source in mapping.sources]
    hosts = {ascii_host(source.bare_host) for source in sources}
    for mapping in mappings:
        target = BaseUrl.parse(mapping.target)
        if ascii_host(target.bare_host) in hosts:
            yield Route(ascii_host(target.host), target.port, target.path, target)


def _variants(mappings: Sequence[UrlMapping]) -> Iterator[Route]:
    for mapping in mappings:
        target = BaseUrl.parse(mapping.target)
        for source in map(BaseUrl.parse, mapping.sources):
            if source.other_host:
                yield Route(ascii_host(source.other_host), source.port, source.path, target)


_ROOT_NAMES = ("wp-content", "wp-includes", "wp-admin", "wp-json", "wp-login.php")


def folders(mappings: Sequence[UrlMapping]) -> list[tuple[str, str]]:
    """Which folders below the root of a host become which others, the longest first.

    Where the source lies at the root and the target does not, only WordPress's own names tell what is meant.
    """
    found: dict[str, str] = {}
    for mapping in mappings:
        target = BaseUrl.parse(mapping.target)
        for source in map(BaseUrl.parse, mapping.sources):
            if source.path and source.path != target.path:
                found.setdefault(source.path, target.path)
            elif target.path and not source.path:
                for name in _ROOT_NAMES:
                    found.setdefault(name, f"{target.path}/{name}")
    return sorted(found.items(), key=lambda pair: -len(pair[0]))


def clean_paths(mappings: Sequence[PathMapping]) -> list[PathMapping]:
    """Path mappings without trailing slashes, longest source first; raises ValueError for a source that is no path.

    Targets below a source map to themselves, so that rewriting twice changes nothing more.
    """
    found: dict[str, PathMapping] = {}
    for mapping in mappings:
        source, target = mapping.source.rstrip("/"), mapping.target.rstrip("/")
        if not source.startswith("/"):
            raise ValueError(f"not an absolute directory below the root: {mapping.source!r}")
        found[source] = PathMapping(source, target)
    for mapping in list(found.values()):
        if any(mapping.target.startswith(source + "/") for source in found):
            found.setdefault(mapping.target, PathMapping(mapping.target, mapping.target))
    return sorted(found.values(), key=lambda mapping: -len(mapping.source))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
