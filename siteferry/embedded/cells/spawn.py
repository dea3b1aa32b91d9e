"""Starting a process and hearing of its end without a thread: the kernel ties cells to the thread that made them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Process:
    """A child in a process group of its own."""

    def __init__(self, pid: int, ended: Callable[[int], None]) -> None:
        """`ended` is called once, with the exit status."""
        self.pid = pid
        self._ended = ended
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    @classmethod
    def start(
        cls, argv: Sequence[str], *, files: Mapping[int, int], ended: Callable[[int], None], cwd: str = "/"
    ) -> Process:
        """Start a program with `files` (its number -> ours) open and nothing else. Raises OSError."""
        actions = [(os.POSIX_SPAWN_DUP2, ours, number) for number, ours in files.items()]
        pid = os.posix_spawnp(argv[0], list(argv), ENVIRONMENT, file_actions=actions, setpgroup=0)
        return cls(pid, ended)

    def kill(self) -> None:
        """SIGKILL to the group; bubblewrap takes everything of the cell with it."""
        for end in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                end(self.pid, signal.SIGKILL)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self._ended(os.waitstatus_to_exitcode(status))


def reserve_low_numbers(below: int = 16) -> None:
    """Keep the low file descriptors taken: children get theirs there, so ours must not be among them."""
    while (number := os.open("/dev/null", os.O_RDONLY)) < below:
        pass
    os.close(number)
