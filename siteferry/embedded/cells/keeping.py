"""Where fetched media are kept: whole files only, written aside and renamed, within the bytes a clone may have."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from siteferry.embedded.cells.source import Missing

ASIDE = ".new"
"""Folder of files that are coming: the web server shows no name with a dot."""
BESIDE = b".new-"
BLOCK = 4096
SPARE_BYTES = 1 << 30
"""With less free on the disk nothing more is kept."""
LAST_BYTES = 256 << 20
"""With less free on the disk nothing is fetched."""


class Body:
    """A whole file, readable as long as somebody holds this, kept or not."""

    def __init__(self, path: bytes) -> None:
        """Raises OSError."""
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, size: int, at: int) -> bytes:
        """Bytes from a place on; several may read at the same time."""
        return os.pread(self._descriptor, size, at)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


class Keeper:
    """The folder of one clone's fetched media. Used from several threads, by the one process that writes there."""

    def __init__(self, folder: Path, room: int) -> None:
        """`room`: bytes that may be in it. Touches nothing yet."""
        self._folder, self._room = os.fsencode(folder), room
        self._used: int | None = None
        self._lock = threading.Lock()

    def kept(self, below: bytes) -> Body | None:
        """A file that has been kept."""
        with suppress(OSError):
            return Body(os.path.join(self._folder, below))
        return None

    @contextmanager
    def aside(self) -> Iterator[Aside]:
        """A new file beside the kept ones, gone afterwards unless it was settled. Raises Missing on a full disk."""
        self._begin()
        if shutil.disk_usage(self._folder).free < LAST_BYTES:
            raise Missing("the disk is full")
        path = os.path.join(self._folder, ASIDE.encode(), secrets.token_hex(8).encode())
        with open(path, "x+b") as file:
            try:
                yield Aside(self, path, file)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def keep(self, path: bytes, below: bytes, size: int) -> bool:
        """Give a file that is whole its name; whether there was room for it."""
        goal = os.path.join(self._folder, below)
        cost = -(-size // BLOCK) * BLOCK + BLOCK * below.count(b"/")
        with self._lock:
            used = self._used or 0
            if used + cost > self._room or shutil.disk_usage(self._folder).free < SPARE_BYTES:
                return False
            self._used = used + cost
        try:
            os.makedirs(os.path.dirname(goal), exist_ok=True)
            _move(path, goal)
        except OSError:
            return False
        return True

    def _begin(self) -> None:
        """Once: remove what a death left, and count what is there."""
        with self._lock:
            if self._used is not None:
                return
            os.makedirs(os.path.join(self._folder, ASIDE.encode()), exist_ok=True)
            self._used = sum(_counted(folder, names) for folder, _, names in os.walk(self._folder))


class Aside:
    """One file that is coming."""

    def __init__(self, keeper: Keeper, path: bytes, file: BinaryIO) -> None:
        self._keeper, self._path, self._file = keeper, path, file

    def write(self, data: bytes) -> None:
        """More of it."""
        self._file.write(data)

    def settle(self, below: bytes | None) -> Body:
        """It is whole: keep it under this name if there is room (None: it may not be), and read it from now on."""
        self._file.flush()
        body = Body(self._path)
        if below is not None:
            os.fsync(self._file.fileno())
            self._keeper.keep(self._path, below, body.size)
        return body


def _move(path: bytes, goal: bytes) -> None:
    try:
        os.rename(path, goal)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Landlock before Linux 5.19 forbids renaming from one folder to another.
        beside = os.path.join(os.path.dirname(goal), BESIDE + secrets.token_hex(8).encode())
        with open(path, "rb") as file, open(beside, "xb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())
        os.rename(beside, goal)


def _counted(folder: bytes, names: list[bytes]) -> int:
    """Bytes of a folder's files; those that were never whole are removed."""
    total, half = BLOCK, os.path.basename(folder) == ASIDE.encode()
    for name in names:
        path = os.path.join(folder, name)
        with suppress(OSError):
            if half or name.startswith(BESIDE):
                os.unlink(path)
            else:
                total += os.lstat(path).st_blocks * 512
    return total
