"""What the stream says about a job: the last message of each of its subjects, as its leader has them.

Every event carries the job's whole state, so these few, folded in order, give what the whole story gives.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import BaseModel, ValidationError

from services.cloner.sweeper.verdict import Known
from shared.bus.connection import Bus
from shared.bus.pull import request, status
from shared.contract.events import decode, fold, fold_clone, fold_snapshot
from shared.contract.jobs import Clone, Job, Snapshot
from shared.contract.reading import understood
from shared.contract.streams import STREAMS
from shared.contract.subjects import kind_of, parse, story
from shared.engine.lease import leases
from shared.log import get

log = get(__name__)
Model = TypeVar("Model", bound=BaseModel)

TIMEOUT = 5.0
TRIES = 5
PAUSE = 0.2
MANY = 100
"""More subjects than a story can have."""


class Gap(NatsError):
    """The server that answered does not hold yet what the stream's leader has."""


class Log:
    """Reads stories from their end."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._leases = leases(bus)

    async def known(self, job_id: str) -> Known:
        """What is known about a job now. Raises Gap, ValueError for no job id, pydantic.ValidationError for a message
        nobody can read, and nats errors while NATS is away."""
        lease = await self._leases.get(job_id)
        messages = await self._newest(job_id)
        job: Job | None = None
        clone: Clone | None = None
        snapshot: Snapshot | None = None
        for seq, msg in messages:
            message = decode(parse((msg.headers or {})["Nats-Subject"])[1], msg.data)
            if message is not None:
                job, clone = fold(job, message, seq), fold_clone(clone, message, seq)
                snapshot = fold_snapshot(snapshot, message, seq)
        last_at = stored_at(messages[-1][1]) if messages else None
        return Known(job, clone, last_at, lease is not None and lease.value is not None, snapshot)

    async def _newest(self, job_id: str) -> list[tuple[int, Msg]]:
        for _ in range(TRIES):
            found = await self._last_of_each(job_id)
            # any replica answers the direct get; only the leader knows whether that one was behind
            if (found[-1][0] if found else 0) == await self._last(job_id):
                return found
            await asyncio.sleep(PAUSE)
        raise Gap(job_id)

    async def _last_of_each(self, job_id: str) -> list[tuple[int, Msg]]:
        where = f"$JS.API.DIRECT.GET.{STREAMS[kind_of(job_id)]}"
        found: list[tuple[int, Msg]] = []
        async with request(self._bus.nc, where, {"multi_last": [story(job_id)], "batch": MANY}) as inbox:
            while True:
                for msg in await inbox.take(TIMEOUT):
                    code = status(msg)
                    if code is None:
                        found.append((int((msg.headers or {})["Nats-Sequence"]), msg))
                    elif code in {"204", "404"}:
                        return sorted(found, key=lambda pair: pair[0])
                    else:
                        raise Gap(job_id)

    async def _last(self, job_id: str) -> int:
        try:
            return (await self._bus.js.get_msg(STREAMS[kind_of(job_id)], subject=story(job_id))).seq or 0
        except NotFoundError:
            return 0


def told(model: type[Model], msg: Msg) -> Model | None:
    """A record of a bucket that was read directly; None where there is none, or none that this version can read."""
    try:
        return understood(model, msg.data) if msg.data else None
    except ValidationError as error:
        log.warning("skipped a record that can not be read", subject=msg.subject, problems=error.error_count())
        return None


def stored_at(msg: Msg) -> datetime:
    """When a message that was read directly had been stored."""
    return _time((msg.headers or {})["Nats-Time-Stamp"])


async def entries(bus: Bus, bucket: str) -> dict[str, datetime]:
    """The keys of a bucket that have a value, with the time each was written. Raises nats errors."""
    name, prefix = f"KV_{bucket}", f"$KV.{bucket}."
    info = await bus.js.stream_info(name, subjects_filter=">")
    found = {}
    for subject in info.state.subjects or {}:
        where = f"$JS.API.STREAM.MSG.GET.{name}"
        answer = json.loads(
            (await bus.nc.request(where, json.dumps({"last_by_subj": subject}).encode(), timeout=TIMEOUT)).data
        )
        message = answer.get("message")
        if message is not None and message.get("data"):
            found[subject.removeprefix(prefix)] = _time(message["time"])
    return found


def _time(text: str) -> datetime:
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}").replace(tzinfo=UTC)
