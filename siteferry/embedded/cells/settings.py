"""What the launcher must know, written by the server `Cells` as one JSON file without secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NO_PROGRAMS_NO_SOCKETS = (
    "exec,passthru,shell_exec,system,proc_open,popen,pcntl_exec,pcntl_fork,pcntl_alarm,pcntl_signal,pcntl_waitpid,"
    "fsockopen,pfsockopen,stream_socket_client,stream_socket_server,stream_socket_pair,socket_create,socket_connect,"
    "socket_create_listen,ftp_connect,ftp_ssl_connect,ldap_connect,imap_open,ssh2_connect,"
    "dl,putenv,link,symlink,posix_kill,posix_setpgid,posix_setsid"
)
"""Functions a clone has no business with. What holds are the cell's walls; this leaves less to try them with."""


@dataclass(frozen=True)
class CellSettings:
    """Places, programs and limits of all cells."""

    clones: str
    """Directory of the clones."""
    base: str
    """Directory of sockets and generated configuration."""
    nginx: str
    php_fpm: str
    php_cli: str
    bwrap: str
    mariadb_socket: str = ""
    mariadb_data: str = ""
    """Where MariaDB has a directory for each database; without it databases are not counted."""
    edge_port: int = 0
    refused_ports: tuple[int, ...] = ()
    """Ports of our own on loopback that no clone may call, whatever its owner allowed."""
    allow_private: bool = True
    """Whether hosts a clone may call may be on private addresses."""
    listen: str = ""
    """Address and port of the one cell of a Pod, behind whose Ingress every visitor comes; else each has a socket."""
    walls: str = "user-namespace"
    idle_seconds: float = 120.0
    awake: int = 40
    """Cells awake at the same time."""
    children: int = 6
    """Requests PHP works on at the same time, for each cell."""
    processes: int = 64
    memory: int = 1 << 30
    """Bytes of a cell, where control groups can be used."""
    php_address_space: int = 3 << 30
    """Bytes of address space of each PHP process."""
    file_bytes: int = 4 << 30
    """Bytes of the largest file."""
    max_bytes: int = 20 << 30
    """Bytes of a clone's files and database: with more its files are read-only. With more in its database alone, that
    is out of its reach."""
    disabled_functions: str = NO_PROGRAMS_NO_SOCKETS
    php_values: dict[str, str] = field(default_factory=dict)
    """Further settings of PHP."""

    @property
    def http_sockets(self) -> Path:
        """Where the web server of each clone is reached."""
        return Path(self.base) / "http"

    @property
    def runtime(self) -> Path:
        """What all cells share, read-only."""
        return Path(self.base) / "runtime"

    @property
    def control(self) -> Path:
        """Where the cloner talks to the launcher."""
        return Path(self.base) / "control.sock"

    def web_socket(self, clone_id: str) -> Path:
        """Where one clone's web server is reached."""
        return self.http_sockets / clone_id / "web.sock"

    def directory(self, clone_id: str) -> Path:
        """Configuration and sockets that are seen inside of one cell."""
        return Path(self.base) / "c" / clone_id

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> CellSettings:
        """What `write` wrote."""
        values: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**values, "refused_ports": tuple(values["refused_ports"])})
