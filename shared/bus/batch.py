"""Atomic batches (ADR-50): many messages on one stream, all stored or none, made durable together."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import APIError, NoStreamResponseError

MOST = 1000
"""Messages the server takes in one batch."""


@dataclass(frozen=True)
class Outgoing:
    """A message to be stored."""

    subject: str
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)


async def publish_batch(js: JetStreamContext, messages: Sequence[Outgoing], *, timeout: float) -> list[PubAck]:
    """Store 1 to `MOST` messages of one stream, which must allow atomic batches; what each one was stored as, in order.

    Raises APIError when the server refused the batch, for any of its messages: a Msg-Id stored before, a sequence not
    as expected. Nothing is stored then. After a TimeoutError nobody knows; sending it again needs Msg-Ids.
    """
    if not 0 < len(messages) <= MOST:
        raise ValueError(f"a batch has 1 to {MOST} messages")
    batch, last = secrets.token_hex(10), len(messages)

    def headers(number: int) -> dict[str, str]:
        return {**messages[number - 1].headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}

    for number, message in enumerate(messages[:-1], 1):
        await js._nc.publish(message.subject, message.payload, headers=headers(number))
    commit = {**headers(last), "Nats-Batch-Commit": "1"}
    try:
        answer = await js._nc.request(messages[-1].subject, messages[-1].payload, timeout=timeout, headers=commit)
    except NoRespondersError:
        raise NoStreamResponseError from None
    told = json.loads(answer.data)
    if "error" in told:
        raise APIError.from_error(told["error"])
    # a batch is committed in one go, so its sequences are neighbours
    first = told["seq"] - last + 1
    return [PubAck(stream=told["stream"], seq=first + offset) for offset in range(last)]
