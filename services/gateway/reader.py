"""Reads streams and buckets directly (ADR-31): one request, many messages, no consumer left behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from shared.contract.times import stamp

BATCH = 500
END_OF_BATCH = "204"
NOT_FOUND = "404"
TOO_MANY = "413"
SUBJECTS_MAX = 1024
"""Subjects the server answers about in one request."""


@dataclass(frozen=True)
class Stored:
    """A message as its stream holds it."""

    seq: int
    subject: str
    time: datetime
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)


async def last_value(nc: Client, stream: str, subject: str, *, timeout: float) -> Stored | None:
    """The newest message of a literal subject; None when there is none or the stream is being rebuilt."""
    try:
        message = await nc.request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", timeout=timeout)
    except NoRespondersError:
        return None
    return None if "Status" in (message.headers or {}) else _stored(message.headers or {}, message.data)


async def newest(nc: Client, stream: str, pattern: str, *, timeout: float) -> Stored | None:
    """The newest message of all subjects that match; None when there is none."""
    question = json.dumps({"last_by_subj": pattern}).encode()
    try:
        message = await nc.request(f"$JS.API.DIRECT.GET.{stream}", question, timeout=timeout)
    except NoRespondersError:
        return None
    return None if "Status" in (message.headers or {}) else _stored(message.headers or {}, message.data)


async def first_since(nc: Client, stream: str, at: datetime, *, timeout: float) -> int | None:
    """The sequence of the first message stored at a time or after it; None when there is none. Raises nats errors."""
    question = json.dumps({"start_time": stamp(at), "next_by_subj": ">"})
    message = await nc.request(f"$JS.API.DIRECT.GET.{stream}", question.encode(), timeout=timeout)
    headers = message.headers or {}
    return None if "Status" in headers else int(headers["Nats-Sequence"])


async def newest_of(nc: Client, stream: str, patterns: Sequence[str], *, timeout: float) -> list[Stored]:
    """The newest message of every subject that matches one of the patterns, oldest first.

    One request; together the patterns may match at most `SUBJECTS_MAX` subjects. Raises nats errors when the server
    does not answer; a missing stream reads as empty.
    """
    inbox = nc.new_inbox()
    found: list[Stored] = []
    replies = await nc.subscribe(inbox)
    try:
        question = json.dumps({"multi_last": list(patterns), "batch": SUBJECTS_MAX}).encode()
        await nc.publish(f"$JS.API.DIRECT.GET.{stream}", question, reply=inbox)
        while True:
            message = await replies.next_msg(timeout=timeout)
            headers = message.headers or {}
            if status := headers.get("Status"):
                if status == TOO_MANY:
                    raise ValueError(f"{len(patterns)} patterns match more than {SUBJECTS_MAX} subjects")
                return found
            found.append(_stored(headers, message.data))
    finally:
        await replies.unsubscribe()


async def newest_at_leader(js: JetStreamContext, stream: str, pattern: str) -> Stored | None:
    """`newest`, as the stream's leader has it. Raises nats errors while there is none."""
    try:
        message = await js.get_msg(stream, subject=pattern)
    except NotFoundError:
        return None
    time = message.time or datetime.fromtimestamp(0, UTC)
    return Stored(message.seq or 0, message.subject or "", time, message.data or b"", message.headers or {})


async def read(nc: Client, stream: str, subject: str, *, start: int = 1, timeout: float = 2.0) -> AsyncIterator[Stored]:
    """Every message of a subject (wildcards allowed) from a sequence on, oldest first.

    Raises nats errors when the server does not answer; a missing stream reads as empty.
    """
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    try:
        while start:
            request = {"seq": start, "batch": BATCH, "next_by_subj": subject}
            await nc.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
            start, last = 0, 0
            while True:
                message = await replies.next_msg(timeout=timeout)
                headers = message.headers or {}
                if status := headers.get("Status"):
                    if status == END_OF_BATCH and int(headers.get("Nats-Num-Pending", "0")):
                        start = last + 1
                    break
                stored = _stored(headers, message.data)
                last = stored.seq
                yield stored
    finally:
        await replies.unsubscribe()


async def read_all(nc: Client, stream: str, subject: str, *, start: int = 1) -> list[Stored]:
    """`read`, collected."""
    async with aclosing(read(nc, stream, subject, start=start)) as messages:  # type: ignore[type-var]
        return [message async for message in messages]


def _stored(headers: dict[str, str], data: bytes) -> Stored:
    own = {key: value for key, value in headers.items() if key not in SERVER_HEADERS}
    return Stored(
        seq=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        time=datetime.fromisoformat(_microseconds(headers["Nats-Time-Stamp"])),
        data=data,
        headers=own,
    )


SERVER_HEADERS = frozenset(
    {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"}
)


def _microseconds(text: str) -> str:
    """RFC 3339 with nanoseconds, cut to what datetime holds."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return f"{head}.{fraction[:6]:0<6}+00:00"
