"""A job's story: its messages in the stream, in order, decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.bus.pull import direct
from shared.contract.events import Message, decode
from shared.contract.streams import STREAMS
from shared.contract.subjects import EventType, Kind, kind_of, parse, story


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a story."""

    seq: int
    job_id: str
    event: EventType
    message: Message | None
    """None for what does not change a job: schedules, and events of versions to come."""


class Unreadable(ValueError):
    """A stored message that is not what its subject promises."""


@lru_cache(maxsize=1024)
def entry_of(subject: str, seq: int, payload: bytes) -> Entry:
    """Decode one stored message. Raises Unreadable.

    Remembered for a moment, because the projector and the live hub of a process read the same messages.
    """
    try:
        kind, event, _lane, job_id = parse(subject)
        if kind_of(job_id) != kind:
            raise ValueError(job_id)
        return Entry(seq, job_id, event, decode(event, payload))
    except (ValueError, ValidationError) as error:
        # pydantic's own text quotes the input, which has no place in a log
        raise Unreadable(f"{subject} at {seq}: {type(error).__name__}") from None


def stored_entry(msg: Msg) -> Entry:
    """Decode a message got by `pull.direct`. Raises Unreadable."""
    headers = msg.headers or {}
    return entry_of(headers["Nats-Subject"], int(headers["Nats-Sequence"]), msg.data)


async def read(nc: Client, job_id: str, *, after: int = 0) -> AsyncIterator[Entry]:
    """The readable messages of a job behind a sequence. Unreadable ones are left out, as the projector does.

    Raises nats errors when the stream does not answer.
    """
    kind: Kind = kind_of(job_id)
    async for msg in direct(nc, STREAMS[kind], seq=after + 1, subject=story(job_id)):
        try:
            entry = stored_entry(msg)
        except Unreadable:
            continue
        yield entry
