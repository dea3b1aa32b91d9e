"""The newest jobs and clones, kept in memory while somebody looks at a list. Older pages come from the REST API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Literal

from nats.js.errors import NoKeysError

from services.status.live import shape
from services.status.live.channel import Viewer
from services.status.projection import Projection, State
from shared.bus.connection import Bus
from shared.contract import streams

Topic = Literal["jobs", "clones"]
TOPICS: tuple[Topic, ...] = ("jobs", "clones")
NEWEST = 200
"""Jobs a list begins with."""
MOST = 400
"""Jobs kept as new ones come."""


class Lists:
    """States by id, and who looks at which list."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._projection = Projection(bus)
        self._states: dict[str, State] = {}
        self.viewers: dict[Topic, set[Viewer]] = {topic: set() for topic in TOPICS}
        self.watched = False
        """Whether changes of jobs that nobody watches by themselves matter."""
        self._idle_since: float | None = None

    def put(self, state: State) -> None:
        """Take a newer state in. Ids sort by time: the oldest leaves when it is full."""
        if state.job is None:
            return
        known = self._states.get(state.job.job_id)
        if known is None or known.seq <= state.seq:
            self._states[state.job.job_id] = state
        if len(self._states) > MOST:
            del self._states[min(self._states, key=age_order)]

    def seq(self, job_id: str) -> int:
        """Up to which sequence a job is known here; 0 when it is not."""
        state = self._states.get(job_id)
        return 0 if state is None else state.seq

    def snapshot(self, topic: Topic, tenant: str | None) -> str:
        """The list as JSON, newest first; None: of all tenants."""
        states = [self._states[key] for key in sorted(self._states, key=age_order, reverse=True)]
        if tenant is not None:
            states = [state for state in states if state.job is not None and state.job.tenant == tenant]
        return json.dumps(list(_records(topic, states)), separators=(",", ":"), ensure_ascii=False)

    async def read(self) -> None:
        """Read the newest jobs and clones. Raises nats errors."""
        self.watched = True  # before the first read, so that nothing falls between it and the tail
        self._idle_since = None
        ids: set[str] = set()
        for name in (streams.JOBS, streams.CLONES):
            try:
                ids.update(sorted(await (await self._bus.bucket(name)).keys(), key=age_order)[-NEWEST:])
            except NoKeysError:
                continue
        for state in await asyncio.gather(*(self._projection.load(job_id) for job_id in ids)):
            self.put(state)

    def rest(self, now: float, linger: float) -> bool:
        """Forget everything once nobody has looked for a while. True when it was just forgotten."""
        if not self.watched or any(self.viewers.values()):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > linger:
            self.forget()
            return True
        return False

    def forget(self) -> None:
        """Nothing known here holds any more."""
        self.watched = False
        self._states.clear()


def age_order(job_id: str) -> str:
    """The part of an id that sorts by time."""
    return job_id.partition("-")[2]


def _records(topic: Topic, states: Iterable[State]) -> Iterable[shape.Json]:
    for state in states:
        if topic == "jobs" and state.job is not None:
            yield shape.job_summary(state.job)
        elif topic == "clones" and state.clone is not None:
            yield shape.clone_summary(state.clone)
