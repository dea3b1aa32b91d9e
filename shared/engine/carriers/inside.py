"""A carrier from inside: it reads calls from the pipe, runs each in a thread, and tells what becomes of them.

Nothing here knows NATS, the vault or the environment; what a step needs of its job is on `Inside`, which looks like
the engine's `JobContext` to it.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from shared.contract.jobs import Note
from shared.engine.carriers.errors import STOPS, fault
from shared.engine.carriers.memory import Shadow
from shared.engine.carriers.messages import (
    LENGTH,
    Ack,
    Alive,
    Bounded,
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
    written,
)
from shared.engine.carriers.shelf import Shelf
from shared.engine.carriers.surface import Unit
from shared.engine.scrub import SHORTEST, scrubbed
from shared.engine.token import StopToken
from shared.errors import LeaseLost

INTERVAL = 0.1
"""Seconds between two messages about how far a call is."""
STACK = 1 << 20
"""Bytes of a thread's stack, which count as memory."""
SWITCH_INTERVAL = 0.0003
"""Seconds a thread may keep the interpreter when another one wants it."""
SAMPLES = 200
NO_MEMORY = 77
"""Exit status of a carrier that could not even say that its memory is used up."""
BALLAST = 1 << 20
"""Bytes let go of when memory is used up, to say so."""


class Wire:
    """The pipe to the worker. Writing is for all threads, reading for one."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._writing = threading.Lock()

    def send(self, message: Bounded) -> None:
        """Send one message."""
        frame = written(message)
        with self._writing:
            self._channel.sendall(frame)

    def receive(self) -> Any:
        """The next message. Raises EOFError when the worker is gone."""
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        return pickle.loads(self._exactly(length))  # noqa: S301  # from our own worker

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._channel.recv(size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class Inside:
    """What a step in a carrier sees of its job."""

    def __init__(self, wire: Wire, start: Start, shelf: Shelf) -> None:
        self.command = start.command
        self.job_id = start.job_id
        self.attempt = start.attempt
        self.state: dict[str, Any] = {}
        self.token = StopToken()
        self.shelf = shelf
        self._shadow = Shadow()
        self._wire = wire
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._acks: dict[int, threading.Event] = {}
        self._saved = 0
        self._pending: dict[str, Any] = {}
        self._moves = 0
        self._local = threading.local()
        self.latest = 0
        self._secrets: set[str] = set()
        self._ballast = bytes(BALLAST)

    def report(
        self,
        done: int | None = None,
        total: int | None = None,
        unit: Unit | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the running step is; cheap, a few a second are sent."""
        with self._lock:
            pending = self._pending
            if not pending:
                pending["call"] = getattr(self._local, "call", self.latest)
            if done is not None:
                pending["done"] = done
            if total is not None:
                pending["total"] = total
            if unit is not None:
                pending["unit"] = unit
            if message is not None:
                pending["message"] = message

    def moved(self, count: int = 1) -> None:
        """Something new came from the site that no number of `report` shows."""
        self._moves += count

    def note(self, note: Note) -> None:
        """Something for the result's notes."""
        message, samples = note.message[:4000], [sample[:500] for sample in note.samples[:SAMPLES]]
        self._wire.send(Noted(code=note.code[:100] or "note", message=message, count=note.count, samples=samples))

    def called(self, what: str, began: float, ended: float, *, failed: bool = False) -> None:
        """A call of the connector that is over, for the trace."""
        self._wire.send(Called(what=what, began=began, ended=ended, failed=failed))

    def save(self) -> None:
        """Make `state` durable. Raises Cancelled, LeaseLost or Draining when the job must stop."""
        self.flush()
        with self._saving:
            self._saved += 1
            number = self._saved
            durable = self._acks[number] = threading.Event()
            self._wire.send(Saved(number=number, changes=self._changes()))
        durable.wait()
        self.token.check()

    def scrub(self, text: str) -> str:
        """The text without the secrets this carrier has seen."""
        return scrubbed(text, self._secrets)

    def flush(self) -> None:
        """Send what was last reported."""
        with self._lock:
            pending, self._pending = self._pending, {}
            moves, self._moves = self._moves, 0
        if pending or moves:
            self._wire.send(Reported.model_construct(**{"call": self.latest, **pending, "moves": moves}))

    # --- the engine's side

    def _changes(self) -> Changes:
        """What changed in the job's memory since the worker last knew; to be sent before anybody else asks."""
        changed, gone = self._shadow.changes(self.state)
        return Changes(set=changed, drop=gone)

    def learn(self, call: Call) -> None:
        """What the worker says with a call."""
        self.latest = call.number
        self._secrets |= {secret for secret in call.secrets if len(secret) >= SHORTEST}
        with self._saving:
            self._shadow.apply(self.state, call.changes, call.dropped)

    def hear(self, message: Ack | Alive | Stop) -> None:
        """What the worker says meanwhile."""
        if isinstance(message, Ack):
            self._acks.pop(message.number).set()
        elif isinstance(message, Alive):
            if message.fresh:
                self.token = StopToken()
            self.token.alive_until(message.until)
        else:
            self.token.stop(STOPS[message.reason])
            if STOPS[message.reason] is LeaseLost:
                for waiting in list(self._acks.values()):
                    waiting.set()

    def run(self, call: Call, subject: Any) -> None:
        """Run one call to its end and tell it."""
        self._local.call = call.number
        try:
            value: JsonValue = json.loads(json.dumps(call.function(subject, *call.arguments)))
            self.flush()
            with self._saving:
                self._wire.send(Returned(call=call.number, value=value, changes=self._changes()))
        except BaseException as error:
            try:
                self._ballast = b""
                if isinstance(error, MemoryError):
                    traceback.clear_frames(error.__traceback__)  # they hold what there was no room for
                self.fail(call.number, error)
            except MemoryError:
                os._exit(NO_MEMORY)

    def fail(self, number: int, error: BaseException) -> None:
        """Tell how a call failed."""
        told = fault(error)
        told.trace = self.scrub(told.trace)
        try:
            self.flush()
            with self._saving:
                try:
                    changes = self._changes()
                except (TypeError, ValueError, MemoryError):
                    changes = Changes()
                self._wire.send(Failed(call=number, fault=told, changes=changes))
        except OSError:
            os._exit(0)  # nobody is left to tell


