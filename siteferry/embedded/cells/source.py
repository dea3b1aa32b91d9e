"""One clone's source, asked for media: nothing else of it, and no other server, is ever asked for anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import httpx2

from shared.errors import JobError
from shared.wordpress.http import server_of, site_client
from shared.wordpress.media import fits
from shared.wordpress.unpacking import check_headers
from siteferry.embedded.cells.origins import LARGEST, Origin

SECONDS = 60.0
"""A file may take, from the first byte we send."""
TIMEOUT = httpx2.Timeout(10.0, connect=5.0)
REDIRECTS = 3
AWAY = frozenset({429, 502, 503, 504})
"""What a server says that gives nothing to anybody just now."""
UNCHANGED = "/-._~!$&'()*+,=:@"


class Missing(Exception):
    """The source does not give this file, or nothing that may be taken for it."""


class Away(Exception):
    """The source does not answer."""


class Source:
    """Connections of one thread to one source."""

    def __init__(self, origin: Origin, *, allow_private: bool) -> None:
        self._origin = origin
        self._ends = 0.0
        parts = urlsplit(origin.source)
        self._servers = {server_of(origin.source)}
        if parts.port in (None, 80, 443):  # from one scheme to the other
            self._servers |= {server_of(f"{scheme}://{parts.hostname}/") for scheme in ("http", "https")}
        only = tuple(
            f"{'https' if port == 443 else 'http'}://{_bracketed(host)}:{port}" for host, port in self._servers
        )
        self._http = site_client(allow_private=allow_private, only=only, timeout=TIMEOUT, check=self._check)

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def fetch(self, below: bytes, end: str, write: Callable[[bytes], None]) -> bool:
        """Write the file at this path below the uploads, in pieces; whether it was certainly whole.

        Raises Missing, Away, and what `write` raises.
        """
        self._ends = time.monotonic() + SECONDS
        try:
            return self._fetch(self._origin.source + quote(below, safe=UNCHANGED), end, write)
        except (httpx2.ConnectError, httpx2.TimeoutException) as error:
            raise Away(repr(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, JobError) as error:
            raise Missing(repr(error)) from error
        finally:
            self._http.cookies.clear()

    def _fetch(self, url: str, end: str, write: Callable[[bytes], None]) -> bool:
        headers = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity", "Referer": self._origin.page}
        for _ in range(REDIRECTS + 1):
            with self._http.stream("GET", url, headers=headers) as response:
                check_headers(response)
                if response.has_redirect_location:
                    url = self._next(response)
                    continue
                return _take(response, end, write)
        raise Missing("it redirects without end")

    def _next(self, response: httpx2.Response) -> str:
        url = response.url.join(response.headers["location"])
        safe = url.scheme == "https" or (url.scheme == "http" and response.url.scheme == "http")
        if not safe or url.userinfo or server_of(str(url)) not in self._servers:
            raise Missing("it redirects to another server")
        return str(url)

    def _check(self) -> None:
        if time.monotonic() > self._ends:
            raise Missing("it takes too long")


def _take(response: httpx2.Response, end: str, write: Callable[[bytes], None]) -> bool:
    said = response.headers
    if response.status_code in AWAY:
        raise Away(f"it answers {response.status_code}")
    if response.status_code != 200 or not fits(end, said.get("content-type", "")):
        raise Missing(f"it answers {response.status_code}, {said.get('content-type', '')[:100]}")
    if said.get("content-encoding", "identity").strip().lower() != "identity":
        raise Missing("it is packed, which nobody asked for")
    length = said.get("content-length", "")
    if length.isdigit() and int(length) > LARGEST:
        raise Missing("it is too large")
    size = 0
    for data in response.iter_raw():
        size += len(data)
        if size > LARGEST:
            raise Missing("it is too large")
        write(data)
    if not size:
        raise Missing("it is empty")
    return length.isdigit() or "transfer-encoding" in said


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
