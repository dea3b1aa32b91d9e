"""Settings of the gateway."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from pydantic import Field, field_validator

from shared.secrets.settings import KeySettings
from shared.web import names, origin_names


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
    """Address to listen on."""
    gateway_port: int = 8081
    """Port to listen on."""
    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    """Host names, comma-separated, answered where no API key is needed, so that no DNS name a stranger controls
    leads a browser here (DNS rebinding); `*` answers all."""
    allowed_origins: str = ""
    """Origins, comma-separated, beside `SITEFERRY_EDGE_URL` whose pages may call the API and open live connections,
    such as `https://app.example.com`."""
    rate_limit_per_minute: int = Field(600, ge=0)
    """Changes a tenant may make a minute, over all replicas; 0 turns the limit off."""
    rate_limit_burst: int = Field(200, ge=1)
    """Changes a tenant may make at once after a quiet time."""
    webhook_networks: str = ""
    """Networks, comma-separated, beside the public ones that webhooks may be sent to, such as `127.0.0.0/8`."""
    store_timeout: float = Field(2.0, gt=0)
    """Seconds a call waits for NATS before it is answered with 503."""

    schedules_most: int = Field(100, ge=0, le=10_000)
    """Schedules a tenant may have; 0: none."""
    schedule_least_seconds: int = Field(900, ge=1)
    """Seconds that must lie between two times a schedule is due."""

    sync_seconds: int = Field(55, ge=1, le=600)
    """Seconds a call waits for its job at most before it is answered with 202; keep it below the time-out of every
    proxy on the way."""
    sync_default: bool = False
    """Whether `POST /clone` and `/restore` wait when a call does not say `async`."""
    async_schedule: str = ""
    """While `SITEFERRY_SYNC_DEFAULT` holds: since when how many percent of the keys are answered at once all the
    same, as `DATE:PERCENT`, comma-separated, like `2027-01-11:10,2027-02-01:50`
    ([moving](../migrating.md#moving-clients-of-post-clone-step-by-step))."""
    v1_deprecated: date = date(2026, 12, 1)
    """Since when answers of `/api/v1` say that it is deprecated (RFC 9745)."""
    v1_sunset: date | None = None
    """When `/api/v1` ends (RFC 8594); once set, its answers say so."""

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
        return origin_names(self.edge_url) | origin_names(self.allowed_origins)
