"""Settings of the gateway."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from pydantic import Field, field_validator

from shared.secrets.settings import KeySettings
from shared.web import names


@lru_cache
def schedule(text: str) -> tuple[tuple[date, int], ...]:
    """Since when how many percent, oldest first. Raises ValueError for what is no `DATE:PERCENT,…`, or goes back."""
    steps = []
    for each in filter(None, (part.strip() for part in text.split(","))):
        since, _, percent = each.partition(":")
        if not percent.isdecimal() or int(percent) > 100:
            raise ValueError(f"{each} is not like 2027-01-11:10, a date and 0 to 100 percent")
        steps.append((date.fromisoformat(since), int(percent)))
    if steps != sorted(steps) or [percent for _, percent in steps] != sorted(percent for _, percent in steps):
        raise ValueError("dates and percents must grow from step to step")
    return tuple(steps)


class GatewaySettings(KeySettings):
    """`SITEFERRY_…` variables the gateway reads beside the shared ones."""

    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8081
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
    async_schedule: str = ""
    """While `sync_default` holds: since when how many percent of the keys are answered at once all the same, as
    `DATE:PERCENT`, comma-separated, like `2027-01-11:10,2027-02-01:50,2027-03-01:100`."""
    v1_deprecated: date = date(2026, 12, 1)
    """Since when /api/v1 is deprecated (RFC 9745)."""
    v1_sunset: date | None = None
    """When /api/v1 ends (RFC 8594); not said while it is not decided."""

    @field_validator("async_schedule")
    @classmethod
    def _is_a_schedule(cls, value: str) -> str:
        schedule(value)
        return value

    @property
    def roll_out(self) -> tuple[tuple[date, int], ...]:
        """`async_schedule`, read."""
        return schedule(self.async_schedule)

    @property
    def hosts(self) -> frozenset[str]:
        """`allowed_hosts` as a set, in lower case."""
        return names(self.allowed_hosts)

    @property
    def origins(self) -> frozenset[str]:
        """Origins whose pages may change things, without the one the request came to."""
        listed = [self.edge_url, *self.allowed_origins.split(",")]
        return frozenset(origin.strip().rstrip("/").lower() for origin in listed if origin.strip())
