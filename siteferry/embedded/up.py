"""`siteferry up`: the whole product on this machine, from one command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from siteferry.embedded.servers.base import running_as_root

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_ALREADY_RUNNING = 3


@dataclass(frozen=True)
class Options:
    """What can be chosen on the command line of `siteferry up`."""

    host: str = "127.0.0.1"
    """Address Caddy listens on. Anything but loopback is for people who know who can reach it."""
    port: int = 8080
    php_children: int = 24
    buffer_pool: str = "256M"
    quiet: bool = False
    """Print nothing but the banner and problems; the log file has everything in any case."""


def default_state_dir() -> Path:
    """SITEFERRY_STATE, else /var/lib/siteferry for root, else $XDG_DATA_HOME/siteferry (~/.local/share/siteferry)."""
    if chosen := os.environ.get("SITEFERRY_STATE"):
        return Path(chosen)
    if running_as_root():
        return Path("/var/lib/siteferry")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "siteferry"


async def up(state: Path, options: Options = Options()) -> int:  # noqa: B008 - frozen
    """Start everything, keep it running until Ctrl-C or SIGTERM, stop it in order. Returns the exit code:
    0 stopped as asked, 1 could not start (said on stderr), 3 another `up` runs with this state directory."""
    raise NotImplementedError
