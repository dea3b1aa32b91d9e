"""Settings of every service that has carriers."""

from __future__ import annotations

from pydantic import Field

from shared.engine.carriers.pool import CarrierSettings
from shared.engine.carriers.watch import Deadlines
from shared.settings import Settings


class CarrierLimits(Settings):
    """Limits of the processes that read what a site sent."""

    carrier_memory_mb: int = Field(1024, ge=256)
    """Memory of one process that reads what a site sent; a site that needs more fails with
    `carrier_out_of_memory`."""
    stall_minutes: float = Field(15, gt=0)
    """A job that has not advanced for so long is stopped and tried again; only what is new counts, not an answer
    without anything in it."""
    job_hours: float = Field(24, gt=0)
    """A job that takes longer, all attempts together, fails."""

    def carriers(self) -> CarrierSettings:
        """Limits of the processes that read what a site sent."""
        deadlines = Deadlines(stall=self.stall_minutes * 60, job=self.job_hours * 3600)
        return CarrierSettings(memory=self.carrier_memory_mb << 20, deadlines=deadlines)
