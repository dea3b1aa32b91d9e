"""HTTP clients for talking to WordPress sites, and what their failures mean.

`site_client()` and `async_site_client()` are ordinary httpx2 clients over a transport that chooses the address itself
(see `addresses`): `*.localhost` goes to loopback, forbidden addresses are refused, names are resolved once. They never
follow redirects by themselves, ignore proxies and .netrc of the environment, and keep connections alive.

    with site_client() as client, map_transport_errors():
        client.get("http://shop.localhost:8081/")
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpcore2
import httpx2
from httpcore2 import SOCKET_OPTION

from shared.wordpress import limits
from shared.wordpress.addresses import Resolver
from shared.wordpress.errors import HostNotFound, InvalidAddress, SourceUnreachable, TlsError

USER_AGENT = "Mozilla/5.0 (compatible; Siteferry/0.1; on behalf of the site owner)"
HEADERS = {"User-Agent": USER_AGENT, "Accept-Language": "en", "Accept-Encoding": "gzip, deflate"}
"""Asked for is only what `unpacking` unpacks with bounds."""
TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
"""Seconds: 10 to connect, 60 for each read or write, 60 to wait for a free connection."""
LIMITS = httpx2.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=30.0)

LOOK_UP = 0.5
"""Seconds a read waits before it asks whether it is still wanted."""

BasicCredentials = tuple[str, str]
Check = Callable[[], None]


def site_client(
    *,
    basic_auth: BasicCredentials | None = None,
    timeout: httpx2.Timeout = TIMEOUT,
    verify: bool | ssl.SSLContext = True,
    allow_private: bool = True,
    only: Sequence[str] | None = None,
    check: Check | None = None,
) -> httpx2.Client:
    """A client for one WordPress site: its cookies, its connections, its addresses.

    `basic_auth` is sent to the first host called and its www twin only. `verify=False` accepts any certificate.
    `allow_private=False` refuses private and loopback addresses (metadata addresses are refused always). `only`:
    URLs whose origins are the only ones that are ever connected to. `check` is called all the while a site keeps us
    waiting; what it raises ends the request.
    """
    resolver = Resolver(allow_private=allow_private, only=None if only is None else frozenset(map(server_of, only)))
    return httpx2.Client(
        transport=SiteTransport(verify=verify, resolver=resolver, check=check),
        auth=SiteBasicAuth(*basic_auth) if basic_auth else None,
        headers=HEADERS,
        timeout=timeout,
        trust_env=False,
    )


def async_site_client(
    *,
    basic_auth: BasicCredentials | None = None,
    timeout: httpx2.Timeout = TIMEOUT,
    verify: bool | ssl.SSLContext = True,
    allow_private: bool = True,
) -> httpx2.AsyncClient:
    """`site_client` for the event loop."""
    return httpx2.AsyncClient(
        transport=AsyncSiteTransport(verify=verify, resolver=Resolver(allow_private=allow_private)),
        auth=SiteBasicAuth(*basic_auth) if basic_auth else None,
        headers=HEADERS,
        timeout=timeout,
        trust_env=False,
    )


def server_of(url: str) -> tuple[str, int]:
    """Host (as it is resolved) and port of a URL."""
    parsed = httpx2.URL(url)
    return parsed.raw_host.decode("ascii").lower(), parsed.port or {"https": 443}.get(parsed.scheme, 80)


class SiteBasicAuth(httpx2.Auth):
    """Basic authentication that stays on the host it was first used for (and its www twin)."""

    def __init__(self, username: str, password: str) -> None:
        self._basic = httpx2.BasicAuth(username, password)
        self._host: str | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        host = request.url.host.removeprefix("www.")
        if self._host is None:
            self._host = host
        if host == self._host:
            yield from self._basic.auth_flow(request)
        else:
            yield request


class PinnedBackend(httpcore2.SyncBackend):
    """Opens TCP connections to the addresses the resolver allows, trying them in order."""

    def __init__(self, resolver: Resolver, check: Check | None = None) -> None:
        self._resolver = resolver
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = self._resolver.resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        deadline = None if timeout is None else time.monotonic() + timeout
        failure: Exception | None = None
        for address in addresses:
            left = None if deadline is None else max(0.1, deadline - time.monotonic())
            try:
                stream = super().connect_tcp(address, port, left, local_address, socket_options)
                return stream if self._check is None else WatchfulStream(stream, self._check)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")


class WatchfulStream(httpcore2.NetworkStream):
    """A connection whose reads do not outlast the wish for them: a silent site holds up neither cancel nor drain."""

    def __init__(self, stream: httpcore2.NetworkStream, check: Check) -> None:
        self._stream = stream
        self._check = check

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._check()
            left = LOOK_UP if end is None else end - time.monotonic()
            try:
                return self._stream.read(max_bytes, max(0.001, min(LOOK_UP, left)))
            except httpcore2.ReadTimeout:
                if end is not None and time.monotonic() >= end:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._check()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return WatchfulStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._check)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncPinnedBackend(httpcore2.AnyIOBackend):
    """`PinnedBackend` for the event loop."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await asyncio.to_thread(self._resolver.resolve, host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("name resolution timed out") from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        failure: Exception | None = None
        for address in addresses:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")


