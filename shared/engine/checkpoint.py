"""How far a job is: everything that has to survive the worker. Written only by the holder of the lease.

Every write compares revisions, so a worker that lost its lease without noticing can not overwrite its successor.
"""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from shared.bus.connection import Bus
from shared.contract.events import Command, Message, Retry
from shared.contract.jobs import ErrorInfo, Job, Note, Phase, Record, Result, Status, Step
from shared.contract.streams import CHECKPOINTS
from shared.contract.subjects import EventType
from shared.engine.records import Conflict, Records
from shared.errors import LeaseLost, Permanent

LARGEST = 900_000
"""Bytes of one checkpoint; the server takes messages of 1 MB."""
PACK_ABOVE = 200_000
"""Bytes above which its state is compressed; it is names of tables and files mostly, and shrinks to a tenth."""


HELD = "held"
"""Stored as the ticket of a job that is `held_for` somebody: workers of releases that know of no such thing can not
read it, and leave the job alone."""


class TooMuchToRemember(Permanent):
    """The site has more tables or folders than one job can keep track of."""

    code = "too_much_to_remember"
    hint = "Leave tables or paths out (options.exclude_tables, options.exclude_paths) and run the job again."


class Parked(Record):
    """A job that waits for its own schedule."""

    event: EventType
    """RETRYING or WAITING: what was, or is to be, said about it."""
    at: datetime
    message: str
    reason: str | None = None
    error: ErrorInfo | None = None


class Ending(Record):
    """The outcome of this attempt, decided before anything is removed or announced."""

    event: EventType
    error: ErrorInfo | None = None
    result: Result | None = None


class Checkpoint(Record):
    """One job, from its first delivery until long after its end.

    `(attempt, ticket)` names the one message that may move the job on; older messages are echoes.
    """

    attempt: int = 1
    ticket: Annotated[int, BeforeValidator(lambda stored: 0 if stored == HELD else stored)] = 0
    """Counts schedules within the attempt: a job waiting for a permit keeps its attempt."""
    since: int = 0
    """Stream sequence of the message that began this life: the command, or a person's retry."""
    fence: int = 0
    held_for: float = 0.0
    """Seconds, from when this was stored, for which the job is in the hands of who wrote it. Only until there is an
    entry among the leases: a job that is over sooner needs none."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """What persons who had the job run again wanted otherwise than its command says."""
    steps: list[Step] = Field(default_factory=list)
    state: dict[str, Any] = Field(default_factory=dict)
    packed: str = ""
    """The state of a job that remembers much, compressed; only as it is stored."""
    notes: list[Note] = Field(default_factory=list)
    tries: dict[str, int] = Field(default_factory=dict)
    """Temporary failures per step."""
    crashes: int = 0
    """Deliveries that began work here since the last completed step and were not given back in order."""
    history: list[dict[str, Any]] = Field(default_factory=list)
    """Attempts that failed: attempt, step, code, message, time."""
    progress: float = 0.0
    started_at: datetime | None = None
    parked: Parked | None = None
    away_since: datetime | None = None
    """Since when the running step has been waiting for parts of ours."""
    waiting_for: str = ""
    """What was last said about a wait, so that asking again is not told again."""
    ending: Ending | None = None
    ended: int | None = None
    """Stream sequence of the terminal event."""

    def job(self, command: Command, *, now: datetime, **update: Any) -> Job:
        """The job's absolute state, as every event carries it."""
        current = next((step for step in reversed(self.steps) if step.started_at is not None), None)
        known: dict[str, Any] = {
            "status": Status.RUNNING,
            "progress": self.progress,
            "step": current.name if current else None,
            "steps": [step.model_copy() for step in self.steps],
            "attempt": self.attempt,
            "fence": self.fence,
            "started_at": self.started_at,
            "updated_at": now,
            "message": "",
        }
        return command.job().model_copy(update={**known, **update})


class Verdict(StrEnum):
    """What a delivered message means for its job."""

    RUN = "run"
    ECHO = "echo"
    """An older message of a job that has moved on: acknowledge it."""
    NEW_LIFE = "new life"
    """A person wants an ended job to run again."""


def judge(known: Checkpoint, message: Message, seq: int) -> Verdict:
    """Whether this message moves the job on. Pure."""
    manual = isinstance(message, Retry) and message.manual
    if known.ended is not None:
        return Verdict.NEW_LIFE if manual and seq > known.ended else Verdict.ECHO
    if manual:
        return Verdict.RUN
    mine = (message.attempt, message.ticket) if isinstance(message, Retry) else (1, 0)
    return Verdict.ECHO if mine < (known.attempt, known.ticket) else Verdict.RUN


