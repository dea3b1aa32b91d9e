"""Processes of ours beside a cell, each for one clone and one purpose, reached by a socket that is seen in the cell.

The socket is held by the launcher; a process that serves it is forked when somebody in the cell connects, takes the
clone's account, gives up every right but those it names, and ends when nobody has asked for a while.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.engine.carriers import landlock, seccomp
from shared.engine.carriers.confine import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl, runtime
from siteferry.embedded.cells.sandbox import Account
from siteferry.embedded.cells.spawn import Process

IDLE_SECONDS = 30.0
"""Without a connection for so long a helper ends."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Duty:
    """What a helper does, and with which rights."""

    name: str
    """For the log."""
    prepare: Callable[[], Talk]
    """Called before rights are given up; what it gives back is called for each connection."""
    writable: tuple[str, ...] = ()
    """Folders it writes to."""
    file_bytes: int = 0
    """Bytes of the largest file it may write."""
    most: int = 16
    """Connections at the same time."""


class Helper:
    """Holds one socket and the process that serves it while it is needed."""

    def __init__(self, path: Path, account: Account, duty: Callable[[], Duty], *, backlog: int = 16) -> None:
        """`duty` is asked each time a process is made."""
        self._account, self._duty = account, duty
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, account.uid, account.gid)
        self._socket.listen(backlog)
        self._socket.setblocking(False)
        self._process: Process | None = None
        self._gone = asyncio.Event()
        self._closed = False
        self._watch()

    async def close(self) -> None:
        """End the process and give the socket up."""
        self._closed = True
        asyncio.get_running_loop().remove_reader(self._socket)
        if self._process:
            self._process.kill()
            await self._gone.wait()
        self._socket.close()

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._asked)

    def _asked(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        duty = self._duty()
        pid = os.fork()
        if pid == 0:
            _serve_in_child(self._socket, duty, self._account)
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._process = Process(pid, self._ended)

    def _ended(self, _code: int) -> None:
        self._process = None
        self._gone.set()
        if not self._closed:
            self._gone = asyncio.Event()
            self._watch()


def _serve_in_child(listener: socket.socket, duty: Duty, account: Account) -> None:
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        asyncio.events._set_running_loop(None)
        keep = listener.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, 65536)
        talk = duty.prepare()
        _give_up_rights(account, duty)
        asyncio.run(_serve(listener, talk, duty.most))
        code = 0
    except BaseException as error:
        print(f"{duty.name} ended: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(code)


def _give_up_rights(account: Account, duty: Duty) -> None:
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (duty.file_bytes, duty.file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    rules = landlock.prepare(readable=runtime(), writable=duty.writable)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1 and os.getpid() != 1:
        raise OSError("the launcher has ended")
    landlock.enforce(rules)
    seccomp.restrict()


async def _serve(listener: socket.socket, talk: Talk, most: int) -> None:
    open_now = 0
    changed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        changed.set()
        try:
            if open_now <= most:
                await talk(reader, writer)
        except (OSError, EOFError, ValueError, TimeoutError):
            pass  # whoever asked is gone or does not speak the protocol
        finally:
            open_now -= 1
            changed.set()
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=listener, limit=65536)
    while True:
        changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), IDLE_SECONDS)
            continue
        if not open_now:
            server.close()
            return
