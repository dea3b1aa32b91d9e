"""How a job learns that it must stop, in whatever thread it is."""

from __future__ import annotations

import math
import threading
import time

from shared.errors import Cancelled, JobError, LeaseLost


class Draining(JobError):
    """This worker is shutting down; another one continues the job."""

    code = "draining"


_RANK: dict[type[JobError], int] = {Draining: 1, Cancelled: 2, LeaseLost: 3}


class StopToken:
    """Thread-safe. Blocking code calls `check` between two pieces of work, at least once a second."""

    def __init__(self) -> None:
        self._reason: type[JobError] | None = None
        self._deadline = math.inf
        self._set = threading.Event()

    @property
    def stopped(self) -> bool:
        """Whether `check` would raise."""
        return self.reason is not None

    @property
    def reason(self) -> type[JobError] | None:
        """Why the job must stop; None while it may go on."""
        # Looking at the clock here is what stops a process that slept through its lease (SIGSTOP) at its first step.
        if time.monotonic() >= self._deadline:
            return LeaseLost
        return self._reason

    @property
    def deadline(self) -> float:
        """Until when the lease holds, as of `time.monotonic`."""
        return self._deadline

    def check(self) -> None:
        """Raise Cancelled, LeaseLost or Draining when the job must stop. Cheap: call it often."""
        if self._reason is not None or time.monotonic() >= self._deadline:
            reason = self.reason
            if reason is not None:
                raise reason

    def sleep(self, seconds: float) -> None:
        """Sleep in a worker thread, but raise like `check` as soon as the job must stop."""
        end = time.monotonic() + seconds
        self.check()
        while (left := end - time.monotonic()) > 0:
            # no longer than the lease holds as far as we know now: it may be renewed meanwhile, or not
            self._set.wait(max(0.001, min(left, self._deadline - time.monotonic())))
            self.check()

    def stop(self, reason: type[JobError]) -> None:
        """Ask the job to stop. A graver reason replaces a lighter one."""
        if self._reason is None or _RANK[reason] > _RANK[self._reason]:
            self._reason = reason
        self._set.set()

    def alive_until(self, deadline: float) -> None:
        """The lease holds until this moment of `time.monotonic`."""
        self._deadline = deadline