def parked_job(known: Checkpoint, command: Command, *, now: datetime) -> Job:
    """The job as its `retrying` or `waiting` event shows it."""
    assert known.parked is not None
    retrying = known.parked.event is EventType.RETRYING
    return known.job(
        command,
        now=now,
        status=Status.PENDING,
        phase=Phase.RETRYING if retrying else Phase.WAITING,
        # the failed attempt is the one that tells; the next one begins with `started`
        attempt=known.attempt - 1 if retrying else known.attempt,
        message=known.parked.message,
        reason=known.parked.reason,
        error=known.parked.error,
    )


class CheckpointStore:
    """The checkpoint of one job, held by the holder of its lease."""

    def __init__(self, bus: Bus, job_id: str, check: Callable[[], None], hold: Callable[[], float]) -> None:
        """`check` raises when the job is not ours any more; `hold` tells for how long it is by the checkpoint alone."""
        self._records = Records(bus, CHECKPOINTS)
        self._job_id = job_id
        self._check, self._hold = check, hold
        self._lock = asyncio.Lock()
        self._revision = 0
        self.durable = "{}"
        """The state as last stored, as JSON."""

    async def load(self) -> Checkpoint | None:
        """What the last worker left; None for a job nobody has begun.

        Raises pydantic.ValidationError when another version has left what this one does not know.
        """
        entry = await self._records.get(self._job_id)
        self._revision = entry.revision if entry else 0
        if entry is None or not entry.value:
            return None
        known = Checkpoint.model_validate_json(entry.value)
        if known.packed:
            known.state, known.packed = json.loads(zlib.decompress(base64.b64decode(known.packed))), ""
        self.durable = frozen(known.state)
        return known

    async def held(self) -> bool:
        """Whether somebody has the job by its checkpoint alone. Raises nats errors when NATS is away."""
        entry = await self._records.get(self._job_id)
        try:
            seconds = float(json.loads(entry.value).get("held_for", 0)) if entry and entry.value else 0.0
        except (ValueError, TypeError, AttributeError):
            return False
        return seconds > 0 and entry is not None and await self._records.age(entry) < seconds

    @property
    def written(self) -> bool:
        """Whether there is a checkpoint that we have read or written."""
        return self._revision > 0

    async def write(self, checkpoint: Checkpoint, *, state: str | None = None) -> None:
        """Make it durable. `state` is the job's state as JSON when a worker thread has serialised it already.

        Raises LeaseLost when another worker has written, or when the lease runs out while NATS is away;
        TooMuchToRemember when the state is too large, TypeError when it is not JSON.
        """
        async with self._lock:
            state = state or frozen(checkpoint.state)
            checkpoint.held_for = round(max(0.0, self._hold()), 3)
            value = serialised(checkpoint, state)
            if len(value) > PACK_ABOVE:
                value = await asyncio.to_thread(serialised, checkpoint, state, packed=True)
            if len(value) > LARGEST:
                raise TooMuchToRemember(bytes=len(value))
            try:
                self._revision = await self._records.write(self._job_id, value, last=self._revision, check=self._check)
            except Conflict as error:
                raise LeaseLost from error
            self.durable = state

    def back_to_durable(self, checkpoint: Checkpoint) -> None:
        """The state as it was when it could last be stored: what removals need was in it."""
        checkpoint.state = json.loads(self.durable)


def serialised(checkpoint: Checkpoint, state: str, *, packed: bool = False) -> bytes:
    """The stored form. The state goes in as it is: a None in it means something. A large one is compressed."""
    left_out = {"state", "packed", "ticket" if checkpoint.held_for else "held_for"}
    rest = checkpoint.model_dump_json(exclude=left_out, exclude_none=True)
    if checkpoint.held_for:
        rest = f'{rest[:-1]},"ticket":"{HELD}"}}'
    if packed:
        text = base64.b64encode(zlib.compress(state.encode(), 1)).decode()
        return f'{rest[:-1]},"packed":"{text}"}}'.encode()
    return f'{rest[:-1]},"state":{state}}}'.encode()


def frozen(state: dict[str, Any]) -> str:
    """The state as JSON, also while another thread adds to it. Raises TypeError when it is not JSON-able."""
    for _ in range(100):
        try:
            return json.dumps(state)
        except RuntimeError:  # changed size during iteration
            continue
    raise ValueError("the job's state never holds still")
