"""What crosses the pipe between a worker and one of its carriers.

Worker to carrier: pickled `Start`, `Call`, `Ack`, `Alive`, `Stop`; a carrier trusts its worker. Carrier to worker: JSON
of the models below and nothing else, because a hostile site may have taken the carrier over. Every frame is its length
(4 bytes, big-endian) and its body; what is too long, too deep or not of this form ends the carrier.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, JsonValue, TypeAdapter

from shared.contract.jobs import Note
from shared.printable import lines, one_line

LARGEST = 4 << 20
"""Bytes of one frame from a carrier: a checkpoint holds less than a fourth of it."""
LARGEST_TO_CARRIER = 64 << 20
LARGEST_NUMBER = 2**53
LENGTH = struct.Struct(">I")


def _bounded(longest: int) -> AfterValidator:
    return AfterValidator(lambda text: one_line(text[:longest]))


Words = Annotated[str, _bounded(500)]
Long = Annotated[str, _bounded(4000)]
Trace = Annotated[str, AfterValidator(lambda text: lines(text[-16_000:]))]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Count = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class Bounded(BaseModel):
    """Base of everything a carrier says: no field that is not known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Changes(Bounded):
    """What a carrier changed in the job's memory since it last said so, by name."""

    set: dict[Name, JsonValue] = Field(default_factory=dict, max_length=200)
    drop: list[Name] = Field(default_factory=list, max_length=200)


class Fault(Bounded):
    """An error on its way to the worker."""

    kind: Literal["job", "memory", "misshapen", "unexpected"]
    """`job`: one of ours, named `module:class`; `misshapen`: what was read had not the form it must have."""
    name: Words = ""
    message: Long = ""
    hint: Long = ""
    details: dict[Name, JsonValue] = Field(default_factory=dict, max_length=50)
    retry_after: Annotated[float, Field(ge=0, le=86_400)] | None = None
    trace: Trace = ""


class Reported(Bounded):
    """How far a call is."""

    t: Literal["report"] = "report"
    call: Count
    done: Count | None = None
    total: Count | None = None
    unit: Literal["bytes", "rows", "files", "pages"] | None = None
    message: Words | None = None
    moves: Count = 0
    """Grows with everything new that came from the site."""


class Noted(Bounded):
    """Something for the result."""

    t: Literal["note"] = "note"
    code: Name
    message: Long
    count: Count | None = None
    samples: list[Words] = Field(default_factory=list, max_length=200)

    def note(self) -> Note:
        """The note, its code made of harmless characters."""
        code = re.sub(r"[^A-Za-z0-9_.-]", "_", self.code)
        return Note(code=code, message=self.message, count=self.count, samples=self.samples)


class Called(Bounded):
    """A call of the connector that is over, for the trace."""

    t: Literal["called"] = "called"
    what: Annotated[str, Field(pattern=r"^[a-z][a-z_.]{0,40}$")]
    began: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
    """Unix seconds."""
    ended: Annotated[float, Field(ge=0, le=LARGEST_NUMBER)]
    failed: bool = False


class Saved(Bounded):
    """The job's memory is to be made durable; the carrier waits for the `Ack`."""

    t: Literal["save"] = "save"
    number: Count
    changes: Changes


class Returned(Bounded):
    """A call has ended well."""

    t: Literal["returned"] = "returned"
    call: Count
    value: JsonValue = None
    changes: Changes


class Failed(Bounded):
    """A call has ended with an error."""

    t: Literal["failed"] = "failed"
    call: Count
    fault: Fault
    changes: Changes


class Said(Bounded):
    """A line for the worker's log."""

    t: Literal["log"] = "log"
    level: Literal["debug", "info", "warning", "error"]
    event: Words
    facts: dict[Name, Words] = Field(default_factory=dict, max_length=20)


FromCarrier = Annotated[Reported | Noted | Called | Saved | Returned | Failed | Said, Discriminator("t")]
_READER: TypeAdapter[FromCarrier] = TypeAdapter(FromCarrier)


def read(body: bytes) -> FromCarrier:
    """A carrier's message. Raises ValueError for whatever else it may be."""
    if len(body) > LARGEST:
        raise ValueError("a message of a carrier is too long")
    return _READER.validate_json(body)


def written(message: Bounded) -> bytes:
    """A frame with a carrier's message."""
    # what can not be said in UTF-8 (half of a surrogate pair, from a path) is not worth dying for
    body = json.dumps(message.model_dump(), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return LENGTH.pack(len(body)) + body


# --- from the worker


@dataclass(frozen=True)
class Start:
    """The first message: which job it is, and what makes the object that calls are about."""

    job_id: str
    command: Any
    attempt: int
    factory: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """Run `function(object, *arguments)`. `changes` and `dropped`: what the worker changed in the job's memory."""

    number: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    changes: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    """Not to appear in any text."""


@dataclass(frozen=True)
class Ack:
    """The memory sent with this number is durable."""

    number: int


@dataclass(frozen=True)
class Alive:
    """The job is the worker's until this moment of the machine's monotonic clock. `fresh`: what was told to stop before
    is over; a new piece of work begins."""

    until: float
    fresh: bool = False


@dataclass(frozen=True)
class Stop:
    """The job must stop: "cancelled", "draining" or "lease_lost"."""

    reason: str
