"""A client for `http://<name>.localhost:<port>/`, whatever the machine's resolver thinks of such names.

Deliberately not the product's client: what the tests see must not depend on what they test.
"""

from __future__ import annotations

import httpx2


class Loopback(httpx2.BaseTransport):
    """Connects to 127.0.0.1 for every *.localhost, keeping the Host header (cookies stay with their host name)."""

    def __init__(self) -> None:
        self._inner = httpx2.HTTPTransport(verify=False)  # no TLS here: no certificates to load

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        if host != "localhost" and not host.endswith(".localhost"):
            raise httpx2.ConnectError(f"only loopback names are reached from tests, not {host}", request=request)
        # A request of its own: the cookie jar files cookies under the name in the original one.
        sent = httpx2.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(sent)

    def close(self) -> None:
        self._inner.close()


def client(base_url: str = "", *, timeout: float = 60.0, auth: tuple[str, str] | None = None) -> httpx2.Client:
    """A browser-like client: cookies kept, redirects not followed unless asked."""
    return httpx2.Client(
        base_url=base_url,
        transport=Loopback(),
        timeout=timeout,
        auth=auth,
        trust_env=False,
        headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) tests"},
    )
