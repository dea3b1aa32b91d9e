"""Our own services as children of the supervisor: `python -m services.<name>`, settings by environment."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from shared import tracing
from siteferry.embedded.servers.base import Server, shared_temporary

PASSED_ON = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
"""What a service gets from the user's environment, besides every SITEFERRY_ variable of his."""


class Service(Server):
    """One Python service. It survives kill -9 by design, so it dies at once when the supervisor does."""

    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    stop_timeout: ClassVar[float] = 35.0
    """Longer than a worker takes to hand its jobs back."""
    hang_timeout: ClassVar[float] = 30.0
    needed_by_jobs: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        directory: Path,
        settings: Mapping[str, str],
        *,
        port: int | None = None,
        health_port: int | None = None,
    ) -> None:
        """`settings` without the prefix: `{"nats_url": …}` becomes SITEFERRY_NATS_URL. With `port`, ready means that
        `/livez` answers there; without, that the process lives: a worker answers at its `health_port` only once it has
        found NATS."""
        super().__init__(directory)
        self.name = name  # type: ignore[misc]  # one class, four services
        self.settings, self.port, self.health_port = dict(settings), port, health_port
        self._answered = False

    def argv(self) -> list[str]:
        return [sys.executable, "-m", f"services.{self.name}"]

    def env(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if key in PASSED_ON or key.startswith(("SITEFERRY_", *tracing.PASSED_ON))
        }
        own = {f"SITEFERRY_{key.upper()}": value for key, value in self.settings.items()}
        return super().env() | kept | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(shared_temporary())} | own

    def shows(self, line: str) -> bool:
        return True

    def prepare(self) -> None:
        super().prepare()
        self._answered = False

    def is_ready(self) -> bool:
        return self.port is None or _lives(self.port)

    def answers(self) -> bool:
        if not self.health_port:
            return self.is_ready()
        answered = _lives(self.health_port)
        self._answered = self._answered or answered
        return answered or not self._answered


def _lives(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def installed(name: str) -> bool:
    """Whether `python -m services.<name>` exists."""
    return importlib.util.find_spec(f"services.{name}.__main__") is not None
