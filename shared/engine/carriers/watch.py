"""When a call in a carrier has taken too long; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.engine.carriers.errors import CarrierStalled, JobTooLong
from shared.errors import JobError


class Clock:
    """When one call last advanced. Only what can not be repeated for ever counts: a number that is higher than it ever
    was, or something new from the site; not a changed text, and not a cursor."""

    def __init__(self, now: float) -> None:
        self.advanced = now
        self._highest = -1

    def moved(self, now: float, done: int | None, moves: int) -> None:
        """The call says how far it is."""
        if (done is not None and done > self._highest) or moves > 0:
            self.advanced = now
        self._highest = max(self._highest, -1 if done is None else done)


@dataclass(frozen=True)
class Deadlines:
    """How long a call may stand still, and how long a job may take, in seconds."""

    stall: float = 15 * 60.0
    job: float = 24 * 3600.0

    def missed(self, clock: Clock, now: float, began: datetime | None) -> JobError | None:
        """Why the call must be stopped; None while it may go on. `began`: when the job's first attempt did."""
        if now - clock.advanced > self.stall:
            minutes = round(self.stall / 60, 1)
            return CarrierStalled(f"The job has not advanced for {minutes:g} minutes.", minutes=minutes)
        if began is not None and datetime.now(UTC) - began > timedelta(seconds=self.job):
            hours = round(self.job / 3600, 1)
            return JobTooLong(f"The job has taken longer than {hours:g} hours.", hours=hours)
        return None
