"""A clone's files into a snapshot, and out of it again. What a clone's PHP made is hostile: names, links, depth."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from services.cloner.drivers.host.snapshots.contents import SMALL, Copier
from services.cloner.drivers.host.snapshots.errors import SnapshotDamaged, SnapshotRefused
from services.cloner.drivers.host.snapshots.manifest import TREE, Entry, Stored
from services.cloner.drivers.host.snapshots.renaming import rename_in
from shared.wordpress.transfer.files import Owner
from shared.wordpress.transfer.folder import OPEN, Folder

DEEPEST = 400
"""Folders in each other: the way down is walked anew for each, so depth costs its square."""
IN_A_FOLDER = 1000
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FILES, PACK = "files", "small"
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
MODES = 0o1777
"""No set-user-id: what a clone keeps counts for a clone's account only, but it need not come back with it."""


class TreeCapture:
    """Takes folders of one clone. Use once."""

    def __init__(self, folder: Path, copier: Copier) -> None:
        """`folder`: of the snapshot."""
        self._folder = folder
        self._copier = copier
        self._crc = self._size = self._numbers = 0
        self.files = self.bytes = self.skipped = 0

    def run(self, clone: Path, names: Iterable[str]) -> Stored:
        """Folders of the clone's directory, those that are there. What the list of entries is.

        Raises SnapshotRefused, OSError, and what the copier's check raises.
        """
        (self._folder / FILES).mkdir(mode=0o700)
        tree_file, pack_file = self._folder / TREE, self._folder / PACK
        with open(tree_file, "wb", opener=private) as tree, open(pack_file, "wb", 1 << 20, opener=private) as pack:
            top = os.open(clone, os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for name in names:
                    for entry in self._walk(top, (os.fsencode(name),), pack):
                        line = entry.line()
                        self._crc, self._size = crc32(line, self._crc), self._size + len(line)
                        tree.write(line)
            finally:
                os.close(top)
        return Stored(self._size, self._crc)

    def _walk(self, top: int, first: tuple[bytes, ...], pack: BinaryIO) -> Iterator[Entry]:
        waiting = [first]
        while waiting:
            names = waiting.pop()
            if len(names) > DEEPEST:
                raise SnapshotRefused(f"The clone has more than {DEEPEST} folders in each other.")
            try:
                where = _opened(top, names)
            except OSError as error:
                if _gone(error):
                    continue
                raise
            try:
                facts = os.fstat(where)
                yield Entry(b"/".join(names), "dir", stat.S_IMODE(facts.st_mode) & MODES, facts.st_mtime_ns)
                with os.scandir(where) as found:
                    for one in found:
                        name = os.fsencode(one.name)
                        if one.is_dir(follow_symlinks=False):
                            waiting.append((*names, name))
                        elif (entry := self._leaf(where, names, name, pack)) is not None:
                            yield entry
            finally:
                os.close(where)

    def _leaf(self, where: int, names: tuple[bytes, ...], name: bytes, pack: BinaryIO) -> Entry | None:
        path = b"/".join((*names, name))
        try:
            facts = os.stat(name, dir_fd=where, follow_symlinks=False)
            if stat.S_ISLNK(facts.st_mode):
                goal = os.readlink(name, dir_fd=where)
                return Entry(path, "link", 0o777, facts.st_mtime_ns, goal=goal)
            if not stat.S_ISREG(facts.st_mode):
                self.skipped += 1
                return None
            source = os.open(name, READ, dir_fd=where)
        except OSError as error:
            if _gone(error):
                return None
            raise
        try:
            facts = os.fstat(source)
            if not stat.S_ISREG(facts.st_mode):
                self.skipped += 1
                return None
            number = offset = -1
            if self._copier.reflinks is False and facts.st_size <= SMALL:
                offset = pack.tell()
                stored = self._copier.pack(source, facts.st_size, pack)
            else:
                number = self._numbers
                stored = self._own_file(source, number)
        finally:
            os.close(source)
        self.files, self.bytes = self.files + 1, self.bytes + stored.size
        mode = stat.S_IMODE(facts.st_mode) & MODES
        return Entry(path, "file", mode, facts.st_mtime_ns, number, stored.size, stored.crc, offset=offset)

    def _own_file(self, source: int, number: int) -> Stored:
        if number % IN_A_FOLDER == 0:
            (self._folder / FILES / str(number // IN_A_FOLDER)).mkdir(mode=0o700)
        made = os.open(content(self._folder, number), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._numbers += 1
        try:
            return self._copier.copy(source, made)
        finally:
            os.close(made)


def put(
    folder: Path,
    entries: Iterable[Entry],
    where: Path,
    copier: Copier,
    owner: Owner | None,
    ids: tuple[str, str] | None = None,
) -> None:
    """Entries of the snapshot in `folder` into the existing, empty directory `where`, which nobody else can reach.

    `ids`: what is replaced in texts, and by what.

    Raises SnapshotDamaged, OSError, and what the copier's check raises.
    """
    made, kept = Folder(os.fsencode(where)), Contents(folder, copier)
    folders: list[Entry] = []
    try:
        for entry in entries:
            names = tuple(entry.path.split(b"/"))
            if entry.kind == "dir":
                made.directory(names)
                folders.append(entry)
            elif entry.kind == "link":
                made.link(names, entry.goal)
                _own_link(made.directory(names[:-1]), names[-1], entry, owner)
            else:
                _put_file(kept, entry, made.create(names), owner, ids)
        for entry in reversed(folders):
            descriptor = made.directory(tuple(entry.path.split(b"/")))
            if owner:
                os.fchown(descriptor, owner.uid, owner.gid)
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime, entry.mtime))
    finally:
        made.close()
        kept.close()


class Contents:
    """The contents of a snapshot."""

    def __init__(self, folder: Path, copier: Copier) -> None:
        self._folder, self._copier, self._open = folder, copier, ExitStack()

    def into(self, entry: Entry, made: int) -> None:
        """An entry's content into an empty file. Raises SnapshotDamaged, OSError, what the copier's check raises."""
        if entry.offset >= 0:
            stored = self._copier.unpack(self._pack, entry.offset, entry.size, made)
        else:
            with stored_file(content(self._folder, entry.content)) as source:
                stored = self._copier.copy(source, made)
        if stored != Stored(entry.size, entry.crc):
            raise SnapshotDamaged("A stored file is not what it was when it was stored.")

    def close(self) -> None:
        """Close what was opened."""
        self._open.close()

    @cached_property
    def _pack(self) -> int:
        return self._open.enter_context(stored_file(self._folder / PACK))


def content(folder: Path, number: int) -> Path:
    """Where a snapshot keeps a file's content."""
    return folder / FILES / str(number // IN_A_FOLDER) / str(number)


@contextmanager
def stored_file(path: Path, what: str = "file") -> Iterator[int]:
    """A file of a snapshot, to read from. Raises SnapshotDamaged when it is not there, OSError."""
    try:
        descriptor = os.open(path, READ)
    except FileNotFoundError as error:
        raise SnapshotDamaged(f"A stored {what} is gone from the disk.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def private(path: str, flags: int) -> int:
    """An opener for files of ours."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _put_file(kept: Contents, entry: Entry, made: int, owner: Owner | None, ids: tuple[str, str] | None) -> None:
    try:
        kept.into(entry, made)
        if ids is not None:
            rename_in(made, ids[0].encode(), ids[1].encode())
        if owner:
            os.fchown(made, owner.uid, owner.gid)
        os.fchmod(made, entry.mode)
        os.utime(made, ns=(entry.mtime, entry.mtime))
    finally:
        os.close(made)


def _own_link(where: int, name: bytes, entry: Entry, owner: Owner | None) -> None:
    if owner:
        os.chown(name, owner.uid, owner.gid, dir_fd=where, follow_symlinks=False)
    os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=where, follow_symlinks=False)


def _opened(top: int, names: tuple[bytes, ...]) -> int:
    where = os.dup(top)
    for name in names:
        try:
            below = os.open(name, OPEN, dir_fd=where)
        finally:
            os.close(where)
        where = below
    return where


def _gone(error: OSError) -> bool:
    """Whether the site removed or replaced it while we were looking."""
    return error.errno in GONE
