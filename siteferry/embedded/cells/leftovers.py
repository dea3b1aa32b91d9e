"""Processes of a launcher that was killed: what of its cells is still there when the next one starts.

A cell is told to end with its launcher, but a process that is being made in that moment has not heard of it yet. It
would go on as nobody's: with a visitor in the queue of its socket, and an edge that keeps its connections to it.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from siteferry.embedded.cells.usage import sockets_below

PATIENCE = 5.0
"""Seconds they get to be gone."""
LOOK_EVERY = 0.05


def end_leftovers(*folders: str) -> set[int]:
    """Kill every other process that has a unix socket made below one of the folders, listening or accepted; which."""
    ended: set[int] = set()
    deadline = time.monotonic() + PATIENCE
    while (left := _holders(sockets_below(*folders))) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= left
        time.sleep(LOOK_EVERY)
    return ended


def _holders(inodes: frozenset[str]) -> set[int]:
    """Processes but ourselves that hold one of these sockets."""
    if not inodes:
        return set()
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid() and wanted & _open(process / "fd"):
            found.add(int(process.name))
    return found


def _open(folder: Path) -> set[str]:
    found = set()
    with suppress(OSError):  # it is gone, or not ours to look into
        for number in os.listdir(folder):
            with suppress(OSError):
                found.add(os.readlink(folder / number))
    return found
