"""Ports and sockets: which are free, who accepts, and who stands in the way (read from /proc)."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from pathlib import Path

from siteferry.embedded.servers.base import ServerError

LISTEN = "0A"
LOWEST = 10_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES = 100


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now.

    Not one of those the system gives to outgoing connections, if there are others: until the server binds it, any
    connection could take it. Raises OSError when none is found.
    """
    for _ in range(TRIES):
        port = LOWEST + secrets.randbelow(max(1, int(EPHEMERAL.read_text().split()[0]) - LOWEST))
        if _can_bind(port, host):
            return port
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_in_use(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server of ours could not listen there."""
    return not _can_bind(port, host)


def accepts(address: Path | tuple[str, int], *, timeout: float = 1.0) -> bool:
    """Whether somebody accepts connections at a unix socket or a host and port."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(timeout)
        try:
            probe.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
        return True


def require_free_port(port: int, host: str = "127.0.0.1") -> None:
    """Raises `ServerError`, naming the program in the way."""
    if port_in_use(port, host):
        raise ServerError(f"port {port} is in use{who_listens(port)}")


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


def _can_bind(port: int, host: str) -> bool:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _listening_sockets(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{columns[9]}]")
    return found
