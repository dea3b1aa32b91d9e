"""One attempt to hand a message to its receiver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import httpx2

from shared.contract.webhooks import Network, OutwardResolver, sign
from shared.wordpress.errors import AddressRefused
from shared.wordpress.http import AsyncSiteTransport, explain

TIMEOUT = 10.0
"""Seconds for everything: name, connection, TLS, request, head of the answer."""
USER_AGENT = "Siteferry-Webhooks/1"
GONE = 410
RETRY_AFTER_MOST = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    taken: bool
    status_code: int | None = None
    error: str = ""
    duration: float = 0.0
    retry_after: float = 0.0
    """Seconds the receiver asked us to wait."""

    @property
    def gone(self) -> bool:
        """The receiver wants nothing any more."""
        return self.status_code == GONE


class Sender:
    """Makes attempts. The certificates are read once, everything else is new each time, the addresses above all."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self._tls = httpx2.create_ssl_context(verify=True, trust_env=False)

    async def post(self, url: str, secret: str, message_id: str, body: bytes) -> Outcome:
        """Send once. Redirects are not followed, and of the answer only the head is read. Raises nothing of the net."""
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, message_id, timestamp, body),
        }
        began = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT):
                status, retry_after = await self._once(url, headers, body)
        except TimeoutError:
            return Outcome(False, None, f"no answer within {TIMEOUT:g} s", time.perf_counter() - began)
        except AddressRefused as refused:
            return Outcome(False, None, refused.message, time.perf_counter() - began)
        except httpx2.RequestError as error:
            return Outcome(False, None, explain(error).message, time.perf_counter() - began)
        taken = 200 <= status < 300
        error_text = "" if taken else "redirects are not followed" if 300 <= status < 400 else f"answered {status}"
        return Outcome(taken, status, error_text, time.perf_counter() - began, retry_after)

    async def _once(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, float]:
        transport = AsyncSiteTransport(verify=self._tls, resolver=OutwardResolver(self._networks))
        async with (
            httpx2.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            # leaving here closes the connection: a body without end costs nothing
            return response.status_code, _seconds(response.headers.get("retry-after"))


def _seconds(text: str | None) -> float:
    return min(float(text), RETRY_AFTER_MOST) if text is not None and text.isdecimal() else 0.0
