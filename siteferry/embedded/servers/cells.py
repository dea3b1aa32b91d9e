"""The launcher of the clones' cells, as one of the supervised servers."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

from shared.cells.isolation import isolation
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.servers.base import (
    Server,
    ServerError,
    find_binary,
    make_directory,
    require_traversable_by_all,
    running_as_root,
    write_file,
)
from siteferry.embedded.servers.phpfpm import BINARIES, HINT
from siteferry.embedded.servers.ports import accepts
from siteferry.embedded.servers.sockets import socket_path

LONGEST_NAME = f"c/clone-{'0' * 16}/egress.sock"
"""The longest path of a socket below the launcher's directory."""


class Cells(Server):
    """Holds the sockets of all clones below `clones`; the cloner talks to it at `control`, the edge at `http`."""

    name: ClassVar[str] = "cells"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, directory: Path, clones: Path, *, required: bool = False, **settings: Any) -> None:
        """`required`: refuse to run without full isolation. `settings`: fields of CellSettings."""
        super().__init__(directory)
        self.clones, self.required, self._more = clones, required, settings
        self.base = socket_path(self.directory, LONGEST_NAME).parents[2]

    @property
    def control(self) -> Path:
        """Where the cloner asks."""
        return self.base / "control.sock"

    @property
    def http(self) -> Path:
        """Directory of `<clone id>/web.sock`, one for each clone."""
        return self.base / "http"

    @property
    def settings_file(self) -> Path:
        return self.directory / "cells.json"

    def prepare(self) -> None:
        super().prepare()
        make_directory(self.directory, mode=0o711)
        make_directory(self.base, mode=0o711)
        if running_as_root():
            require_traversable_by_all(self.clones)
            require_traversable_by_all(self.base)
        found = isolation()
        if self.required and not found.full:
            raise ServerError(
                f"strange sites can not be walled in on this machine ({found.level}): {found.fix}; "
                "or accept it, for sites you trust, with SITEFERRY_ISOLATION=best"
            )
        fpm = os.path.realpath(find_binary(*BINARIES, hint=HINT))
        chosen: dict[str, Any] = {
            "clones": str(self.clones),
            "base": str(self.base),
            "nginx": find_binary("nginx", hint="apt-get install nginx"),
            "php_fpm": fpm,
            "php_cli": os.path.realpath(find_binary(Path(fpm).name.replace("-fpm", ""), "php", hint=HINT)),
            "bwrap": find_binary("bwrap", hint="apt-get install bubblewrap") if found.cells else "",
            "walls": found.walls.value,
        }
        write_file(self.settings_file, CellSettings(**{**chosen, **self._more}).write(), mode=0o600)

    def argv(self) -> list[str]:
        return [sys.executable, "-m", "siteferry.embedded.cells", str(self.settings_file)]

    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
        return super().env() | {"PYTHONUNBUFFERED": "1"} | kept

    def is_ready(self) -> bool:
        return accepts(self.control)
