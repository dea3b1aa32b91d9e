"""Settings of every service that has carriers."""

from __future__ import annotations

from pydantic import Field, field_validator

from shared.contract.subjects import LANES, Lane
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

    health_host: str = "127.0.0.1"
    """Address of the worker's health port; whoever reaches it may read there."""
    lanes: str = "high,normal,low"
    """Comma-separated lanes this worker takes jobs from, such as `low` for one that tries a new version."""

    @field_validator("lanes")
    @classmethod
    def _are_lanes(cls, text: str) -> str:
        if not _lanes(text):
            raise ValueError("no lane is named: high, normal, low")
        return text

    @property
    def own_lanes(self) -> tuple[Lane, ...]:
        """`lanes`, most urgent first."""
        return _lanes(self.lanes)

    def carriers(self) -> CarrierSettings:
        """Limits of the processes that read what a site sent."""
        deadlines = Deadlines(stall=self.stall_minutes * 60, job=self.job_hours * 3600)
        return CarrierSettings(memory=self.carrier_memory_mb << 20, deadlines=deadlines)


def _lanes(text: str) -> tuple[Lane, ...]:
    named = {Lane(name.strip()) for name in text.split(",") if name.strip()}
    return tuple(lane for lane in LANES if lane in named)
