"""Following jobs over the live WebSocket: each change at once, resumed where it broke off, polled where refused."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from siteferry.cli.client import Api, CliError, Exit, Unreachable
from siteferry.cli.render import Json

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection
    from websockets.typing import Subprotocol

SUBPROTOCOL = "siteferry.v1"
READY_WITHIN = 2.5
"""Seconds until the server must have said it is ready; WebSockets may be blocked on the way."""
BEAT = 15.0
"""Seconds of silence after which we ask whether anybody is there; after as many again nobody is."""
LIST = "jobs"
MESSAGE_MOST = 16 * 1024 * 1024
UNAUTHENTICATED = 4401
FORBIDDEN_CODES = range(4400, 4500)


class Refused(Exception):
    """There is no live connection to be had here."""


class Lost(Exception):
    """The connection broke; another one may do. `wait`: seconds the server asked for."""

    def __init__(self, wait: float | None = None) -> None:
        super().__init__()
        self.wait = wait


@dataclass
class Cursor:
    """How far a job is known."""

    seq: int
    n: int
    epoch: str


@dataclass
class Line:
    """One connection: what is watched on it and how far each job is known. Cursors outlive the connection."""

    api: Api
    cursors: dict[str, Cursor] = field(default_factory=dict)
    ready: bool = False
    """Whether a connection was ever had."""
    _socket: ClientConnection | None = None
    _most: int = 50
    _watched: set[str] = field(default_factory=set)
    _waiting: deque[str] = field(default_factory=deque)
    _retry_in: float | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """A connection for the length of the block. Raises Refused, Lost, CliError; Lost also when it breaks within."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
        from websockets.sync.client import connect

        self._watched.clear()
        self._waiting.clear()
        self._retry_in = None
        try:
            with connect(
                self._url(),
                subprotocols=self._subprotocols(),
                open_timeout=READY_WITHIN,
                close_timeout=1,
                max_size=MESSAGE_MOST,
                compression=None,
                proxy=None,
            ) as self._socket:
                self._say(type="hello", v=1)
                hello = self._receive(READY_WITHIN)
                if hello is None or hello["type"] != "ready":
                    raise Refused
                self._most, self.ready = hello["max_subs"], True
                yield
        except ConnectionClosed as closed:
            raise self._ended(closed) from None
        except InvalidStatus as refused:
            raise Lost if refused.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else Refused from None
        except (InvalidHandshake, InvalidURI, ValueError, TypeError, LookupError):  # the last ones: it speaks otherwise
            raise Refused from None
        except OSError:  # a TimeoutError is one
            raise (Lost if self.ready else Refused) from None
        finally:
            self._socket = None

    def watch(self, job_id: str) -> None:
        """Ask for a job's changes, or as soon as there is room."""
        if job_id in self._watched or job_id in self._waiting:
            return
        if len(self._watched) >= self._most - 1:  # one is for the list
            self._waiting.append(job_id)
            return
        self._watched.add(job_id)
        cursor = self.cursors.get(job_id)
        after = {"after": {"seq": cursor.seq, "epoch": cursor.epoch}} if cursor else {}
        self._say(type="sub", id=job_id, job=job_id, **after)

    def watch_list(self) -> None:
        """Ask for every job's changes, in short."""
        self._say(type="sub", id=LIST, list="jobs")

    def leave(self, job_id: str) -> None:
        """A job's changes matter no more."""
        if job_id in self._watched:
            self._watched.discard(job_id)
            self._say(type="unsub", id=job_id)
        if self._waiting and len(self._watched) < self._most - 1:
            self.watch(self._waiting.popleft())

    def next(self, timeout: float) -> Json | None:
        """The next frame that says something; None after `timeout` seconds, or when one said nothing new.

        Raises Lost and what closing the connection raises.
        """
        frame = self._receive(min(timeout, BEAT))
        if frame is None:
            if timeout >= BEAT:
                self._ask_for_life()
            return None
        if frame["type"] == "bye":
            self._retry_in = frame["reconnect_ms"] / 1000
        elif frame["type"] in ("snap", "ev") and frame["id"] != LIST:
            return frame if self._follows(frame) else None
        elif frame["type"] == "err":
            if frame["code"] == "not_found":
                raise CliError(frame["message"], hint="siteferry jobs lists them.")
            raise Lost
        return frame

    def _follows(self, frame: Json) -> bool:
        job_id, known = frame["id"], self.cursors.get(frame["id"])
        if frame["type"] == "snap":
            self.cursors[job_id] = Cursor(frame["seq"], frame["n"], frame["epoch"])
            return True
        if known is None or frame["seq"] <= known.seq:
            return False
        if frame["n"] - frame.get("merged", 0) > known.n + 1:  # something is missing in between
            del self.cursors[job_id]
            self._watched.discard(job_id)
            self._say(type="unsub", id=job_id)
            self.watch(job_id)
            return False
        known.seq, known.n = frame["seq"], frame["n"]
        return True

    def _ask_for_life(self) -> None:
        self._say(type="ping", k=1)
        if self._receive(BEAT) is None:
            raise Lost

    def _say(self, **frame: Any) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps(frame))

    def _receive(self, timeout: float) -> Json | None:
        assert self._socket is not None
        try:
            frame: Json = json.loads(self._socket.recv(timeout=timeout))
        except TimeoutError:
            return None
        return frame

    def _ended(self, closed: ConnectionClosed) -> Exception:
        code = closed.rcvd.code if closed.rcvd is not None else 0
        if code == UNAUTHENTICATED:
            if self.ready and self.api.api_key:
                return Lost(0.0)  # with a new ticket, which fails when the key was taken away
            hint = "Give a key with --api-key or SITEFERRY_API_KEY."
            return CliError("Watching needs a valid API key.", hint=hint, code=Exit.UNREACHABLE)
        return Refused() if code in FORBIDDEN_CODES else Lost(self._retry_in)

    def _url(self) -> str:
        return "ws" + self.api.url.removeprefix("http") + "/ws"

    def _subprotocols(self) -> list[Subprotocol]:
        from websockets.typing import Subprotocol

        if not self.api.api_key:
            return [Subprotocol(SUBPROTOCOL)]
        try:
            ticket = self.api.post("/tickets", {})["ticket"]
        except Unreachable as error:
            if error.hint and "--api-key" in error.hint:
                raise
            raise Lost from None
        return [Subprotocol(SUBPROTOCOL), Subprotocol(f"ticket.{ticket}")]


def pause(tries: int, asked: float | None) -> None:
    """Wait before the next try: as long as the server asked, else longer each time, with full jitter."""
    time.sleep(asked if asked is not None else min(5.0, random.uniform(0.1, 0.3 * 2 ** min(tries, 5))))
