"""Images: what a source sent for one clone, kept before anything of ours is in it, for further clones of that source.

A snapshot each (owner: the image's id), and beside it `.rows`: what is known of its rows. A name with a dot is no
snapshot, and goes with its owner.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cloner.drivers.host.snapshots import Manifest, NoSuchSnapshot, SnapshotDamaged, put_in_place
from services.cloner.drivers.host.snapshots.contents import Copier
from services.cloner.drivers.host.snapshots.manifest import Stored
from services.cloner.drivers.port import Image
from shared.engine.carriers.handed import opened
from shared.ids import is_job_id

if TYPE_CHECKING:
    from services.cloner.drivers.host.driver import HostDriver

PREFIX, CLONES = "image-", "clone-"
NAME = "source"
ROWS, USED = ".rows", ".used"


def image_id(clone_id: str) -> str:
    """The image made with a clone."""
    return PREFIX + clone_id.removeprefix(CLONES)


class HostImages:
    """All images of one machine. Whoever looks for one says for which tenant and source: nobody else gets it."""

    def __init__(self, driver: HostDriver) -> None:
        self._driver = driver
        self._snapshots = driver.snapshots

    def capture(self, clone_id: str, rows: str, facts: Mapping[str, Any], *, check: Callable[[], None]) -> Image:
        """Keep what the clone is now; `rows` names the file of its records that tells of its rows."""
        target, owner = self._driver.place(clone_id), image_id(clone_id)
        folder = self._snapshots.root / owner
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with opened(target.records / rows) as source:
            kept = _copied(source.fileno(), folder / ROWS, check)
        manifest = self._snapshots.capture(target, owner, NAME, facts={**facts, "rows_crc": kept.crc}, check=check)
        return self._told(owner, manifest)

    def all(self) -> list[Image]:
        """Every image that can be read, newest first."""
        found = []
        for owner in self._owners():
            with suppress(NoSuchSnapshot, SnapshotDamaged, KeyError, TypeError, ValueError):
                found.append(self._told(owner, self._snapshots.get(owner, NAME)))
        return sorted(found, key=lambda image: image.made_at, reverse=True)

    def put(self, image: str, clone_id: str, rows: str, *, check: Callable[[], None]) -> None:
        """Make what the clone's place holds into what the image holds, and `rows` of its records into what is known."""
        target = self._driver.place(clone_id)
        manifest = self._snapshots.stage(image, NAME, target, check=check)
        put_in_place(target)
        self._put_rows(image, int(manifest.facts["rows_crc"]), target.records / rows, check)
        if target.owner:
            os.chown(target.records / rows, target.owner.uid, target.owner.gid, follow_symlinks=False)
        with suppress(OSError):
            (self._snapshots.root / image / USED).touch()

    def _put_rows(self, image: str, expected: int, to: Path, check: Callable[[], None]) -> None:
        try:
            source = open(self._snapshots.root / image / ROWS, "rb")
        except FileNotFoundError as error:
            raise SnapshotDamaged("What is known of its rows is gone.") from error
        with source:
            made = _copied(source.fileno(), to, check)
        if made.crc != expected:
            raise SnapshotDamaged("What is known of its rows is damaged on the disk.")

    def drop(self, image: str) -> None:
        """Remove one; nothing happens when it is not there."""
        if self._is_image(image):
            self._snapshots.remove(image, NAME)  # from now on nobody begins with it
            self._snapshots.remove_all(image)

    def orphans(self) -> list[str]:
        """What deaths left of images: nothing can be made of it, and nobody is making it."""
        whole = {image.id for image in self.all()}
        return [owner for owner in self._owners() if owner not in whole and not self._snapshots.busy(owner)]

    def _owners(self) -> list[str]:
        return [owner for owner in self._snapshots.owners() if self._is_image(owner)]

    @staticmethod
    def _is_image(name: str) -> bool:
        return name.startswith(PREFIX) and is_job_id(CLONES + name.removeprefix(PREFIX))

    def _told(self, owner: str, manifest: Manifest) -> Image:
        facts, made_at = manifest.facts, datetime.fromisoformat(manifest.made_at)
        try:
            used_at = datetime.fromtimestamp((self._snapshots.root / owner / USED).stat().st_mtime, UTC)
        except OSError:
            used_at = made_at
        return Image(
            id=owner,
            tenant=facts["tenant"],
            source=facts["source"],
            fingerprint=facts["fingerprint"],
            made_at=made_at,
            used_at=max(used_at, made_at),
            files=manifest.files,
            bytes=manifest.bytes,
            rows=int(facts["rows"]),
            facts=facts,
        )

    def free_bytes(self) -> int:
        """Where images are."""
        return shutil.disk_usage(self._driver.clones).free


def _copied(source: int, to: Path, check: Callable[[], None]) -> Stored:
    """A file of ours made anew, whatever was there."""
    to.unlink(missing_ok=True)
    made = os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        return Copier(check).copy(source, made)
    finally:
        os.close(made)
