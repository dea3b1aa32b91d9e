"""Settings of the gateway."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import Field

from shared.settings import Settings
from shared.web import names


class GatewaySettings(Settings):
    """`SITEFERRY_…` variables the gateway reads beside the shared ones."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8081
    api_keys_file: Path | None = None
    """One `name:sha256hex[:tenant][:lane]` a line. When set, every call about jobs and clones needs a key."""
    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    """Comma-separated Host names answered when there are no API keys, so that no DNS name a stranger controls leads
    a browser here (DNS rebinding). `*` answers all."""
    allowed_origins: str = ""
    """Comma-separated origins beside `edge_url` whose pages may change things."""
    rate_limit_per_minute: int = Field(600, ge=0)
    """State-changing calls a tenant may make a minute, over all replicas. 0 turns the limit off."""
    rate_limit_burst: int = Field(200, ge=1)
    """State-changing calls a tenant may make at once after a quiet time."""
    webhook_networks: str = ""
    """Comma-separated networks beside the public ones that webhooks may be sent to, such as `127.0.0.0/8`."""
    store_timeout: float = Field(2.0, gt=0)
    """Seconds a call waits for NATS before it is answered with 503."""

    sync_seconds: int = Field(55, ge=1, le=600)
    """Seconds a synchronous call waits for its job before it is answered with 202: less than any proxy on the way."""
    sync_default: bool = False
    """Whether `POST /clone` and `/restore` wait when the call does not say `async`."""
    v1_deprecated: date = date(2026, 12, 1)
    """Since when /api/v1 is deprecated (RFC 9745)."""
    v1_sunset: date | None = None
    """When /api/v1 ends (RFC 8594); not said while it is not decided."""

    @property
    def hosts(self) -> frozenset[str]:
        """`allowed_hosts` as a set, in lower case."""
        return names(self.allowed_hosts)

    @property
    def origins(self) -> frozenset[str]:
        """Origins whose pages may change things, without the one the request came to."""
        listed = [self.edge_url, *self.allowed_origins.split(",")]
        return frozenset(origin.strip().rstrip("/").lower() for origin in listed if origin.strip())
