"""One carrier in the hands of its worker: calls go in, what it says is checked, and its time is limited.

A carrier may be in the hands of a hostile site. So what it says is bounded in size and number, it can change the memory
of its own job only and no name that the worker keeps to itself, and that the job must stop is believed of nobody but
the worker's own token.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import JsonValue

from shared.contract.jobs import Note
from shared.engine.carriers.confine import Account
from shared.engine.carriers.errors import (
    STOPS,
    BadCarrier,
    CarrierDied,
    CarrierOutOfMemory,
    SiteNotUnderstood,
    raised,
)
from shared.engine.carriers.forks import Child
from shared.engine.carriers.inside import NO_MEMORY
from shared.engine.carriers.memory import Shadow
from shared.engine.carriers.messages import (
    LARGEST,
    LARGEST_TO_CARRIER,
    LENGTH,
    Ack,
    Alive,
    Call,
    Called,
    Changes,
    Failed,
    Noted,
    Reported,
    Returned,
    Said,
    Saved,
    Start,
    Stop,
    read,
)
from shared.engine.carriers.surface import Unit
from shared.engine.carriers.watch import Clock, Deadlines
from shared.engine.token import StopToken
from shared.errors import JobError
from shared.log import get

log = get(__name__)

WATCH = 0.1
"""Seconds between two looks whether a job must stop."""
NOTES = 300
"""Notes one carrier may leave."""
PER_SECOND, BURST = 100.0, 400.0
"""Messages of a carrier: more are read later."""
BYTES_PER_SECOND, BYTES_BURST = 4e6, 3.0 * LARGEST
LAST_WORDS = 5.0
"""Seconds between the end of a pipe and the end of its process."""


class Keeper(Protocol):
    """What a carrier's worker knows of the job, and does for it."""

    command: Any
    token: StopToken

    @property
    def job_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def state(self) -> dict[str, Any]: ...
    @property
    def began(self) -> datetime | None: ...
    @property
    def secrets(self) -> Collection[str]: ...
    def report(
        self, done: int | None = None, total: int | None = None, unit: Unit | None = None, message: str | None = None
    ) -> None: ...
    def note(self, note: Note) -> None: ...
    def called(self, what: str, began: float, ended: float, *, failed: bool = False) -> None: ...
    def scrub(self, text: str) -> str: ...
    async def persist(self) -> None:
        """Make state, notes and progress durable. Raises LeaseLost."""


@dataclass(frozen=True)
class Recipe:
    """What a carrier is made of. `name` tells the carriers of one job apart."""

    name: str
    factory: Callable[..., Any]
    """Makes, in the carrier, the object its calls are about: `factory(context, *arguments)`."""
    arguments: tuple[Any, ...] = ()
    account: Account | None = None
    """None: one of nobody's, where we are root."""
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()
    """Names of the job's memory it neither sees nor changes."""
    told: Callable[[Reported], None] | None = None
    """Who hears how far it is; None: the job's running step."""


