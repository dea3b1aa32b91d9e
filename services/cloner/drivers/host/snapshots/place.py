"""The exchange of what a clone holds for what was staged beside it: begun by one rename, then only forwards.

Below the clone's directory: `.coming` has the staged folders, and a manifest once everything is staged; `.going` has
what was there before. Neither can be reached by the clone's processes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.cloner.drivers.host.removal import remove_tree
from services.cloner.drivers.host.snapshots.manifest import MANIFEST, Manifest
from services.cloner.drivers.host.snapshots.staging import Tables
from shared.wordpress.transfer.errors import target_errors

if TYPE_CHECKING:
    from services.cloner.drivers.host.driver import HostTarget

FOLDERS = ("site", "quarantine")
"""What of a clone's directory is the site's: a snapshot holds these."""
ANEW = "cache"
"""Compiled code of the files that go."""
COMING, GOING = ".coming", ".going"


def tables_of(target: HostTarget) -> Tables:
    """The tables of a clone."""
    return Tables(target.databases, target.database, target.connect)


def ready(target: HostTarget) -> bool:
    """Whether an exchange has begun, or may."""
    return (target.directory / COMING / MANIFEST).exists()


def staged(target: HostTarget) -> Manifest | None:
    """What an exchange that has begun, or may, puts in place."""
    return Manifest.read(target.directory / COMING) if ready(target) else None


def put_in_place(target: HostTarget) -> list[str]:
    """Exchange what is staged for what is there; the clone answers nobody meanwhile. Repeatable until it succeeds.

    What of the views, triggers and routines could not be made, in words. Raises NoSuchSnapshot when nothing is staged,
    OSError, CellsAway, and the errors of the target.
    """
    coming, going = target.directory / COMING, target.directory / GOING
    manifest = Manifest.read(coming)
    target.cells.forget(target.clone_id)
    notes = tables_of(target).exchange(manifest)
    with target_errors("exchanging the clone's files"):
        going.mkdir(mode=0o700, exist_ok=True)
        for name in FOLDERS:
            if (coming / name).exists():
                if (target.directory / name).exists():
                    (target.directory / name).rename(going / name)
                (coming / name).rename(target.directory / name)
        if not (going / ANEW).exists() and (target.directory / ANEW).exists():
            (target.directory / ANEW).rename(going / ANEW)
        make_folders(target, [ANEW])
        (coming / MANIFEST).unlink()
    target.serve()
    _tidy(target)
    return notes


def settle(target: HostTarget) -> bool:
    """End what a death left half done: an exchange that was ready is completed (True), what came before taken back."""
    if ready(target):
        put_in_place(target)
        return True
    _tidy(target)
    return False


def make_folders(target: HostTarget, names: Sequence[str]) -> None:
    """Folders of the clone that its PHP may write to, those that are missing."""
    owner = target.owner
    for name in names:
        path = target.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        if owner:
            os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def make_coming(target: HostTarget) -> Path:
    """An empty place to stage in."""
    _tidy(target)
    coming = target.directory / COMING
    coming.mkdir(mode=0o700)
    return coming


def _tidy(target: HostTarget) -> None:
    for name in (COMING, GOING):
        if (target.directory / name).exists():
            remove_tree(target.directory / name)
    tables_of(target).forget()
