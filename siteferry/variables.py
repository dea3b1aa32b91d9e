"""What `siteferry up` reads from the environment beside its options, from variables `SITEFERRY_…`."""

from __future__ import annotations

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
