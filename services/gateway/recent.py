"""Jobs that figures are counted from: those that have not ended, and those that ended within the longest window.

Kept beside the list of jobs and told of each change, so that counting does not go through what ended long ago.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from shared.contract.jobs import Job


class Recent:
    """By tenant. `clock` tells the time that windows end at."""

    def __init__(self, span: timedelta, clock: Callable[[], datetime]) -> None:
        self._span = span
        self._clock = clock
        self._jobs: defaultdict[str, dict[str, Job]] = defaultdict(dict)
        self._ends: list[tuple[datetime, str, str]] = []
        """When jobs ended, earliest first; those that have run again since are among them."""

    def put(self, key: str, job: Job) -> None:
        """A job is new, or has changed."""
        if job.finished_at is None:
            self._jobs[job.tenant][key] = job
        elif job.finished_at > self._clock() - self._span:
            self._jobs[job.tenant][key] = job
            heapq.heappush(self._ends, (job.finished_at, job.tenant, key))
        else:
            self._jobs[job.tenant].pop(key, None)

    def drop(self, key: str, job: Job) -> None:
        """A job is not in the list any more."""
        self._jobs[job.tenant].pop(key, None)

    def clear(self) -> None:
        """The list is read again from its beginning."""
        self._jobs.clear()
        self._ends.clear()

    def of(self, tenant: str) -> Iterable[Job]:
        """A tenant's jobs that may count."""
        self._forget()
        return self._jobs[tenant].values() if tenant in self._jobs else ()

    def _forget(self) -> None:
        oldest = self._clock() - self._span
        while self._ends and self._ends[0][0] <= oldest:
            ended, tenant, key = heapq.heappop(self._ends)
            known = self._jobs[tenant].get(key)
            if known is not None and known.finished_at == ended:
                del self._jobs[tenant][key]
