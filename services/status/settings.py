"""Settings of the status service."""

from __future__ import annotations

from pydantic import Field

from shared.secrets.settings import KeySettings
from shared.web import names, origin_names


class StatusSettings(KeySettings):
    """What the status service needs besides the bus."""

    status_host: str = "127.0.0.1"
    """Address to listen on; the edge (Caddy) stands in front."""
    status_port: int = Field(8082, ge=0, le=65535)
    """Port to listen on; 0: a free one, which the log tells."""
    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    """Host names, comma-separated, answered where no API key is needed, so that no DNS name a stranger controls
    leads a browser here (DNS rebinding); `*` answers all."""
    allowed_origins: str = ""
    """Origins, comma-separated, beside `SITEFERRY_EDGE_URL` whose pages may call the API and open live connections,
    such as `https://app.example.com`."""
    webhook_networks: str = ""
    """Networks, comma-separated, beside the public ones that webhooks may be sent to, such as `127.0.0.0/8`."""
    webhook_first_retry: float = Field(5.0, gt=0)
    """Seconds until a webhook that was not taken is sent again; four times as long with each further try, at most 6
    hours."""
    webhook_retry_hours: float = Field(24.0, gt=0)
    """Hours until a webhook that was not taken is given up."""
    max_connections: int = Field(5000, ge=1)
    """Live connections (WebSocket and SSE) one process accepts; more are asked to come back later."""

    @property
    def hosts(self) -> frozenset[str]:
        """`allowed_hosts` as a set, in lower case, with the host of the edge."""
        return names(self.allowed_hosts) | {origin_of(self.edge_url).partition("://")[2].rsplit(":", 1)[0]}

    @property
    def origins(self) -> frozenset[str]:
        """Origins whose pages may open live connections: exact matches, never a pattern, for clones are neighbours.

        An edge on `localhost` is also reached by its addresses.
        """
        edge = origin_of(self.edge_url)
        scheme, _, authority = edge.partition("://")
        name, colon, port = authority.partition(":")
        twins = {f"{scheme}://{host}{colon}{port}" for host in ("127.0.0.1", "[::1]")} if name == "localhost" else set()
        return origin_names(self.allowed_origins) | {edge, *twins}


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as a browser writes them into the Origin header."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}".lower()
