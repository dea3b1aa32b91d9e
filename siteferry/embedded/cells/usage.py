"""What a cell uses: connections, seen from the outside, and bytes on the disk; and the memory it is allowed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LISTENS = 0x10000  # __SO_ACCEPTCON of linux/net.h
CGROUP = Path("/sys/fs/cgroup")
GROUP = "siteferry"


def connections() -> dict[str, int]:
    """How many connections each listening unix socket has, by path; those not accepted yet count too."""
    found: dict[str, int] = {}
    with open("/proc/net/unix", errors="replace") as file:
        next(file)
        for line in file:
            words = line.split(maxsplit=7)
            if len(words) == 8 and not int(words[3], 16) & LISTENS:
                path = words[7].rstrip("\n")
                found[path] = found.get(path, 0) + 1
    return found


def sockets_below(*folders: str) -> frozenset[str]:
    """Inodes of unix sockets that were made below these folders, whether their names are still there or not."""
    starts = tuple(f"{folder.rstrip('/')}/" for folder in folders)
    with open("/proc/net/unix", errors="replace") as file:
        lines = [line.rstrip("\n").split(maxsplit=7) for line in file]
    return frozenset(words[6] for words in lines if len(words) == 8 and words[7].startswith(starts))


def database_bytes(folder: Path) -> int:
    """What the tables of one database take on the disk; 0 when there is none."""
    total = 0
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            with suppress(OSError):
                total += file.stat(follow_symlinks=False).st_blocks * 512
    return total


class MemoryGroups:
    """Control groups for memory and number of processes, where this machine lets us make some."""

    def __init__(self) -> None:
        self._roots = _writable_roots()

    @property
    def available(self) -> bool:
        """Whether memory of a cell as a whole can be limited."""
        return any("memory" in str(root) or (root / "memory.max").exists() for root in self._roots)

    def enter(self, name: str, *, memory: int, processes: int) -> list[str]:
        """Make the groups of a cell; returns the files a process writes 0 to, to be in them."""
        files = []
        limits = {"memory.limit_in_bytes": memory, "memory.max": memory, "memory.swap.max": 0, "pids.max": processes}
        for root in self._roots:
            group = root / name
            with suppress(OSError):
                group.mkdir(exist_ok=True)
                for file, value in limits.items():
                    if (group / file).exists():
                        (group / file).write_text(str(value))
                files.append(str(group / "cgroup.procs"))
        return files

    def leave(self, name: str) -> None:
        """Remove the groups of a cell that has ended."""
        for root in self._roots:
            with suppress(OSError):
                (root / name).rmdir()


def entering(files: list[str]) -> list[str]:
    """The beginning of a command that puts itself into control groups before it goes on."""
    if not files:
        return []
    script = 'while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", *files, "--"]


def _writable_roots() -> list[Path]:
    if os.geteuid() != 0:
        return []
    roots = []
    for parent in (CGROUP / "memory", CGROUP / "pids"):  # version 1: one tree for each
        with suppress(OSError):
            if parent.is_dir():
                (parent / GROUP).mkdir(exist_ok=True)
                roots.append(parent / GROUP)
    with suppress(OSError):
        if "memory" in (CGROUP / "cgroup.controllers").read_text().split():
            (CGROUP / "cgroup.subtree_control").write_text("+memory +pids")
            (CGROUP / GROUP).mkdir(exist_ok=True)
            (CGROUP / GROUP / "cgroup.subtree_control").write_text("+memory +pids")
            roots.append(CGROUP / GROUP)
    return roots