@dataclass
class _Running:
    """One call."""

    clock: Clock
    outcome: asyncio.Future[JsonValue] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Carrier:
    """A living one. Any number of calls at the same time."""

    def __init__(self, child: Child, recipe: Recipe, keeper: Keeper, deadlines: Deadlines) -> None:
        self.recipe = recipe
        self._child = child
        self._keeper = keeper
        self._deadlines = deadlines
        self._shadow = Shadow(recipe.kept)
        self._calls: dict[int, _Running] = {}
        self._number = 0
        self._token: StopToken | None = None
        self._until = 0.0
        self._stopped = ""
        self._notes = 0
        self._since = time.time()
        self._budget = _Budget()
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        self._end: Exception | None = None
        self._tasks = [
            asyncio.create_task(self._guarded(work()), name=f"carrier {recipe.name} of {keeper.job_id}")
            for work in (self._listen, self._write, self._watch)
        ]
        start = Start(keeper.job_id, keeper.command, keeper.attempt, recipe.factory, recipe.arguments)
        self._send(start)

    @property
    def alive(self) -> bool:
        """Whether it takes calls."""
        return self._end is None

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    async def call(self, function: Callable[..., Any], *arguments: Any) -> JsonValue:
        """Run `function(object, *arguments)` there and return what it returns: JSON, as somebody else's word.

        Raises what it raises, the errors of `carriers.errors`, and Cancelled, LeaseLost or Draining when the job must
        stop. Cancelled from outside, it ends the carrier.
        """
        if self._end is not None:
            raise self._end
        self._number += 1
        number = self._number
        running = self._calls[number] = _Running(Clock(time.monotonic()))
        self._tell_token()
        changed, gone = self._shadow.changes(self._keeper.state)
        secrets = tuple(self._keeper.secrets)
        try:
            self._send(Call(number, function, arguments, changed, tuple(gone), secrets))
            return await running.outcome
        except asyncio.CancelledError:
            self.end(CarrierDied("The process that read the site's data was stopped."))
            raise
        finally:
            self._calls.pop(number, None)

    def end(self, error: Exception) -> None:
        """Kill it; calls that run raise the error."""
        if self._end is None:
            self._end = error
            self._child.kill()
            for running in self._calls.values():
                if not running.outcome.done():
                    running.outcome.set_exception(error)

    async def close(self) -> None:
        """Kill it and wait until it is gone."""
        self.end(CarrierDied("The process that read the site's data was closed."))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._child.ended), LAST_WORDS)
        self._child.close()

    # --- hearing

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except (BadCarrier, ValueError, OSError, EOFError) as error:
            await self._died(error)
        except Exception as error:
            self.end(error)

    async def _listen(self) -> None:
        while True:
            (length,) = LENGTH.unpack(await self._exactly(LENGTH.size))
            if length > LARGEST:
                raise BadCarrier(f"a message of {length} bytes")
            body = await self._exactly(length)
            await self._budget.spend(length)
            await self._take(read(body))

    async def _exactly(self, size: int) -> bytes:
        loop, parts = asyncio.get_running_loop(), bytearray()
        while len(parts) < size:
            part = await loop.sock_recv(self._child.channel, min(size - len(parts), 1 << 16))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    async def _take(self, message: Any) -> None:
        if isinstance(message, Reported):
            self._reported(message)
        elif isinstance(message, Noted):
            self._notes += 1
            if self._notes <= NOTES:
                self._keeper.note(message.note())
        elif isinstance(message, Called):
            now = time.time()  # whatever it says, it was while this carrier lived
            ended = min(max(message.ended, self._since), now)
            began = min(max(message.began, self._since), ended)
            self._keeper.called(message.what, began, ended, failed=message.failed)
        elif isinstance(message, Saved):
            self._remember(message.changes)
            await self._keeper.persist()
            self._send(Ack(message.number))
        elif isinstance(message, Said):
            say = getattr(log, message.level)
            facts = {name: self._keeper.scrub(text) for name, text in message.facts.items()}
            say(self._keeper.scrub(message.event), job=self._keeper.job_id, carrier=self.recipe.name, told=facts)
        else:
            self._ended(message)

    def _reported(self, message: Reported) -> None:
        running = self._calls.get(message.call)
        if running is None:
            return
        running.clock.moved(time.monotonic(), message.done, message.moves)
        if self.recipe.told is not None:
            self.recipe.told(message)
        else:
            self._keeper.report(message.done, message.total, message.unit, message.message)

    def _ended(self, message: Returned | Failed) -> None:
        running = self._calls.get(message.call)
        if running is None or running.outcome.done():
            raise BadCarrier("the end of a call that does not run")
        self._remember(message.changes)
        if isinstance(message, Returned):
            running.outcome.set_result(message.value)
            return
        error = raised(message.fault)
        if isinstance(error, SiteNotUnderstood):
            trace = self._keeper.scrub(message.fault.trace)
            log.error("a site was not understood", job=self._keeper.job_id, carrier=self.recipe.name, told=trace)
        if isinstance(error, tuple(STOPS.values())) and self._keeper.token.reason is None:
            error = CarrierDied("The process that read the site's data stopped without being told to.")
        running.outcome.set_exception(error)
        if isinstance(error, CarrierOutOfMemory):
            self.end(error)  # what it holds would be in the way of whatever comes next

    def _remember(self, changes: Changes) -> None:
        try:
            self._shadow.apply(self._keeper.state, changes.set, changes.drop)
        except ValueError as error:
            raise BadCarrier(str(error)) from error

    # --- telling

    def _send(self, message: Any) -> None:
        body = pickle.dumps(message)
        if len(body) > LARGEST_TO_CARRIER:
            raise ValueError(f"a message of {len(body)} bytes for a carrier")
        self._outgoing.put_nowait(LENGTH.pack(len(body)) + body)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await loop.sock_sendall(self._child.channel, await self._outgoing.get())

    async def _watch(self) -> None:
        """Hand on that the job must stop, and stop what does not advance or takes too long."""
        while True:
            await asyncio.wait({self._child.ended}, timeout=WATCH)
            if self._child.ended.done():
                await asyncio.sleep(0.2)  # its last words may still be in the pipe
                raise EOFError
            self._tell_token()
            for running in list(self._calls.values()):
                late = self._deadlines.missed(running.clock, time.monotonic(), self._keeper.began)
                if late is not None:
                    log.warning("a carrier is stopped", job=self._keeper.job_id, reason=late.code)
                    self.end(late)
                    return

    def _tell_token(self) -> None:
        token = self._keeper.token
        if token is not self._token:
            self._token, self._until, self._stopped = token, token.deadline, ""
            self._send(Alive(token.deadline, fresh=True))
        elif token.deadline != self._until:
            self._until = token.deadline
            self._send(Alive(token.deadline))
        reason = token.reason
        if reason is not None and reason.code != self._stopped:
            self._stopped = reason.code
            self._send(Stop(reason.code))

    # --- its end

    async def _died(self, error: Exception) -> None:
        if self._end is not None:
            return
        if isinstance(error, BadCarrier | ValueError):
            log.error("a carrier broke the rules", job=self._keeper.job_id, error=str(error)[:300])
            self.end(CarrierDied("The process that read the site's data broke the rules and was stopped."))
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._child.ended), LAST_WORDS)
        status = self._child.ended.result() if self._child.ended.done() else signal.SIGKILL
        self.end(_obituary(status))


def _obituary(status: int) -> JobError:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return CarrierDied(f"The process that read the site's data was ended by {name}.", signal=name)
    code = os.WEXITSTATUS(status)
    if code == NO_MEMORY:
        return CarrierOutOfMemory()
    return CarrierDied(f"The process that read the site's data ended by itself (exit status {code}).", status=code)


class _Budget:
    """How much of a carrier's talk is listened to now; the rest waits in its pipe, and the carrier with it."""

    def __init__(self) -> None:
        self._messages, self._bytes, self._at = BURST, BYTES_BURST, time.monotonic()

    async def spend(self, size: int) -> None:
        """One message of so many bytes was read."""
        now = time.monotonic()
        past, self._at = now - self._at, now
        self._messages = min(BURST, self._messages + past * PER_SECOND) - 1
        self._bytes = min(BYTES_BURST, self._bytes + past * BYTES_PER_SECOND) - size
        short = max(-self._messages / PER_SECOND, -self._bytes / BYTES_PER_SECOND)
        if short > 0:
            await asyncio.sleep(short)
