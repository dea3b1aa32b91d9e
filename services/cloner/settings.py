"""Settings of the cloner, from environment variables `SITEFERRY_…`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from services.cloner.compression import Compress
from shared.engine.carriers.settings import CarrierLimits
from shared.engine.worker import AllParts, Disk, EngineSettings, Limits, Parts
from shared.standing import StandingParts

LEAST_FREE = 64 << 20
"""Bytes on the clones' disk below which nothing is written to the end."""


class ClonerSettings(CarrierLimits):
    """What the cloner needs beyond the bus."""

    clones_dir: Path = Path("clones")
    """Where the clones' files are."""
    mariadb_socket: Path = Path("mariadb.sock")
    """Socket of the clones' MariaDB."""
    mariadb_admin_user: str = "root"
    """Account that makes databases and users."""
    mariadb_admin_password_file: Path = Path("admin-password")
    """File with the password of that account."""
    driver: Literal["host", "kubernetes"] = "host"
    """Where clones live: `host`, on this machine; `kubernetes`, in Pods ([kubernetes.md](../kubernetes.md))."""
    cells_socket: Path = Path("control.sock")
    """Where the launcher of the clones' cells listens; set by `siteferry up`."""
    cloner_slots: int = Field(4, ge=1, le=64)
    """Jobs one cloner works on at the same time."""
    max_jobs: int | None = Field(None, ge=1)
    """Clone jobs at the same time over all cloners; the others wait and say so."""
    max_jobs_per_tenant: int | None = Field(None, ge=1)
    """Clone jobs of one tenant at the same time over all cloners."""
    max_jobs_per_source: int | None = Field(4, ge=1)
    """Jobs that read from one source host at the same time: production sites are not ours to overload."""
    max_clones: int | None = Field(None, ge=1)
    """Clones that exist at the same time; more jobs wait until one ends or is deleted."""
    resets: bool = True
    """Keep what each clone is when it is made, so that it can be reset: as many bytes once more, where the disk can not
    share blocks."""
    image_hours: float = Field(0, ge=0, le=24 * 365)
    """Hours in which further clones of a source begin with what the first one got and fetch only what changed, like 72;
    0: each clone is copied whole, and nothing is kept. Worth it for sources that are far away: a small one nearby is
    copied as fast as it is compared."""
    images_max_bytes: int = Field(50 << 30, ge=0)
    """Bytes of all these images; the least recently used ones go first. None is made where the disk is short."""
    compress: Compress = "auto"
    """Whether a source compresses what it sends: `auto` (unless it is on this machine), `always` (it is reached
    through a tunnel), `never` (its processor is the bottleneck)."""
    id_band: int = Field(1_000_000, ge=0, le=1_000_000_000)
    """How far behind its source's the ids of a clone's new rows begin, so that no number is given twice; 0: not at all.
    Columns whose type has no room for it go on as on the source."""
    connector_hours: int = Field(12, ge=1, le=168)
    """After this the connector on a site refuses to answer and removes itself, whatever became of the job."""
    sweep_minutes: int = Field(60, ge=0)
    """Between two searches for what jobs left behind; 0: only `siteferry sweep`."""
    sweep_grace_minutes: int = Field(30, ge=0)
    """What belongs to a job that had a message so lately is not touched by a sweep."""
    cloner_health_port: int = 0
    """Port of `/livez`, `/readyz` and `/metrics`; 0: none."""

    def engine(self) -> EngineSettings:
        """How the engine runs here."""
        limits = Limits(total=self.max_jobs, per_tenant=self.max_jobs_per_tenant, per_source=self.max_jobs_per_source)
        return EngineSettings(
            ack_wait=self.ack_wait,
            heartbeat=self.ack_wait / 3,
            part_patience=self.part_away_hours * 3600,
            lanes=self.own_lanes,
            limits=limits,
        )

    def parts(self) -> Parts:
        """What of our own a clone needs."""
        kept: list[Parts] = [StandingParts(self.parts_file)] if self.parts_file else []
        return AllParts(*kept, Disk(lambda: shutil.disk_usage(self.clones_dir).free, LEAST_FREE))
