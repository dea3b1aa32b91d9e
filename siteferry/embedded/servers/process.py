"""Run one server synchronously: for tests, the demo and anything else that needs no supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from siteferry.embedded.servers.base import Server, ServerError

S = TypeVar("S", bound=Server)
TAIL = 4000
"""Bytes of the log shown when a server does not come up."""


class ServerProcess:
    """A started server, in a process group of its own that ends when this process ends.

    The kernel ties it to the *thread* that started it: start servers from a thread that lives as long as they shall.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        server.prepare()
        self._log = open(server.log_file, "ab")
        self.popen = subprocess.Popen(
            server.command(),
            env=server.env(),
            cwd=server.directory,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait_ready(self, timeout: float | None = None) -> None:
        """Raises `ServerError` with the end of the log; the process is gone then."""
        try:
            self.server.wait_ready(timeout, alive=self.alive)
        except ServerError as error:
            self.kill()
            raise ServerError(f"{error}. Its last words:\n{log_tail(self.server.log_file)}") from None

    def stop(self, timeout: float | None = None) -> int:
        """Stop in order, by force after the deadline. Returns the exit code (negative: the signal)."""
        if self.alive():
            self.popen.send_signal(self.server.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout or self.server.stop_timeout)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the whole group: also to what a dead master left behind."""
        kill_group(self.popen.pid)
        code = self.popen.wait()
        self._log.close()
        return code


def kill_group(pgid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process group; one that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)


def log_tail(path: Path, size: int = TAIL) -> str:
    """The end of a log file, whole lines."""
    try:
        text = path.read_bytes()[-size:].decode(errors="replace")
    except OSError:
        return "(no log)"
    return text.strip() or "(it said nothing)"


def start(server: Server, *, timeout: float | None = None) -> ServerProcess:
    """Prepare, start and wait until ready. Raises `ServerError` with the end of the log."""
    process = ServerProcess(server)
    process.wait_ready(timeout)
    return process


@contextmanager
def running(server: S, *, timeout: float | None = None) -> Iterator[S]:
    """`with running(server) as server:` - ready inside, stopped and gone afterwards."""
    process = start(server, timeout=timeout)
    try:
        yield server
    finally:
        process.stop()
