"""One directory and what is below it, by names only: no link is ever followed, so nothing outside is ever reached.

Every folder on the way is opened by its name in the one before it (`openat`, O_NOFOLLOW). A link, a device or a file in
the way of a folder is removed: what comes from the source takes its place, and what it pointed to is not touched.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections import OrderedDict
from collections.abc import Iterator, Sequence

OPEN = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_RDONLY
KEPT = 32
"""Folders that stay open: files come folder by folder."""


class Folder:
    """A directory to write into. Not for concurrent use."""

    def __init__(self, path: bytes) -> None:
        """Raises OSError when there is no such directory."""
        self.path = path
        self._top = os.open(path, os.O_DIRECTORY | os.O_CLOEXEC | os.O_RDONLY)
        self._open: OrderedDict[tuple[bytes, ...], int] = OrderedDict()

    def close(self) -> None:
        """Let go of everything that is open."""
        for descriptor in (*self._open.values(), self._top):
            os.close(descriptor)
        self._open.clear()

    def directory(self, names: Sequence[bytes]) -> int:
        """A descriptor of the directory, made with those above it where they are missing; it stays ours."""
        place = tuple(names)
        if not place:
            return self._top
        if place in self._open:
            self._open.move_to_end(place)
            return self._open[place]
        descriptor = self._enter(self.directory(place[:-1]), place[-1])
        self._open[place] = descriptor
        while len(self._open) > KEPT:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def create(self, names: Sequence[bytes]) -> int:
        """A new, empty file, opened for writing; whatever was there goes first. Raises OSError."""
        where, name = self.directory(names[:-1]), names[-1]
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(name, flags, 0o644, dir_fd=where)
        except FileExistsError:
            self.remove(names)
            return os.open(name, flags, 0o644, dir_fd=where)

    def reopen(self, names: Sequence[bytes], offset: int) -> int:
        """A file of which that many bytes are there, opened for reading and writing.

        Raises OSError when it is no file of its own with so many bytes.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(names[-1], flags, dir_fd=self.directory(names[:-1]))
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size < offset:
            os.close(descriptor)
            raise OSError(errno.ESTALE, "the file that was begun is not there any more")
        return descriptor

    def link(self, names: Sequence[bytes], goal: bytes) -> None:
        """A symbolic link; whatever was there goes first. Raises OSError."""
        where = self.directory(names[:-1])
        self.remove(names)
        os.symlink(goal, names[-1], dir_fd=where)

    def remove(self, names: Sequence[bytes]) -> None:
        """Remove what bears this name, whatever it is. Raises OSError."""
        where = self.directory(names[:-1])
        try:
            os.unlink(names[-1], dir_fd=where)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            self._forget(tuple(names))
            shutil.rmtree(names[-1], dir_fd=where)

    def strays(self) -> Iterator[tuple[bytes, ...]]:
        """Links that lead out of this directory, as everything is now: by name, from the top."""
        top = os.path.realpath(self.path)
        for where, folders, files, descriptor in os.fwalk(b".", dir_fd=self._top, follow_symlinks=False):
            for name in (*folders, *files):
                try:
                    goal = os.readlink(name, dir_fd=descriptor)
                except OSError:
                    continue  # no link
                leads_to = os.path.realpath(os.path.join(top, os.path.normpath(where), goal))
                if goal.startswith(b"/") or not within(leads_to, top):
                    yield (*(part for part in where.split(b"/") if part != b"."), name)

    def _enter(self, where: int, name: bytes) -> int:
        try:
            return os.open(name, OPEN, dir_fd=where)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                raise
            os.unlink(name, dir_fd=where)
        os.mkdir(name, 0o755, dir_fd=where)
        return os.open(name, OPEN, dir_fd=where)

    def _forget(self, place: tuple[bytes, ...]) -> None:
        for known in [known for known in self._open if known[: len(place)] == place]:
            os.close(self._open.pop(known))


def within(path: bytes, base: bytes) -> bool:
    """Whether one resolved path is the other or below it."""
    return path == base or path.startswith(base.rstrip(b"/") + b"/")
