"""Every job somebody watches, followed once per process however many watch.

Snapshot then changes without a gap: a channel collects what the tail brings from the moment it exists, then reads the
projection and the story behind it, then applies what was collected; what is in both is applied once, by sequence.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from nats.errors import Error as NatsError

from services.status import metrics
from services.status.live.channel import Channel, Viewer, change_of, clone_change, clone_face, listed_change, outlasted
from services.status.live.lists import Lists, Topic
from services.status.live.tail import Tail
from services.status.projection import Projection, State
from services.status.story import Entry
from shared.bus.connection import Bus
from shared.contract.subjects import KINDS, Kind, kind_of
from shared.log import get

log = get(__name__)

LINGER = 60.0
"""Seconds a channel nobody watches is kept for those who come back."""
REMEMBERED = 4096
"""Jobs whose last sequence we remember."""


class NotFound(LookupError):
    """There is no such job."""


class Unavailable(Exception):
    """The job can not be read now."""


class Hub:
    """Fan-out of one process."""

    def __init__(self, bus: Bus) -> None:
        self._projection = Projection(bus)
        self._channels: dict[str, Channel] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._listing: asyncio.Task[None] | None = None
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._lists = Lists(bus)
        self.tails: dict[Kind, Tail] = {kind: Tail(bus, kind, self._on_entries, self._on_epoch) for kind in KINDS}

    def started(self) -> bool:
        """Whether every stream has been found."""
        return all(tail.epoch for tail in self.tails.values())

    def current(self) -> bool:
        """Whether everything shown is up to date, as far as can be known."""
        return all(tail.alive() for tail in self.tails.values())

    def epoch(self, job_id: str) -> str:
        """Identity of the stream the job is in."""
        return self.tails[kind_of(job_id)].epoch

    async def run(self) -> None:
        """Follow the streams for ever."""
        async with asyncio.TaskGroup() as group:
            for tail in self.tails.values():
                group.create_task(tail.run(), name=f"tail {tail.kind}")
            group.create_task(self._sweep(), name="sweep")

    async def watch(self, job_id: str, viewer: Viewer) -> Channel:
        """Watch a job from its current state on; no await lies between that state and the first change.

        Raises NotFound, Unavailable.
        """
        channel = self._channels.get(job_id) or self._follow(job_id)
        reading = self._reading.get(job_id)
        if reading is not None:
            await asyncio.shield(reading)
        if channel.state is None or channel.state.job is None:
            raise NotFound(job_id)
        channel.viewers.add(viewer)
        return channel

    def ended(self, job_id: str) -> bool:
        """Whether a job that is watched has reached its end."""
        channel = self._channels.get(job_id)
        job = None if channel is None or channel.state is None else channel.state.job
        return job is not None and job.status.terminal

    def unwatch(self, job_id: str, viewer: Viewer) -> None:
        """Stop watching."""
        channel = self._channels.get(job_id)
        if channel is not None:
            channel.viewers.discard(viewer)

    async def watch_list(self, topic: Topic, viewer: Viewer, tenant: str | None) -> str:
        """Watch a list; returns one tenant's part of it (None: all) as JSON as it is now. Raises Unavailable.

        The viewer is told of every tenant's changes and leaves out what is not for him.
        """
        if self._listing is None:
            self._listing = asyncio.create_task(self._read_lists(), name="read lists")
            self._listing.add_done_callback(retrieve)
        try:
            await asyncio.shield(self._listing)
        except (NatsError, TimeoutError, Unavailable) as error:
            self._listing = None
            raise Unavailable(topic) from error
        self._lists.viewers[topic].add(viewer)
        return self._lists.snapshot(topic, tenant)

    def unwatch_list(self, topic: Topic, viewer: Viewer) -> None:
        """Stop watching a list."""
        self._lists.viewers[topic].discard(viewer)

    async def _read_lists(self) -> None:
        await self._lists.read()
        for job_id, seq in list(self._seen.items()):
            if self._lists.seq(job_id) < seq:  # the projector is behind what the tail has shown
                self._lists.put(await self._fetch(job_id))

    def _follow(self, job_id: str) -> Channel:
        channel = self._channels[job_id] = Channel(job_id)
        task = self._reading[job_id] = asyncio.create_task(self._read(channel), name=f"read {job_id}")
        task.add_done_callback(retrieve)
        return channel

    async def _read(self, channel: Channel) -> None:
        job_id = channel.job_id
        try:
            state = await self._fetch(job_id)
        except (NatsError, TimeoutError) as error:
            self._channels.pop(job_id, None)
            raise Unavailable(job_id) from error
        finally:
            self._reading.pop(job_id, None)
        if state.job is None and not channel.early:
            self._channels.pop(job_id, None)  # strangers' ids shall not fill our memory
        if self._lists.watched:
            self._lists.put(state)
            self._tell_lists(channel.early[0] if channel.early else None, State(), state)
        for entry in channel.begin(state):
            self._apply(channel, entry, 0.0)

    async def _fetch(self, job_id: str) -> State:
        """The state up to at least what the tail has shown us of this job."""
        for attempt in range(10):
            stored = await self._projection.load(job_id)
            state = stored.after(await self._projection.behind(job_id, stored.seq))
            if state.seq >= self._seen.get(job_id, 0):
                break
            await asyncio.sleep(0.02 * attempt)  # a follower that is behind
        return state

    def _on_entries(self, arrived: list[tuple[Entry, float]]) -> None:
        """What came together, with its age. When we are late, a step's progress is shown once for all of it."""
        told = [(entry, age) for entry, age in arrived if entry.message is not None]
        later = outlasted([entry for entry, _ in told])
        for (entry, age), outlived in zip(told, later, strict=True):
            self._on_entry(entry, age, show=not outlived)

    def _on_entry(self, entry: Entry, age: float, *, show: bool) -> None:
        self._seen[entry.job_id] = entry.seq
        self._seen.move_to_end(entry.job_id)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        channel = self._channels.get(entry.job_id)
        if channel is None and self._lists.watched:
            channel = self._follow(entry.job_id)
        if channel is None:
            return
        if channel.state is None:
            channel.early.append(entry)
        else:
            self._apply(channel, entry, age, show=show)

    def _apply(self, channel: Channel, entry: Entry, age: float, *, show: bool = True) -> None:
        states = channel.apply(entry, show=show)
        if states is None:
            return
        before, after = states
        change = change_of(entry, before, after)
        channel.record(change)
        metrics.EVENT_AGE.observe(age)
        for viewer in list(channel.viewers):
            viewer.changed(change)
        if self._lists.watched:
            self._tell_lists(entry, before, after)

    def _tell_lists(self, entry: Entry | None, before: State, after: State) -> None:
        self._lists.put(after)
        if entry is None or after.job is None:
            return
        viewers = self._lists.viewers
        other_clone = after.clone is not None and clone_face(before) != clone_face(after)
        if viewers["jobs"] and (before.job is None or before.job.n != after.job.n or other_clone):
            change = listed_change(entry, after)
            for viewer in list(viewers["jobs"]):
                viewer.changed(change)
        if viewers["clones"] and other_clone:
            change = clone_change(entry, after)
            for viewer in list(viewers["clones"]):
                viewer.changed(change)

    def _on_epoch(self) -> None:
        """A stream was made anew: nothing we know holds any more."""
        channels, self._channels = self._channels, {}
        viewers = {viewer for channel in channels.values() for viewer in channel.viewers}
        viewers.update(*self._lists.viewers.values())
        self._seen.clear()
        self._forget_lists()
        for viewer in viewers:
            viewer.outdated()

    def _forget_lists(self) -> None:
        self._lists.forget()
        self._listing = None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(LINGER / 6)
            now = time.monotonic()
            if self._lists.rest(now, LINGER):
                self._forget_lists()
            for job_id, channel in list(self._channels.items()):
                if channel.viewers or channel.state is None:
                    channel.idle_since = None
                elif channel.idle_since is None:
                    channel.idle_since = now
                elif now - channel.idle_since > LINGER:
                    del self._channels[job_id]


def retrieve(task: asyncio.Task[None]) -> None:
    """Whoever waits for the task gets its error; nobody has to."""
    if not task.cancelled():
        task.exception()
