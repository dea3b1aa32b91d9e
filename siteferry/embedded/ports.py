"""Who uses a port: read from /proc, so that an error can name the process in the way."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

LISTEN = "0A"


def who_listens(port: int) -> str:
    """` by <program> (pid <n>)`, or an empty string when that can not be told (another user's process)."""
    sockets = _listening_sockets(port)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return f" by {(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


def _listening_sockets(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[9]}]")
    return found
