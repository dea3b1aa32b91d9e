"""The live protocol, version 1: what clients may say, and what the server says besides changes."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from services.status.live import shape
from services.status.live.lists import Topic
from services.status.projection import State
from shared.ids import is_job_id

VERSION = 1
SUBPROTOCOL = "siteferry.v1"
HEARTBEAT = 15
"""Seconds between a client's pings; it takes the connection for dead after two without an answer."""
MAX_SUBS = 50
MAX_MESSAGE = 16 * 1024
"""Bytes a client may send at once."""
HELLO_WITHIN = 10.0
"""Seconds until a connection must have said hello."""

BAD_MESSAGE, UNAUTHENTICATED, FORBIDDEN, NO_HELLO, DUPLICATE, TOO_MANY = 4400, 4401, 4403, 4408, 4409, 4429
RESTART, SLOW = 1012, 1013


class Frame(BaseModel):
    """Base of what clients say; unknown fields are for later versions."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Hello(Frame):
    """First frame of a connection."""

    type: Literal["hello"]
    v: int
    token: str | None = Field(None, max_length=4096)


class Cursor(Frame):
    """How far a client got: a sequence within one life of the stream."""

    seq: int = Field(ge=0)
    epoch: str = Field(max_length=64)


class Sub(Frame):
    """Watch one job, or a list."""

    type: Literal["sub"]
    id: str = Field(min_length=1, max_length=64)
    job: str | None = Field(None, max_length=64)
    list: Topic | None = None
    after: Cursor | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Sub:
        if (self.job is None) == (self.list is None):
            raise ValueError("name either a job or a list")
        return self


class Unsub(Frame):
    """Stop watching."""

    type: Literal["unsub"]
    id: str = Field(max_length=64)


class Ping(Frame):
    """Are you there?"""

    type: Literal["ping"]
    k: int | str | None = None


ClientFrame = Annotated[Hello | Sub | Unsub | Ping, Field(discriminator="type")]
CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(ClientFrame)


def known_job(sub: Sub) -> bool:
    """Whether the job named can exist at all."""
    return sub.job is not None and is_job_id(sub.job)


def encode(frame: dict[str, Any]) -> str:
    """A frame as text."""
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def ready(conn: str) -> str:
    """The answer to hello."""
    return encode({"type": "ready", "v": VERSION, "conn": conn, "heartbeat": HEARTBEAT, "max_subs": MAX_SUBS})


def job_snap(sub_id: str, state: State, epoch: str) -> str:
    """Everything about a job as of `seq`."""
    assert state.job is not None
    job = shape.job_detail(state)
    return encode({"type": "snap", "id": sub_id, "seq": state.seq, "n": state.job.n, "epoch": epoch, "job": job})


def list_snap(sub_id: str, topic: Topic, records: str, *, partial: bool = False) -> str:
    """The newest of a list; `records` is JSON already.

    `partial`: the server keeps the newest of all tenants, so older ones of this one may be missing; REST has them.
    """
    more = ',"partial":true' if partial else ""
    return f'{{"type":"snap","id":{encode_text(sub_id)}{more},"{topic}":{records}}}'


def end(sub_id: str, seq: int, state: str) -> str:
    """The job has reached a terminal state. The subscription stays: somebody may retry the job or delete the clone."""
    return encode({"type": "end", "id": sub_id, "seq": seq, "state": state})


def err(sub_id: str, code: str, message: str) -> str:
    """A subscription that can not be had."""
    return encode({"type": "err", "id": sub_id, "code": code, "message": message})


def pong(k: int | str | None) -> str:
    """I am."""
    return encode({"type": "pong", "k": k})


def upstream(current: bool) -> str:
    """Whether what is shown is known to be current: false while the server has lost the streams."""
    return encode({"type": "upstream", "ok": current})


def bye(reconnect_ms: int) -> str:
    """The server is about to close the connection: come back after that time."""
    return encode({"type": "bye", "reconnect_ms": reconnect_ms})


def encode_text(text: str) -> str:
    """A string as JSON."""
    return json.dumps(text, ensure_ascii=False)