class Logger:
    """What structlog writes to in a carrier: lines for the worker's log."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def say(self, level: str, event: str, facts: dict[str, Any]) -> None:
        """One line."""
        told = {str(name)[:100]: str(value)[:500] for name, value in list(facts.items())[:20]}
        self._wire.send(Said(level=level, event=str(event)[:500], facts=told))


def main(channel: socket.socket, shelf: Shelf, log_to: Callable[[Logger], None]) -> None:
    """Serve one worker until it closes the pipe. Does not return before."""
    threading.stack_size(STACK)
    sys.setswitchinterval(SWITCH_INTERVAL)
    wire = Wire(channel)
    log_to(Logger(wire))
    try:
        _serve(wire, shelf)
    except (EOFError, MemoryError):
        raise
    except BaseException:
        wire.send(Said(level="error", event=traceback.format_exc()[-500:]))
        raise


def _serve(wire: Wire, shelf: Shelf) -> None:
    start = wire.receive()
    inside = Inside(wire, start, shelf)
    threading.Thread(target=_tell_regularly, args=(inside,), daemon=True, name="reports").start()
    subject: Any = None
    while True:
        message = wire.receive()
        if not isinstance(message, Call):
            inside.hear(message)
            continue
        inside.learn(message)
        try:
            subject = start.factory(inside, *start.arguments) if subject is None else subject
        except BaseException as error:
            inside.fail(message.number, error)
            continue
        threading.Thread(target=inside.run, args=(message, subject), daemon=True, name=f"call {message.number}").start()


def _tell_regularly(inside: Inside) -> None:
    while True:
        time.sleep(INTERVAL)
        try:
            inside.flush()
        except OSError:
            return
