"""Where snapshots are: a folder for each owner, in it one for each snapshot."""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.drivers.host.removal import remove_tree
from services.cloner.drivers.host.snapshots import tables, trees
from services.cloner.drivers.host.snapshots.beside import Check, side_by_side
from services.cloner.drivers.host.snapshots.contents import Copier
from services.cloner.drivers.host.snapshots.errors import NoSuchSnapshot
from services.cloner.drivers.host.snapshots.manifest import MANIFEST, Manifest, entries
from services.cloner.drivers.host.snapshots.place import FOLDERS, make_coming, settle, tables_of
from shared.wordpress.transfer.errors import target_errors

if TYPE_CHECKING:
    from services.cloner.drivers.host.driver import HostTarget

MAKING, REMOVING = ".making-", ".removing-"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
LOCK, BUSY = ".lock", ".busy"
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Snapshots:
    """All snapshots of one machine."""

    root: Path
    databases: CloneDatabases

    def capture(
        self,
        target: HostTarget,
        owner: str,
        name: str,
        *,
        facts: Mapping[str, Any] | None = None,
        check: Callable[[], None] = lambda: None,
        durable: bool = False,
    ) -> Manifest:
        """Store what a clone holds now; what is there under this name already stays, and is told.

        `facts` (JSON) is kept with it. `check` is asked often and raises to stop. `durable`: it is on the disk before
        it is visible; otherwise a power cut soon after may damage it, which is noticed when it is used. Tables can not
        be written while they are copied; files that PHP writes in these seconds are as they are met.

        Raises SnapshotRefused, OSError, TargetDiskFull and the other errors of the target, and what `check` raises.
        """
        folder = self._folder(owner, name)
        with target_errors("storing the clone's state"), self.alone(owner, check):
            with suppress(NoSuchSnapshot):
                return self.get(owner, name)
            self._sweep(folder.parent)
            making = folder.with_name(f"{MAKING}{name}")
            making.mkdir(mode=0o700)
            try:
                manifest = self._into(making, target, dict(facts or {}), check)
                if durable:
                    _sync(making)
                making.rename(folder)
            except BaseException:
                remove_tree(making)
                raise
        return manifest

    def _into(self, folder: Path, target: HostTarget, facts: dict[str, Any], check: Callable[[], None]) -> Manifest:
        manifest = Manifest(target.clone_id, target.url, datetime.now(UTC).isoformat(), facts)

        def take_files(check: Check) -> None:
            captured = trees.TreeCapture(folder, Copier(check))
            manifest.tree = captured.run(target.directory, FOLDERS)
            manifest.files, manifest.skipped, sizes["files"] = captured.files, captured.skipped, captured.bytes

        def take_tables(check: Check) -> None:
            sizes["tables"] = tables.capture(
                self.databases, target.database, target.connect, folder, manifest, Copier(check), check
            )

        sizes: dict[str, int] = {}
        side_by_side(check, take_files, take_tables)
        manifest.bytes = sum(sizes.values())
        manifest.write(folder)
        return manifest

    def stage(
        self,
        owner: str,
        name: str,
        target: HostTarget,
        *,
        check: Callable[[], None] = lambda: None,
        renamed: bool = False,
    ) -> Manifest:
        """Prepare a snapshot beside what a clone holds, which goes on as it is; `put_in_place` then exchanges the two.

        The clone's place (directory, database, user) must be there. What was staged before is replaced. `renamed`: the
        id of the clone it was taken of gives way to this one's, in rows and texts (`renaming`). Raises NoSuchSnapshot,
        SnapshotDamaged, OSError, the errors of the target, and what `check` raises.
        """
        settle(target)
        manifest, folder = self.get(owner, name), self._folder(owner, name)
        ids = (manifest.clone_id, target.clone_id) if renamed and manifest.clone_id != target.clone_id else None

        def put_files(check: Check) -> None:
            with target_errors("preparing the clone's files"):
                trees.put(folder, entries(folder, manifest), coming, Copier(check), target.owner, ids)

        def put_tables(check: Check) -> None:
            tables_of(target).stage(folder, manifest, Copier(check), check, ids)

        with target_errors("preparing the clone's files"):
            coming = make_coming(target)
        side_by_side(check, put_files, put_tables)
        manifest.write(coming)
        return manifest

    def get(self, owner: str, name: str) -> Manifest:
        """What was captured. Raises NoSuchSnapshot, SnapshotDamaged."""
        return Manifest.read(self._folder(owner, name))

    def names(self, owner: str) -> list[str]:
        """An owner's snapshots."""
        try:
            found = os.listdir(self.root / owner)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if NAME.fullmatch(name))

    def owners(self) -> list[str]:
        """Everybody of whom anything is here."""
        try:
            return sorted(name for name in os.listdir(self.root) if NAME.fullmatch(name))
        except FileNotFoundError:
            return []

    def size(self, owner: str) -> int:
        """Bytes of an owner's snapshots as they were captured; where blocks are shared the disk holds fewer."""
        found = 0
        for name in self.names(owner):
            with suppress(NoSuchSnapshot):
                found += self.get(owner, name).bytes
        return found

    def remove(self, owner: str, name: str) -> None:
        """Remove one; nothing happens when it is not there."""
        folder = self._folder(owner, name)
        if folder.exists():
            doomed = folder.with_name(f"{REMOVING}{name}")
            remove_tree(doomed)
            folder.rename(doomed)
            remove_tree(doomed)

    def rename(self, owner: str, name: str, to: str) -> None:
        """Give one another name, which nothing has."""
        self._folder(owner, name).rename(self._folder(owner, to))

    def remove_all(self, owner: str) -> None:
        """Remove everything of an owner."""
        folder = self._folder(owner, "all").parent
        if folder.exists():
            with self.alone(owner, busy=True):
                remove_tree(folder)

    def busy(self, owner: str) -> bool:
        """Whether somebody captures for this owner right now."""
        try:
            os.close(_locked(self.root / owner / LOCK))
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def sweep(self, *, dry_run: bool = False) -> list[str]:
        """Remove what deaths left of captures and removals, where nobody captures now. `owner/name` of each."""
        found = []
        for owner in self.owners():
            folder = self.root / owner
            with suppress(BlockingIOError, FileNotFoundError):
                lock = _locked(folder / LOCK)
                try:
                    found += [f"{owner}/{name}" for name in self._sweep(folder, dry_run=dry_run)]
                finally:
                    os.close(lock)
        return found

    @contextmanager
    def alone(self, owner: str, check: Callable[[], None] = lambda: None, *, busy: bool = False) -> Iterator[None]:
        """While nobody else captures for this owner, or (`busy`) does anything to the clone of this name; the lock ends
        with its process."""
        folder = self._folder(owner, "all").parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        while True:
            try:
                lock = _locked(folder / (BUSY if busy else LOCK))
            except BlockingIOError:
                check()
                time.sleep(POLL_SECONDS)
                continue
            try:
                yield
            finally:
                os.close(lock)
            return

    def _folder(self, owner: str, name: str) -> Path:
        if not NAME.fullmatch(owner) or not NAME.fullmatch(name):
            raise ValueError(f"not a name of a snapshot: {owner}/{name}")
        return self.root / owner / name

    def _sweep(self, folder: Path, *, dry_run: bool = False) -> list[str]:
        found = []
        for name in sorted(os.listdir(folder)):
            unfinished = NAME.fullmatch(name) and not (folder / name / MANIFEST).exists()
            if name.startswith((MAKING, REMOVING)) or unfinished:
                found.append(name)
                if not dry_run:
                    remove_tree(folder / name)
        return found


def _locked(path: Path) -> int:
    """The lock, which closing lets go. Raises BlockingIOError when somebody has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _sync(folder: Path) -> None:
    """Everything of the file system the folder is on, to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "the snapshot could not be written to the disk")
    finally:
        os.close(descriptor)
