"""What a cell says: through a FIFO of its own into our log, no more than a little at a time."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from shared.printable import one_line
from siteferry.embedded.cells.sandbox import Account

log = logging.getLogger(__name__)

LINES = 30
"""Lines of one cell that are kept in each PERIOD; a site may write as much as it likes."""
PERIOD = 60.0
LONGEST = 500
QUIET = ("NOTICE: ", "[notice]")


class CellLog:
    """The reading end of a FIFO that the cell's servers write to."""

    def __init__(self, path: Path, account: Account, name: str) -> None:
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, account.uid, account.gid)
        self._name = name
        # Open for both, so that it never ends when the cell does.
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        self._since, self._said = 0.0, 0
        asyncio.get_running_loop().add_reader(self.descriptor, self._read)

    def close(self) -> None:
        """Stop reading."""
        asyncio.get_running_loop().remove_reader(self.descriptor)
        os.close(self.descriptor)

    def _read(self) -> None:
        with suppress(OSError):
            for line in os.read(self.descriptor, 65536).decode(errors="replace").splitlines():
                self._say(one_line(line[:LONGEST]))

    def _say(self, line: str) -> None:
        if not line.strip() or any(word in line for word in QUIET):
            return
        now = time.monotonic()
        if now - self._since > PERIOD:
            self._since, self._said = now, 0
        self._said += 1
        if self._said <= LINES:
            log.info("%s: %s", self._name, line)
        elif self._said == LINES + 1:
            log.info("%s says more than %d lines a minute: the rest is left out", self._name, LINES)
