"""One log for all children: on the terminal with names and colours, in a file with times, rotated by size."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from shared import printable

COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
OURS = "siteferry"
MEGABYTE = 1 << 20


def wants_colour(stream: TextIO) -> bool:
    """Colours only on a terminal, and not when NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class PrivateFile(RotatingFileHandler):
    """Rotated files that only we may read: logs name the sites people work on."""

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=private)


class MergedLog:
    """Takes lines from children and from us. The file gets every line, the terminal those marked as worth it."""

    def __init__(self, path: Path, stream: TextIO, *, quiet: bool = False, size: int = 10 * MEGABYTE) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = PrivateFile(path, maxBytes=size, backupCount=3, encoding="utf-8", errors="replace")
        self._stream, self._quiet = stream, quiet
        self._colour = wants_colour(stream)
        self._seen: dict[str, int] = {OURS: 1}
        self._width = len("php-fpm  ")

    def say(self, message: str) -> None:
        """A line of our own: shown and kept."""
        self.write(OURS, message)

    @property
    def on_terminal(self) -> bool:
        """Whether a person may be looking."""
        return self._stream.isatty()

    def show(self, message: str) -> None:
        """A line of our own that is a secret for a while: shown to whoever sits there, and not kept."""
        if self.on_terminal:
            self._print(OURS, printable.one_line(message))

    def write(self, name: str, line: str, *, show: bool = True) -> None:
        """Keep one line of `name`; show it on the terminal unless told not to."""
        plain = printable.one_line(ESCAPES.sub("", line.rstrip()))
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = logging.LogRecord(name, logging.INFO, "", 0, f"{stamp} {name:<9} {plain}", None, None)
        self._file.handle(record)
        if name == OURS or (show and not self._quiet):
            self._print(name, plain)

    def _print(self, name: str, plain: str) -> None:
        with suppress(OSError):  # a terminal that was closed must not keep us from stopping in order
            print(f"{self._label(name)} {plain}", file=self._stream, flush=True)

    def _label(self, name: str) -> str:
        label = f"{name:<{self._width}}|"
        if not self._colour:
            return label
        code = COLOURS[self._seen.setdefault(name, len(self._seen)) % len(COLOURS)]
        return f"\x1b[{1 if name == OURS else code}m{label}\x1b[0m"

    def close(self) -> None:
        self._file.close()
