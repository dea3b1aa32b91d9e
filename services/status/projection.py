"""The projection: what the streams say about every job, clone and snapshot, in a bucket each.

A state is always the fold of the whole story up to its sequence, never of the messages one replica happened to get.
So replicas may overlap, die and be given messages twice or out of order: the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import BaseModel, ValidationError

from services.status import story
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import fold, fold_clone, fold_snapshot
from shared.contract.jobs import Clone, Job, Snapshot
from shared.contract.reading import understood
from shared.contract.subjects import kind_of

Model = TypeVar("Model", Job, Clone, Snapshot)


class Conflict(Exception):
    """Somebody else wrote this job meanwhile; read it again."""


@dataclass(slots=True)
class State:
    """One job and what it made as stored, with the revisions a compare-and-set needs."""

    job: Job | None = None
    clone: Clone | None = None
    job_revision: int = 0
    clone_revision: int = 0
    snapshot: Snapshot | None = None
    snapshot_revision: int = 0

    @property
    def seq(self) -> int:
        """Everything up to this sequence is in the state."""
        return 0 if self.job is None else self.job.seq

    def after(self, entries: Iterable[story.Entry]) -> State:
        """The state after more of the story. The caller vouches that no message lies between."""
        job, clone, snapshot = self.job, self.clone, self.snapshot
        for entry in entries:
            if entry.message is not None:
                job = fold(job, entry.message, entry.seq)
                clone = fold_clone(clone, entry.message, entry.seq)
                snapshot = fold_snapshot(snapshot, entry.message, entry.seq)
        return State(
            job, clone, self.job_revision, self.clone_revision, snapshot, self.snapshot_revision
        )  # not replace(): this is done for every event

    def blank(self) -> State:
        """Nothing told yet, to be stored in place of this one."""
        return State(
            job_revision=self.job_revision,
            clone_revision=self.clone_revision,
            snapshot_revision=self.snapshot_revision,
        )

    def records(self) -> tuple[Job | None, Clone | None, Snapshot | None]:
        """What is stored, without revisions."""
        return self.job, self.clone, self.snapshot


class Projection:
    """Reads and writes the buckets `jobs`, `clones` and `snapshots`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def load(self, job_id: str) -> State:
        """What is stored now."""
        job, revision = await _get(await self._bus.bucket(streams.JOBS), job_id, Job)
        state = State(job, job_revision=revision)
        if kind_of(job_id) == "clone":
            clones = await self._bus.bucket(streams.CLONES)
            state.clone, state.clone_revision = await _get(clones, job_id, Clone)
        else:
            snapshots = await self._bus.bucket(streams.SNAPSHOTS)
            state.snapshot, state.snapshot_revision = await _get(snapshots, job_id, Snapshot)
        return state

    async def save(self, old: State, new: State) -> State:
        """Store what changed. Raises Conflict when the stored state is no longer `old`.

        What was made goes first: after a kill between the two writes, folding again from the older job changes it no
        more.
        """
        if new.clone is not None and (new.clone is not old.clone or new.clone_revision == 0):
            bucket = await self._bus.bucket(streams.CLONES)
            new.clone_revision = await _put(bucket, new.clone.clone_id, new.clone, new.clone_revision)
        if new.snapshot is not None and (new.snapshot is not old.snapshot or new.snapshot_revision == 0):
            bucket = await self._bus.bucket(streams.SNAPSHOTS)
            key = new.snapshot.snapshot_id
            new.snapshot_revision = await _put(bucket, key, new.snapshot, new.snapshot_revision)
        if new.job is not None and (new.job is not old.job or new.job_revision == 0):
            bucket = await self._bus.bucket(streams.JOBS)
            new.job_revision = await _put(bucket, new.job.job_id, new.job, new.job_revision)
        return new

    async def refresh(self, job_id: str) -> State:
        """Fold what the stream holds behind the stored state and store it. Raises Conflict, nats errors."""
        old = await self.load(job_id)
        return await self.save(old, old.after(await self.behind(job_id, old.seq)))

    async def behind(self, job_id: str, seq: int) -> list[story.Entry]:
        """The story behind a sequence."""
        return [entry async for entry in story.read(self._bus.nc, job_id, after=seq)]


def encode(record: BaseModel) -> bytes:
    """The bytes stored for a record; the same record always gives the same bytes."""
    return record.model_dump_json().encode()


async def _get(bucket: KeyValue, key: str, model: type[Model]) -> tuple[Model | None, int]:
    try:
        entry = await bucket.get(key)
    except KeyNotFoundError as error:
        marker = error.entry  # of a deleted key; a later write has to name its revision
        return None, 0 if marker is None else marker.revision or 0
    try:
        return understood(model, entry.value or b""), entry.revision or 0
    except ValidationError:
        return None, entry.revision or 0  # nothing a reader could use: fold it anew from the stream


async def _put(bucket: KeyValue, key: str, record: BaseModel, revision: int) -> int:
    try:
        return await bucket.update(key, encode(record), last=revision)
    except KeyWrongLastSequenceError as error:
        raise Conflict(key) from error
