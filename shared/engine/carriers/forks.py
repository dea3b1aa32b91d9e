"""The worker's side of the fork-server: started before anything else, asked for carriers, started again if it dies."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from shared.engine.carriers.confine import Confinement
from shared.engine.carriers.errors import CarrierDied
from shared.engine.carriers.server import REQUEST, Ended, Fork, Forked
from shared.engine.carriers.shelf import Shelf
from shared.log import get

log = get(__name__)

OURS = ("SITEFERRY_OWN_PORTS", "SITEFERRY_EDGE_URL", "SITEFERRY_LOCALHOST")
"""Where our own servers are, which carriers keep off, and where localhost is."""
PASSED_ON = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LANG", "LC_ALL", "TZ", *OURS)
"""What the fork-server needs to load Python and certificates, and OURS; it forgets it before it forks."""
PATIENCE = 90.0
"""Seconds until the first carrier is there, on a machine that has much to do."""


@dataclass
class Child:
    """A carrier's process."""

    pid: int
    channel: socket.socket
    pidfd: int
    ended: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """How it ended, as of waitpid(2); SIGKILL when nobody is left who could say."""

    def kill(self) -> None:
        """End it at once."""
        if self.pidfd >= 0 and not self.ended.done():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of our ends. A process that still lives sees that nobody listens, and ends."""
        self.channel.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class ForkServer:
    """Forks carriers that have `modules` loaded. Make it in the main thread, before there are others; then use it from
    the event loop only."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[Child]] = {}
        self._channels: dict[int, socket.socket] = {}
        self._children: dict[int, Child] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that listens."""
        self._start()

    @property
    def pid(self) -> int:
        """The fork-server's process."""
        return self._process.pid

    async def fork(self, limits: Confinement, shelf: Shelf) -> Child:
        """A new carrier. Raises CarrierDied when there can be none."""
        self._attend()
        self._numbers += 1
        number = self._numbers
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._channels[number] = ours
        try:
            with theirs:
                message = pickle.dumps(Fork(number, limits))
                socket.send_fds(self._control, [message], [theirs.fileno(), shelf.descriptor])
            return await asyncio.wait_for(asyncio.shield(waiting), PATIENCE)
        except (OSError, TimeoutError) as error:
            raise CarrierDied("No process could be made for the site's data.") from error
        finally:
            if not waiting.done() or waiting.cancelled() or waiting.exception() is not None:
                self._channels.pop(number, ours).close()
                self._waiting.pop(number, None)

    def close(self) -> None:
        """End it and every carrier."""
        self._stop_reading()
        self._control.close()
        self._process.kill()
        self._process.wait()
        self._lost()

    # --- the process

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, REQUEST)
        ours.setblocking(False)
        with theirs:
            command = ("-P", "-m", "shared.engine.carriers.server", str(theirs.fileno()), str(os.getpid()))
            self._process = subprocess.Popen(
                [sys.executable, *command, *self._modules],
                pass_fds=(theirs.fileno(),),
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
                | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control = ours

    def _attend(self) -> None:
        """Listen, to a new one when the old one is gone."""
        if self._process.poll() is not None:
            log.warning("the fork-server is started again", ended=self._process.returncode)
            self._stop_reading()
            self._control.close()
            self._lost()
            self._start()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._stop_reading()
            loop.add_reader(self._control, self._hear)
            self._loop = loop

    def _stop_reading(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._control)
        self._loop = None

    def _hear(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._stop_reading()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)  # its end is seen a moment before it can be waited for
            self._lost()
            return
        message: Any = pickle.loads(data)  # noqa: S301  # from our own process
        if isinstance(message, Forked):
            self._born(message, descriptors)
        elif isinstance(message, Ended) and (child := self._children.pop(message.number, None)):
            if not child.ended.done():
                child.ended.set_result(message.status)

    def _born(self, message: Forked, descriptors: list[int]) -> None:
        waiting, channel = self._waiting.pop(message.number, None), self._channels.pop(message.number, None)
        if waiting is None or channel is None or waiting.done():
            for descriptor in descriptors:
                os.close(descriptor)
            return  # nobody waits any more; the carrier sees its pipe closed
        if message.error:
            channel.close()
            waiting.set_exception(CarrierDied(f"No process could be made for the site's data ({message.error})."))
            return
        child = Child(message.pid, channel, descriptors[0])
        self._children[message.number] = child
        waiting.set_result(child)

    def _lost(self) -> None:
        """It is gone, and with it every carrier."""
        for child in self._children.values():
            if not child.ended.done():
                child.ended.set_result(signal.SIGKILL)
        self._children.clear()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(CarrierDied("The process that makes processes for sites' data ended."))
        self._waiting.clear()
        self._channels.clear()
