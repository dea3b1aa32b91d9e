"""What the gateway knows of jobs and clones: the projection, and where that is behind, the stream itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from services.gateway import reader
from services.gateway.behind import Behind
from services.gateway.lenient import read_as
from services.gateway.reader import Stored
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import (
    CloneRequested,
    Command,
    Message,
    RestoreRequested,
    Retry,
    changed,
    decode,
    fold,
    fold_clone,
    fold_snapshot,
)
from shared.contract.jobs import Clone, Job, Snapshot
from shared.contract.subjects import kind_of, parse, story
from shared.log import get

log = get(__name__)

REMEMBERED = 10_000
TOGETHER = 48
"""Jobs asked about in one request; each has at most as many subjects as there are kinds of messages."""


class Store:
    """Reads through to the projection buckets.

    Reads its own writes: an answer is never older than what this gateway has published about the job, and a job that
    no projector has seen yet is folded from its messages.
    """

    def __init__(self, bus: Bus, behind: Behind, *, timeout: float) -> None:
        self._bus = bus
        self._behind = behind
        self._timeout = timeout
        self._written: OrderedDict[str, int] = OrderedDict()

    def wrote(self, job_id: str, seq: int) -> None:
        """Remember that this gateway published about a job, so that answers are at least as new."""
        self._written[job_id] = max(seq, self._written.get(job_id, 0))
        self._written.move_to_end(job_id)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def written(self, job_id: str) -> int:
        """The sequence an answer about a job must at least have seen."""
        return self._written.get(job_id, 0)

    def _is_current(self, job_id: str, seq: int) -> bool:
        return seq >= self.written(job_id) and kind_of(job_id) not in self._behind.floors

    async def job(self, job_id: str) -> Job | None:
        """The job, or None when nothing was ever published about it."""
        entry = await self._value(streams.JOBS, job_id)
        job = read_as(Job, entry.data) if entry else None
        if job is not None and self._is_current(job_id, job.seq):
            return job
        if job is None:
            return await self._unprojected(job_id)
        for seq, message in await self._messages(job_id, start=job.seq + 1):
            job = fold(job, message, seq)
        return job

    async def _unprojected(self, job_id: str) -> Job | None:
        """A job no projector has seen: mostly accepted a moment ago, so its newest message is its first."""
        stream = streams.STREAMS[kind_of(job_id)]
        newest = await reader.newest(self._bus.nc, stream, story(job_id), timeout=self._timeout)
        if newest is None:  # in a cluster any replica answers, also one that is behind: only the leader can say no
            newest = await reader.newest_at_leader(self._bus.js, stream, story(job_id))
        if newest is None:
            return None
        message = decoded(newest)
        if isinstance(message, CloneRequested | RestoreRequested):
            return fold(None, message, newest.seq)
        job = None
        for seq, message in await self._messages(job_id, start=1):
            job = fold(job, message, seq)
        return job

    async def jobs(self, known: Mapping[str, Job | None]) -> dict[str, Job]:
        """Many jobs at once, in the order given: what is known of each, with the newest of every kind of message
        about it folded in. Those nothing was ever published about are left out."""
        found = {job_id: job for job_id, job in known.items() if job is not None}
        job_ids = list(known)
        for start in range(0, len(job_ids), TOGETHER):
            for stored in await self._newest_of(job_ids[start : start + TOGETHER]):
                message = decoded(stored)
                if message is not None and (job := fold(found.get(message.job_id), message, stored.seq)) is not None:
                    found[message.job_id] = job
        return {job_id: found[job_id] for job_id in known if job_id in found}

    async def _newest_of(self, job_ids: Sequence[str]) -> list[Stored]:
        stream = streams.STREAMS[kind_of(job_ids[0])]
        patterns = [story(job_id) for job_id in job_ids]
        return await reader.newest_of(self._bus.nc, stream, patterns, timeout=self._timeout)

    async def clone(self, clone_id: str) -> Clone | None:
        """The clone a job made, or None when it has not made one."""
        entry = await self._value(streams.CLONES, clone_id)
        clone = read_as(Clone, entry.data) if entry else None
        if clone is not None and self._is_current(clone_id, clone.seq):
            return clone
        for seq, message in await self._messages(clone_id, start=clone.seq + 1 if clone else 1):
            clone = fold_clone(clone, message, seq)
        return clone

    async def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """The way back a restore made, or None when it has not made one."""
        entry = await self._value(streams.SNAPSHOTS, snapshot_id)
        snapshot = read_as(Snapshot, entry.data) if entry else None
        if snapshot is not None and self._is_current(snapshot_id, snapshot.seq):
            return snapshot
        for seq, message in await self._messages(snapshot_id, start=snapshot.seq + 1 if snapshot else 1):
            snapshot = fold_snapshot(snapshot, message, seq)
        return snapshot

    async def story(self, job_id: str) -> list[Stored]:
        """Every message about a job, oldest first."""
        return await reader.read_all(self._bus.nc, streams.STREAMS[kind_of(job_id)], story(job_id))

    async def command(self, job_id: str) -> Command | None:
        """What was asked for, as it was changed since; None once the log has forgotten it."""
        command: Command | None = None
        for _, message in await self._messages(job_id, start=1):
            if isinstance(message, CloneRequested | RestoreRequested):
                command = command or message
            elif isinstance(message, Retry) and command is not None:
                command = changed(command, message.changes)
        return command

    async def _messages(self, job_id: str, *, start: int) -> list[tuple[int, Message]]:
        stream = streams.STREAMS[kind_of(job_id)]
        stored = await reader.read_all(self._bus.nc, stream, story(job_id), start=start)
        return [(item.seq, message) for item in stored if (message := decoded(item)) is not None]

    async def _value(self, bucket: str, key: str) -> Stored | None:
        entry = await reader.last_value(self._bus.nc, f"KV_{bucket}", f"$KV.{bucket}.{key}", timeout=self._timeout)
        return None if entry is None or "KV-Operation" in entry.headers else entry


def decoded(stored: Stored) -> Message | None:
    """What a message says; None, and a line in the log, when it can not be read."""
    try:
        return decode(parse(stored.subject)[1], stored.data)
    except (ValueError, ValidationError) as error:
        log.warning("skipped a message that can not be read", seq=stored.seq, error=type(error).__name__)
        return None
