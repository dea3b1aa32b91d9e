"""Where things are in a clone's Pod. The driver says which clone it is, and mounts what is named here."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.cells import pod_layout
from shared.ids import is_job_id


class Place(BaseSettings):
    """One clone's Pod, from its environment."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    clone_id: str
    pod_ip: str
    """Address of the Pod: everything listens there, and nowhere else."""

    buffer_pool: str = "64M"
    """Memory for the clone's tables."""

    @property
    def bracketed(self) -> str:
        """The address as it stands before a port."""
        return f"[{self.pod_ip}]" if ":" in self.pod_ip else self.pod_ip

    @property
    def clone(self) -> Path:
        """The clone's directory. Raises ValueError for what is no clone id."""
        if not is_job_id(self.clone_id):
            raise ValueError(f"not a clone id: {self.clone_id}")
        return pod_layout.CLONES / self.clone_id


def secret(name: str) -> str:
    """One of the Pod's secrets; only the containers that need it have it mounted."""
    return (pod_layout.SECRETS / name).read_text().strip()
