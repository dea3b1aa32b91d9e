"""Operations on many jobs or clones: stored whole before the answer, carried out in the background, in any gateway.

What an operation is about is decided when it is asked for: its members are stored, in order, and how far it is, in
one entry. Whoever carries it out writes that entry after every piece, at the revision it has read. A gateway that dies
leaves it where it was: another one, or its successor, goes on. Of the piece it died in the stream knows what was done,
for every wish carries the operation's mark as its Msg-Id.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import BaseModel, Field, ValidationError

from services.gateway import reader
from services.gateway.models_bulk import Action, OperationAnswer, OperationStatus, Refusal
from services.gateway.problems import UNAVAILABLE, Problem, internal
from shared.bus.connection import Bus, instance_id
from shared.contract import streams
from shared.contract.events import now
from shared.contract.times import Time
from shared.lifecycle import ended
from shared.log import get

log = get(__name__)

PIECE = 50
"""Members between two writes of how far it is."""
AT_ONCE = 4
"""Operations carried out at the same time in one gateway; of each tenant one."""
OPEN_MOST = 20
"""Operations of one tenant that are not completed."""
TAKE_OVER = 5.0
"""Seconds without news after which whoever carried it out is taken for dead. Too early does no harm: nothing is done
twice, and who comes too late to write stops."""
LOOK_EVERY = 1.0
AGAIN = 1.0
"""Seconds until a piece is tried again that NATS did not take."""


class Operation(BaseModel):
    """How far it is, as it is stored."""

    operation_id: str
    action: Action
    tenant: str
    by: str
    traceparent: str
    total: int
    changes: dict[str, Any] = Field(default_factory=dict)
    """Of a retry: `RetryChanges`."""
    expires_at: Time | None = None
    """Of an extension."""
    position: int = 0
    """Members that have been looked at."""
    reasons: list[tuple[str, str]] = Field(default_factory=list)
    """Code and sentence of every kind of refusal there was."""
    refused: list[tuple[int, int]] = Field(default_factory=list)
    """Position of a member nothing was done to, and of its reason."""
    owner: str = ""
    created_at: Time
    updated_at: Time
    finished_at: Time | None = None

    @property
    def status(self) -> OperationStatus:
        return OperationStatus.RUNNING if self.finished_at is None else OperationStatus.COMPLETED


@dataclass
class _Open:
    """An operation that is not completed, as it was last seen."""

    operation: Operation
    revision: int
    since: float
    """When it was seen to change, by our clock."""


class Operations:
    """Accepts operations and carries them out."""

    def __init__(
        self,
        bus: Bus,
        deed: Callable[[Operation, str, str], Awaitable[None]],
        marks: Callable[[str], Awaitable[set[str]]],
        *,
        timeout: float,
    ) -> None:
        """`deed` does one thing to one member; `marks` are the Msg-Ids the stream has about a job."""
        self._bus = bus
        self._deed = deed
        self._marks = marks
        self._timeout = timeout
        self._me = instance_id()
        self._open: dict[str, _Open] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._tenants: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._seq = 0
        self._news = asyncio.Event()

    async def accept(self, operation: Operation, members: Sequence[str]) -> OperationAnswer:
        """Store it. Accepting it again changes nothing.

        Raises a 429 problem when too many of the tenant's are not completed; nats errors.
        """
        if sum(each.operation.tenant == operation.tenant for each in self._open.values()) >= OPEN_MOST:
            raise Problem(
                429,
                "too_many_operations",
                f"{OPEN_MOST} of your operations are not completed yet.",
                hint="Wait for one of them, or put several into one.",
                headers={"Retry-After": "5"},
            )
        bucket = await self._bus.bucket(streams.OPERATIONS)
        await bucket.put(_members_key(operation.operation_id), json.dumps(list(members)).encode())
        stored = operation.model_copy(update={"owner": self._me})
        if not members:
            stored.finished_at = stored.updated_at
        try:
            revision = await bucket.create(operation.operation_id, stored.model_dump_json().encode())
        except KeyWrongLastSequenceError:
            return told(stored, members)
        if members:
            self._open[operation.operation_id] = _Open(stored, revision, time.monotonic())
            self._news.set()
        return told(stored, members)

    async def find(self, operation_id: str, tenant: str) -> OperationAnswer | None:
        """How far a tenant's operation is; None when there is no such, or no longer."""
        found = await self._read(operation_id)
        if found is None or found.tenant != tenant:
            return None
        return told(found, await self._members(operation_id) if found.refused else [])

    async def run(self) -> None:
        """Carry out what is there, and what others left, until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except UNAVAILABLE as error:
                    log.debug("can not look for operations", error=repr(error))
                for key, known in self._open.items():
                    if key not in self._tasks and self._is_ours(known):
                        self._tasks[key] = asyncio.create_task(self._carry_out(key), name=key)
                        self._tasks[key].add_done_callback(self._forget)
                self._news.clear()
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            for task in list(self._tasks.values()):
                await ended(task)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task.get_name(), None)
        if not task.cancelled() and task.exception() is not None:
            log.error("an operation was left", operation=task.get_name(), exc_info=task.exception())

    def _is_ours(self, known: _Open) -> bool:
        return known.operation.owner == self._me or time.monotonic() - known.since > TAKE_OVER

    async def _look(self) -> None:
        """Read what changed since the last look."""
        stream = f"KV_{streams.OPERATIONS}"
        head = (await self._bus.js.stream_info(stream)).state.last_seq
        if head < self._seq:  # made anew
            self._seq = 0
        if head == self._seq:
            return
        async for stored in reader.read(self._bus.nc, stream, f"$KV.{streams.OPERATIONS}.*", start=self._seq + 1):
            key = stored.subject.rpartition(".")[2]
            operation = _read_as(stored.data)
            known = self._open.get(key)
            if operation is None or operation.finished_at is not None:
                self._open.pop(key, None)
            elif known is None or known.revision < stored.seq:
                self._open[key] = _Open(operation, stored.seq, time.monotonic())
        self._seq = head

    async def _carry_out(self, key: str) -> None:
        """Go on with it, until it is completed or somebody else does."""
        known = self._open[key]
        async with self._tenants.setdefault(known.operation.tenant, asyncio.Lock()), self._room:
            try:
                await self._work(known)
            except KeyWrongLastSequenceError:
                log.info("another gateway carries the operation out", operation=key)
                if (there := self._open.get(key)) is not None:
                    there.since = time.monotonic()
            except UNAVAILABLE as error:
                log.warning("an operation waits for NATS", operation=key, error=repr(error))
                await asyncio.sleep(AGAIN)

    async def _work(self, known: _Open) -> None:
        operation = known.operation
        key = operation.operation_id
        taken_over = operation.owner != self._me
        if taken_over:
            log.info("going on with an operation", operation=key, position=operation.position)
        members = await self._members(key)
        await self._write(known, owner=self._me)
        # what was tried before in this piece may have been done; a piece of which nothing is known is the first
        again = True
        while (start := known.operation.position) < len(members):
            piece = members[start : start + PIECE]
            refusals = await asyncio.gather(*(self._do(known.operation, member, again) for member in piece))
            again = False
            await self._advance(known, start, refusals)
        await self._write(known, finished_at=now())
        self._open.pop(key, None)

    async def _do(self, operation: Operation, member: str, again: bool) -> Problem | None:
        mark = f"{operation.operation_id}:{member}"
        if again and mark in await self._marks(member):
            return None
        try:
            await self._deed(operation, member, mark)
        except Problem as problem:
            return problem
        except UNAVAILABLE:
            raise
        except Exception as error:  # one member must not hold up the others for ever
            log.error("an operation failed at a member", operation=operation.operation_id, job=member, exc_info=error)
            return internal()
        return None

    async def _advance(self, known: _Open, start: int, refusals: Sequence[Problem | None]) -> None:
        reasons, refused = list(known.operation.reasons), list(known.operation.refused)
        for at, problem in enumerate(refusals, start):
            if problem is not None:
                why = (problem.code, problem.detail)
                if why not in reasons:
                    reasons.append(why)
                refused.append((at, reasons.index(why)))
        await self._write(known, position=start + len(refusals), reasons=reasons, refused=refused)

    async def _write(self, known: _Open, **update: Any) -> None:
        """Raises KeyWrongLastSequenceError when somebody else has written."""
        changed = known.operation.model_copy(update={"updated_at": now(), **update})
        bucket = await self._bus.bucket(streams.OPERATIONS)
        known.revision = await bucket.update(
            changed.operation_id, changed.model_dump_json().encode(), last=known.revision
        )
        known.operation, known.since = changed, time.monotonic()

    async def _read(self, operation_id: str) -> Operation | None:
        stream, subject = f"KV_{streams.OPERATIONS}", f"$KV.{streams.OPERATIONS}.{operation_id}"
        entry = await reader.last_value(self._bus.nc, stream, subject, timeout=self._timeout)
        return None if entry is None else _read_as(entry.data)

    async def _members(self, operation_id: str) -> list[str]:
        try:
            entry = await (await self._bus.bucket(streams.OPERATIONS)).get(_members_key(operation_id))
        except KeyNotFoundError:
            return []
        found: list[str] = json.loads(entry.value or b"[]")
        return found


def told(operation: Operation, members: Sequence[str]) -> OperationAnswer:
    """What whoever asked is told; `members` are needed to name those that were refused."""
    refusals = [
        Refusal(id=members[at], code=operation.reasons[why][0], message=operation.reasons[why][1])
        for at, why in operation.refused
    ]
    return OperationAnswer(
        operation_id=operation.operation_id,
        action=operation.action,
        status=operation.status,
        total=operation.total,
        done=operation.position - len(refusals),
        refused=len(refusals),
        refusals=refusals,
        created_at=operation.created_at,
        updated_at=operation.updated_at,
        finished_at=operation.finished_at,
        status_url=f"/operations/{operation.operation_id}",
    )


def _members_key(operation_id: str) -> str:
    return f"{operation_id}.members"


def _read_as(data: bytes) -> Operation | None:
    try:
        return Operation.model_validate_json(data)
    except ValidationError:
        return None  # deleted, or a later version's
