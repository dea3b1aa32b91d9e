"""The newest jobs and every living clone, kept in memory while somebody looks at a list.

Older jobs come from the REST API.
"""

from __future__ import annotations

import asyncio
import json
from typing import Literal

from nats.js.errors import NoKeysError
from pydantic import ValidationError

from services.status.live import shape
from services.status.live.channel import Viewer
from services.status.projection import Projection, State
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.jobs import Clone, CloneState
from shared.contract.reading import understood
from shared.log import get

log = get(__name__)

Topic = Literal["jobs", "clones"]
TOPICS: tuple[Topic, ...] = ("jobs", "clones")
NEWEST = 200
"""Jobs a list begins with."""
MOST = 400
"""Jobs kept as new ones come."""
READ_WITHIN = 5.0
"""Seconds the server may take for the next of the clones."""


class Lists:
    """States by id, and who looks at which list."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._projection = Projection(bus)
        self._states: dict[str, State] = {}
        self._clones: dict[str, Clone] = {}
        """Clones that are not deleted; none is ever left out, however old."""
        self.viewers: dict[Topic, set[Viewer]] = {topic: set() for topic in TOPICS}
        self.watched = False
        """Whether changes of jobs that nobody watches by themselves matter."""
        self._idle_since: float | None = None

    def put(self, state: State) -> None:
        """Take a newer state in. Ids sort by time: the oldest job leaves when it is full."""
        if state.job is None:
            return
        if state.clone is not None:
            self._put_clone(state.clone)
        known = self._states.get(state.job.job_id)
        if known is None or known.seq <= state.seq:
            self._states[state.job.job_id] = state
        if len(self._states) > MOST:
            del self._states[min(self._states, key=age_order)]

    def _put_clone(self, clone: Clone) -> None:
        known = self._clones.get(clone.clone_id)
        if known is not None and known.seq > clone.seq:
            return
        if clone.state is CloneState.DELETED:
            self._clones.pop(clone.clone_id, None)
        else:
            self._clones[clone.clone_id] = clone

    def seq(self, job_id: str) -> int:
        """Up to which sequence a job is known here; 0 when it is not."""
        state = self._states.get(job_id)
        return 0 if state is None else state.seq

    def snapshot(self, topic: Topic, tenant: str | None) -> str:
        """The list as JSON, newest first; None: of all tenants."""
        records = self._jobs(tenant) if topic == "jobs" else self._living(tenant)
        return json.dumps(records, separators=(",", ":"), ensure_ascii=False)

    def _jobs(self, tenant: str | None) -> list[shape.Json]:
        newest = (self._states[key] for key in sorted(self._states, key=age_order, reverse=True))
        return [shape.listed_job(state) for state in newest if state.job and tenant in (None, state.job.tenant)]

    def _living(self, tenant: str | None) -> list[shape.Json]:
        newest = (self._clones[key] for key in sorted(self._clones, key=age_order, reverse=True))
        return [shape.clone_summary(clone) for clone in newest if tenant in (None, clone.tenant)]

    async def read(self) -> None:
        """Read the newest jobs and all clones. Raises nats errors."""
        self.watched = True  # before the first read, so that nothing falls between it and the tail
        self._idle_since = None
        try:
            ids = sorted(await (await self._bus.bucket(streams.JOBS)).keys(), key=age_order)[-NEWEST:]
        except NoKeysError:
            ids = []
        await self._read_clones()
        for state in await asyncio.gather(*(self._projection.load(job_id) for job_id in ids)):
            self.put(state)

    async def _read_clones(self) -> None:
        watcher = await (await self._bus.bucket(streams.CLONES)).watchall(ignore_deletes=True)
        try:
            while (entry := await watcher.updates(READ_WITHIN)) is not None:  # type: ignore[no-untyped-call]
                try:
                    self._put_clone(understood(Clone, entry.value or b""))
                except ValidationError:
                    log.warning("skipped a clone that can not be read", clone=entry.key)
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]

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
        self._clones.clear()


def age_order(job_id: str) -> str:
    """The part of an id that sorts by time."""
    return job_id.partition("-")[2]
