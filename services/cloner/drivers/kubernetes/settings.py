"""Settings of the driver `kubernetes`, from environment variables `SITEFERRY_…`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class KubernetesSettings(BaseSettings):
    """Where clones live in a cluster, and what each of them gets."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    kubeconfig: Path | None = None
    """How the cluster is reached; none: as the Pod the cloner runs in."""
    kubernetes_strict_tls: bool = True
    """Off for clusters whose certificates Python 3.13 refuses, for they have no key identifiers."""
    clones_namespace: str = "siteferry-clones"
    """Namespace of the clones, and of nothing else."""
    clone_address: str = "http://{clone}.localhost:8080"
    """Address of a clone; `{clone}` stands for its id."""
    pod_key_file: Path = Path("pod.key")
    """32 bytes or more, the same for all cloners: secrets of every Pod are derived from it."""
    pod_image: str = "siteferry-cells:latest"
    """Image of the web part and the agent: the cloner's own."""
    pod_database_image: str = "siteferry-mariadb:latest"
    """Image of the database."""
    pod_dialect_file: Path = Path("/opt/siteferry/dialect.json")
    """What that database knows; in the images."""
    pod_ready_seconds: float = Field(180, ge=5)
    """Within which a Pod must work, images included."""
    pod_memory_mb: int = Field(1024, ge=256)
    """Memory of the web part at most."""
    pod_database_memory_mb: int = Field(512, ge=256)
    """Memory of the database at most."""
    pod_storage_gb: int = Field(20, ge=1)
    """Room for one clone's files, and as much for its database."""
    pod_storage_class: str = ""
    """Storage class of a volume of its own for each clone; empty: the node's disk, which is lost with the node."""
    pod_days: int = Field(90, ge=1)
    """After this the cluster itself ends a Pod, whatever became of us."""
    pod_priority_class: str = ""
    """Priority class of clones."""
    pod_route: Literal["ingress", "gateway", "none"] = "ingress"
    """What leads an address to its Pod: an Ingress, an HTTPRoute (`gateway`), or nothing of ours."""
    pod_ingress_class: str = ""
    """Ingress class; empty: the cluster's own choice."""
    pod_gateway: str = ""
    """`namespace/name` of the Gateway that HTTPRoutes hang on."""

    @field_validator("clone_address")
    @classmethod
    def _names_the_clone(cls, address: str) -> str:
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or "{clone}" not in parts.netloc:
            raise ValueError(
                "it must be an address with {clone} in its host name, as https://{clone}.clones.example.org"
            )
        return address.rstrip("/")
