"""What the command line reads from the environment beside its options, from variables `SITEFERRY_…`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.web import origin_names


class NatsStore(BaseSettings):
    """What `siteferry up`, compose.yaml and deploy/ give NATS."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore", env_ignore_empty=True)

    nats_store_gb: int = Field(10, ge=1)
    """How large the store of NATS may get, in whole gigabytes; a warning comes at 80 %."""

    @property
    def max_store(self) -> int:
        """The same in bytes."""
        return self.nats_store_gb * 1000**3


class Edge(BaseSettings):
    """What the edge itself must know of what the services are told."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    allowed_origins: str = ""
    """As for the gateway: their pages may read what the edge answers while a service is away."""

    @property
    def origins(self) -> frozenset[str]:
        """`allowed_origins` as a set."""
        return origin_names(self.allowed_origins)


class CommandLine(BaseSettings):
    """What every command may be told in place of options; options win."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore", env_ignore_empty=True)

    state: Path | None = None
    """State directory of `siteferry up`; none: `/var/lib/siteferry` for root, `~/.local/share/siteferry` for others."""
    url: str | None = None
    """Where Siteferry answers; none: the instance of this machine."""
    api_key: str | None = None
    """The API key that is shown there."""