class SiteTransport(httpx2.HTTPTransport):
    """An httpx2 transport over `PinnedBackend`.

    httpx2 has no parameter for the network backend, so the pool it made is replaced by one that has it.
    """

    def __init__(self, *, verify: bool | ssl.SSLContext, resolver: Resolver, check: Check | None = None) -> None:
        context = _tls() if verify is True else httpx2.create_ssl_context(verify=verify, trust_env=False)
        super().__init__(verify=context, trust_env=False, limits=LIMITS)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            max_connections=LIMITS.max_connections,
            max_keepalive_connections=LIMITS.max_keepalive_connections,
            keepalive_expiry=LIMITS.keepalive_expiry,
            network_backend=PinnedBackend(resolver, check),
        )


class AsyncSiteTransport(httpx2.AsyncHTTPTransport):
    """`SiteTransport` for the event loop."""

    def __init__(self, *, verify: bool | ssl.SSLContext, resolver: Resolver) -> None:
        super().__init__(verify=verify, trust_env=False, limits=LIMITS)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(verify=verify, trust_env=False),
            max_connections=LIMITS.max_connections,
            max_keepalive_connections=LIMITS.max_keepalive_connections,
            keepalive_expiry=LIMITS.keepalive_expiry,
            network_backend=AsyncPinnedBackend(resolver),
        )


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: reading the authorities takes 25 to 50 ms, and carriers inherit what is read already."""
    return httpx2.create_ssl_context(verify=True, trust_env=False)


@contextmanager
def map_transport_errors() -> Generator[None]:
    """Turn what httpx2 raises into `SourceUnreachable`, `HostNotFound`, `InvalidAddress` or `TlsError`.

    Works around async code too: it only looks at the exception. Messages name the host, never the request.
    """
    try:
        yield
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise InvalidAddress() from error
    except httpx2.RequestError as error:
        raise explain(error) from error


def explain(error: httpx2.RequestError) -> SourceUnreachable | HostNotFound | TlsError:
    """The typed error behind a failed request."""
    host = _host_of(error)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and isinstance(error, httpx2.ConnectError):
            return _tls_error(host, cause)
        if isinstance(cause, socket.gaierror):
            if cause.errno == socket.EAI_NONAME or cause.errno == getattr(socket, "EAI_NODATA", None):
                return HostNotFound(f"There is no server named {host}.", host=host)
            return SourceUnreachable(f"The name server did not answer for {host}.", host=host, reason="dns")
        if isinstance(cause, ConnectionRefusedError):
            return SourceUnreachable(f"{host} refused the connection.", host=host, reason="refused")
    if isinstance(error, httpx2.ConnectTimeout):
        return SourceUnreachable(f"{host} did not accept a connection in time.", host=host, reason="timeout")
    if isinstance(error, httpx2.TimeoutException):
        return SourceUnreachable(f"{host} took too long to answer.", host=host, reason="timeout")
    if isinstance(error, httpx2.ConnectError):
        return SourceUnreachable(f"{host} can not be reached from here.", host=host, reason="network")
    return SourceUnreachable(f"{host} broke off the connection.", host=host, reason="lost")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks us to wait (RFC 9110, 10.2.3), `limits.PAUSE` at most; None: it does not."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", said):
        return min(float(said), limits.PAUSE.most)
    try:
        left = parsedate_to_datetime(said).timestamp() - time.time()
    except (ValueError, OverflowError, IndexError):
        return None
    return min(max(0.0, left), limits.PAUSE.most)


def _tls_error(host: str, error: ssl.SSLError) -> TlsError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return TlsError(f"The TLS certificate of {host} is not valid: {reason}.", host=host, reason=reason)
    reason = (error.reason or "handshake failed").replace("_", " ").lower()
    return TlsError(
        f"{host} does not speak TLS correctly: {reason}.",
        hint="If the site has no TLS, give its address with http://.",
        host=host,
        reason=reason,
    )


def _host_of(error: httpx2.RequestError) -> str:
    try:
        url = error.request.url
    except RuntimeError:  # raised without a request
        return "The site"
    return f"{url.host}:{url.port}" if url.port else url.host


def _causes(error: BaseException) -> Generator[BaseException]:
    """The error and everything it was raised from, outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
