"""What a step sees of its job."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar

from pydantic import JsonValue

from shared import tracing
from shared.bus.connection import Bus
from shared.contract.events import Command
from shared.contract.jobs import Note, Step
from shared.contract.subjects import Kind, Lane
from shared.engine.carriers.pool import Carriers, JobCarriers, Maker
from shared.engine.carriers.surface import Unit
from shared.engine.checkpoint import Checkpoint, CheckpointStore, frozen
from shared.engine.scrub import SHORTEST, scrubbed, secrets_of
from shared.engine.token import StopToken
from shared.secrets.vault import Vault

Claim = Callable[[int, Callable[[], Awaitable[int]] | None], Awaitable[None]]
P = ParamSpec("P")
T = TypeVar("T")


class Belonging(Protocol):
    """What a workflow keeps of a job while this worker has it, and nobody else may ever see."""

    async def close(self) -> None:
        """Leave nothing behind, in memory or on disk."""


B = TypeVar("B", bound=Belonging)


class JobContext:
    """One job in the hands of this worker. Everything a step needs to survive must be in `state`."""

    def __init__(
        self,
        *,
        command: Command,
        checkpoint: Checkpoint,
        store: CheckpointStore,
        token: StopToken,
        bus: Bus,
        vault: Vault,
        threads: Executor | None = None,
        carriers: Carriers | None = None,
        claim: Claim | None = None,
    ) -> None:
        self.command = command
        self.bus = bus
        self.vault = vault
        self.token = token
        """Tells when to stop. Blocking code in threads asks it; removals get a fresh one."""
        self._checkpoint = checkpoint
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._carriers = None if carriers is None else JobCarriers(carriers, self)
        self._claim = claim
        self._belongings: dict[type, Belonging] = {}
        self._secrets: set[str] = set()
        self._noting = threading.Lock()
        self.current: Step | None = None
        """The running step; owned by the engine."""
        self.dirty = False
        """Whether progress changed since the last event; owned by the engine."""
        self.trace = self.step_trace = ""
        """`traceparent` of the attempt and of its running step; owned by the engine."""

    @property
    def job_id(self) -> str:
        return self.command.job_id

    @property
    def kind(self) -> Kind:
        return self.command.kind

    @property
    def lane(self) -> Lane:
        return self.command.lane

    @property
    def attempt(self) -> int:
        """1 for the first; grows with every retry, not with crashes or moves to another worker."""
        return self._checkpoint.attempt

    @property
    def fence(self) -> int:
        """Grows with every worker that takes the job over."""
        return self._checkpoint.fence

    @property
    def began(self) -> datetime | None:
        """When the job's first attempt began."""
        return self._checkpoint.started_at

    @property
    def secrets(self) -> frozenset[str]:
        """Values that may not appear in any text."""
        return frozenset(self._secrets)

    @property
    def state(self) -> dict[str, Any]:
        """JSON-able, the job's memory: as it was at the last checkpoint after a crash. Never secrets in clear."""
        return self._checkpoint.state

    @property
    def notes(self) -> list[Note]:
        """What the result will tell beside its numbers."""
        return self._checkpoint.notes

    async def secret(self) -> dict[str, Any]:
        """The job's credentials. Raises SecretGone when they have expired."""
        secret = await self.vault.get(self.command.secret_ref)
        self._secrets |= secrets_of(secret)
        return secret

    def scrub(self, text: str) -> str:
        """The text without the secrets this job has seen: the last guard before a log or an event."""
        return scrubbed(text, self._secrets)

    async def checkpoint(self) -> None:
        """Make `state`, notes and progress durable.

        Raises LeaseLost, Cancelled or Draining when the job must stop; what is durable then stays so.
        """
        await self._store.write(self._checkpoint)
        self.token.check()

    def save(self) -> None:
        """`checkpoint` for worker threads: blocks until durable. Raises like it."""
        state = frozen(self.state)  # here: as this thread left it
        writing = asyncio.run_coroutine_threadsafe(self._store.write(self._checkpoint, state=state), self._loop)
        writing.result()
        self.token.check()

    async def persist(self) -> None:
        """`checkpoint`, for a carrier that waits for it: whether the job must stop is told to it by its token."""
        await self._store.write(self._checkpoint)

    async def claim(self, needed: int, free: Callable[[], Awaitable[int]] | None = None) -> None:
        """Keep so many bytes of the disk for this job until it ends, against what other jobs have claimed.

        `free` tells how many bytes there are; without it the job has claimed them before. Raises NoSpace, which is
        waiting: others will have written theirs.
        """
        if self._claim is not None:
            await self._claim(needed, free)

    async def confined(self, name: str, make: Maker, function: Callable[..., Any], *args: Any) -> JsonValue:
        """Run `function(object, *args)` in the job's carrier of that name: whatever reads what a site sent.

        `make` says what the carrier is made of, when there is none. What the function returns is JSON and somebody
        else's word: check it before you believe it. Raises what it raises, and the errors of `carriers.errors`.
        """
        assert self._carriers is not None, "a worker without carriers reads nothing a site sent"
        return await self._carriers.call(name, make, function, *args)

    @property
    def carriers(self) -> frozenset[str]:
        """Names of the job's carriers that live."""
        return frozenset() if self._carriers is None else self._carriers.living

    def belonging(self, kind: type[B]) -> B:
        """The job's own object of that class: made when first asked for, closed when this worker lets go of the job."""
        found = self._belongings.get(kind)
        if not isinstance(found, kind):
            found = self._belongings[kind] = kind()
        return found

    async def release(self, *names: str) -> None:
        """End carriers of the job, by name; or all of them, and close what belongs to it."""
        if self._carriers is not None:
            await self._carriers.close(*names)
        if not names:
            while self._belongings:
                await self._belongings.popitem()[1].close()

    def hide(self, *values: str) -> None:
        """Values that may not appear in any text of this job from now on."""
        self._secrets |= {value for value in values if len(value) >= SHORTEST}

    async def blocking(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking code in a thread, and never leave it behind: a cancelled task waits until it has ended."""
        work = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        running: asyncio.Future[T] = self._loop.run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    def called(self, what: str, began: float, ended: float, *, failed: bool = False) -> None:
        """A call of the connector that is over, for the trace: its operation, Unix seconds. Thread-safe and cheap."""
        tracing.tell(
            f"connector {what}",
            tracing.continued(self.step_trace),
            below=self.step_trace,
            began=began,
            ended=ended,
            role="client",
            error="failed" if failed else "",
            siteferry__job=self.job_id,
        )

    def report(
        self,
        done: int | None = None,
        total: int | None = None,
        unit: Unit | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the running step is. Thread-safe and cheap; the engine publishes a few a second."""
        step = self.current
        if step is None:
            return
        if total is not None:
            step.total = total
        if done is not None:
            step.done = done
        if unit is not None:
            step.unit = unit
        if message is not None:
            step.message = message
        self.dirty = True

    def note(self, note: Note) -> None:
        """Something for the result's notes. A second one with the same code replaces the first. Thread-safe."""
        with self._noting:
            kept = [known for known in self._checkpoint.notes if known.code != note.code]
            self._checkpoint.notes = [*kept, note]
