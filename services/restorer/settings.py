"""Settings of the restorer, from environment variables `SITEFERRY_…`."""

from __future__ import annotations

from pydantic import Field

from shared.engine.carriers.settings import CarrierLimits
from shared.engine.worker import EngineSettings, Limits, NoParts, Parts
from shared.standing import StandingParts


class RestorerSettings(CarrierLimits):
    """What the restorer needs beyond the bus."""

    restorer_slots: int = Field(4, ge=1, le=64)
    """Jobs one restorer works on at the same time; one at a time for each target."""
    max_restores: int | None = Field(None, ge=1)
    """Restore jobs at the same time over all restorers."""
    max_restores_per_tenant: int | None = Field(None, ge=1)
    """Restore jobs of one tenant at the same time over all restorers."""
    connector_hours: int = Field(12, ge=1, le=168)
    """After this the connector on a site refuses to answer and removes itself, whatever became of the job."""
    watch_seconds: float = Field(10.0, ge=0)
    """How long a site that looks worse after a restore may need to recover before it is rolled back."""
    restore_preserve_tables: str = ""
    """Names of tables that are production's in every restore, comma-separated, with `*` for any letters and with or
    without prefix, such as `acme_scans,*_visits`: of plugins whose tables change by themselves. A restore that names
    one in `options.include_tables` takes it all the same."""
    restorer_health_port: int = 0
    """Port of `/livez`, `/readyz` and `/metrics`; 0: none."""

    @property
    def preserved_tables(self) -> tuple[str, ...]:
        """Patterns of `restore_preserve_tables`."""
        return tuple(filter(None, map(str.strip, self.restore_preserve_tables.split(","))))

    def engine(self) -> EngineSettings:
        """How the engine runs here. One restore per target at a time: two would exchange each other's tables."""
        limits = Limits(total=self.max_restores, per_tenant=self.max_restores_per_tenant, per_source=1)
        return EngineSettings(
            ack_wait=self.ack_wait,
            heartbeat=self.ack_wait / 3,
            part_patience=self.part_away_hours * 3600,
            lanes=self.own_lanes,
            limits=limits,
        )

    def parts(self) -> Parts:
        """What of our own a restore needs: the clone it comes from is served by it."""
        return StandingParts(self.parts_file) if self.parts_file else NoParts()
