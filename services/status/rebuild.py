"""Make the projection anew from the streams, while everything runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from nats.js.errors import BadRequestError, NoKeysError, NotFoundError

from services.status.projection import Conflict, Projection, State
from shared.bus.connection import Bus
from shared.bus.pull import direct
from shared.contract import streams
from shared.contract.subjects import KINDS, Kind, kind_of, parse, story, stream_subjects

PROJECTED = (streams.JOBS, streams.CLONES, streams.SNAPSHOTS)
PARALLEL = 16
TRIES = 50
PATIENT = 20
"""Tries in which a story must be as long as the leader's: in a cluster, a replica that is behind may have answered.
After them, it just ends with a message nobody can read."""


@dataclass
class Report:
    """What a rebuild did, in keys."""

    jobs: int = 0
    clones: int = 0
    snapshots: int = 0
    changed: int = 0
    """Jobs whose stored state was not what the log says."""
    kept: int = 0
    """Jobs made before the log begins: it no longer tells their story, so they stay as they are."""
    removed: int = 0
    """Jobs in the buckets without a story in the log."""


async def rebuild(bus: Bus) -> Report:
    """Fold every story again and put the result in place of what is stored.

    Nothing is dropped beforehand, so readers never miss a job meanwhile; buckets that were deleted are made again.
    Safe while services run: a state that moves on under us is folded once more. Raises nats errors.
    """
    await _ensure_buckets(bus)
    report = Report()
    for kind in KINDS:
        begins = await _log_begins(bus, kind)
        job_ids = {job_id async for job_id in _told(bus, kind)} | await _stored(bus, kind)
        slots = asyncio.Semaphore(PARALLEL)
        await asyncio.gather(*(_replace(bus, job_id, begins, report, slots) for job_id in sorted(job_ids)))
    return report


async def _replace(bus: Bus, job_id: str, begins: datetime | None, report: Report, slots: asyncio.Semaphore) -> None:
    projection = Projection(bus)
    async with slots:
        for attempt in range(TRIES):
            old = await projection.load(job_id)
            if _predates(old, begins):
                report.kept += 1
                return
            told = await projection.behind(job_id, 0)
            if attempt < PATIENT and await _last(bus, job_id) > (told[-1].seq if told else 0):
                await asyncio.sleep(0.05)
                continue
            new = _counting_on(old, old.blank().after(told))
            try:
                await projection.save(old, new)
                await _remove_untold(bus, job_id, old, new)
            except Conflict:
                continue
            report.jobs += new.job is not None
            report.clones += new.clone is not None
            report.snapshots += new.snapshot is not None
            report.changed += new.records() != old.records()
            report.removed += new.job is None and old.job is not None
            return
    raise Conflict(job_id)


def _counting_on(old: State, new: State) -> State:
    """The number of a job's messages never falls, although the log forgets those that said how far a step was."""
    if old.job is not None and new.job is not None and new.job.n < old.job.n:
        new.job = new.job.model_copy(update={"n": old.job.n})
    return new


async def _last(bus: Bus, job_id: str) -> int:
    """Sequence of the newest message of a story, as the leader of the stream has it."""
    try:
        return (await bus.js.get_msg(streams.STREAMS[kind_of(job_id)], subject=story(job_id))).seq or 0
    except NotFoundError:
        return 0


async def _remove_untold(bus: Bus, job_id: str, old: State, new: State) -> None:
    try:
        if new.job is None and old.job is not None:
            await (await bus.bucket(streams.JOBS)).delete(job_id, last=old.job_revision)
        if new.clone is None and old.clone is not None:
            await (await bus.bucket(streams.CLONES)).delete(job_id, last=old.clone_revision)
        if new.snapshot is None and old.snapshot is not None:
            await (await bus.bucket(streams.SNAPSHOTS)).delete(job_id, last=old.snapshot_revision)
    except BadRequestError as error:
        raise Conflict(job_id) from error


def _predates(state: State, begins: datetime | None) -> bool:
    oldest = state.job or state.clone or state.snapshot
    return begins is not None and oldest is not None and oldest.created_at < begins


async def _log_begins(bus: Bus, kind: Kind) -> datetime | None:
    """The time of the oldest message when older ones have been dropped; None while the log is whole."""
    info = await bus.js.stream_info(streams.STREAMS[kind])
    if info.state.first_seq <= 1:
        return None
    found = direct(bus.nc, streams.STREAMS[kind], seq=info.state.first_seq, subject=stream_subjects(kind)[0])
    async with aclosing(found):
        async for msg in found:
            return datetime.fromisoformat((msg.headers or {})["Nats-Time-Stamp"])
    return None


async def _told(bus: Bus, kind: Kind) -> AsyncIterator[str]:
    """The jobs the log knows."""
    where = f"$JS.API.STREAM.INFO.{streams.STREAMS[kind]}"
    offset = 0
    while True:
        body = {"subjects_filter": stream_subjects(kind)[0], "offset": offset}
        answer = json.loads((await bus.nc.request(where, json.dumps(body).encode(), timeout=10)).data)
        subjects = answer["state"].get("subjects") or {}
        for subject in subjects:
            try:
                yield parse(subject)[3]
            except ValueError:
                continue
        offset += len(subjects)
        if not subjects or offset >= answer.get("total", 0):
            return


async def _stored(bus: Bus, kind: Kind) -> set[str]:
    """The jobs the buckets know."""
    found: set[str] = set()
    for name in PROJECTED:
        try:
            found.update(await (await bus.bucket(name)).keys())
        except NoKeysError:
            continue
    return {key for key in found if _is_kind(key, kind)}


def _is_kind(key: str, kind: Kind) -> bool:
    try:
        return kind_of(key) == kind
    except ValueError:
        return False


async def _ensure_buckets(bus: Bus) -> None:
    for name in PROJECTED:
        try:
            await bus.js.stream_info(f"KV_{name}")
        except NotFoundError:
            info = await bus.js.stream_info(streams.STREAMS["clone"])
            await streams.install(bus.js, replicas=info.config.num_replicas or 1)
