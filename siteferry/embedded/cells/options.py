"""What an operator may say about cells, from environment variables `SITEFERRY_…`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class CellOptions(BaseSettings):
    """Settings of the launcher of the clones' cells."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    isolation: Literal["required", "best"] | None = None
    """`required`: refuse to run clones without full isolation; `best`: as well as the machine can. Unless said:
    `best` on loopback, `required` when others can reach the origin."""
    clone_max_bytes: int = Field(20 << 30, ge=1 << 20)
    """Bytes of one clone's files and database; with more its files become read-only, and a database that is larger by
    itself is out of the clone's reach."""
    cell_idle_seconds: float = Field(120.0, ge=1)
    """Without a visitor for so long, a clone's processes end; the next visitor starts them."""
    cell_children: int = Field(6, ge=1, le=100)
    """Requests PHP works on at the same time, for each clone."""
    cell_memory_bytes: int = Field(1 << 30, ge=128 << 20)
    """Memory of one clone's processes, where control groups can be used (as root)."""
    cells_awake: int = Field(40, ge=1)
    """Clones with processes at the same time; the one unused for longest makes room."""

    def required(self, *, loopback: bool) -> bool:
        """Whether to refuse without full isolation."""
        return self.isolation == "required" or (self.isolation is None and not loopback)

    def values(self) -> dict[str, Any]:
        """Fields of CellSettings."""
        return {
            "max_bytes": self.clone_max_bytes,
            "idle_seconds": self.cell_idle_seconds,
            "children": self.cell_children,
            "memory": self.cell_memory_bytes,
            "awake": self.cells_awake,
        }
