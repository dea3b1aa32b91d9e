"""Files that are there from an earlier clone of the same source, made into what the source has now.

The source lists every file with its MD5; what is there with the same content stays, the rest is asked for by name, and
what was not named goes. Everything is treated as hostile as by `FileSink`: what the source says of a file is believed
when the bytes that are there are of that MD5. A connector that does not know digests sends the files: they are taken.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from typing import Any

from shared.wordpress.connector.protocol import Frame
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.files import LATEST, FileSink
from shared.wordpress.transfer.folder import Folder

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
BLOCK = 1 << 20
MOST = 5_000_000
"""Files of one site that are remembered by name."""


class ChangedFiles(FileSink):
    """Takes frames of `files.stream {digest: true}`, then those of the files in `wanted`. Not for concurrent use."""

    def __init__(self, *arguments: Any) -> None:
        """As `FileSink`."""
        super().__init__(*arguments)
        self.wanted: list[dict[str, str]] = []
        """Files to be asked for: `{root, path_b64}`."""
        self.kept_files = self.kept_bytes = 0
        self._seen: tuple[set[bytes], set[bytes]] = (set(), set())

    def remove_others(self) -> int:
        """After the last frame: what the source did not name goes. How many files and links that were."""
        removed = 0
        with target_errors("removing files that are gone from the source"):
            for folder, seen in ((self._site, self._seen[0]), (self._quarantine, self._seen[1])):
                removed += _remove_others(folder.path, seen)
        return removed

    def _take(self, frame: Frame) -> None:
        if frame.type != "J":
            super()._take(frame)
            return
        for item in frame.json()["files"]:
            self._listed(item)

    def _listed(self, item: dict[str, Any]) -> None:
        if len(self.wanted) + self.kept_files >= MOST:
            raise ImplausibleSite(f"The site has more than {MOST:,} files.")
        names, md5 = self._names(item), item["md5"]
        folder = self._where(names)
        size = int(item["size"])
        if not isinstance(md5, str) or not self._same(folder, names, size, md5, item):
            self.wanted.append({"root": str(item["root"]), "path_b64": str(item["path_b64"])})
            return
        self._folder(names)
        self.kept_files, self.kept_bytes = self.kept_files + 1, self.kept_bytes + size
        self._received.files, self._received.size = self._received.files + 1, self._received.size + size
        if self._digests:
            self._digests.known(item["root"], base64.b64decode(item["path_b64"]), size, md5)

    def _same(self, folder: Folder, names: list[bytes], size: int, md5: str, item: dict[str, Any]) -> bool:
        """Whether these bytes are there; then they get the source's time and mode."""
        try:
            descriptor = os.open(names[-1], READ, dir_fd=folder.directory(names[:-1]))
        except OSError:
            return False
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != size:
                return False
            digest = hashlib.md5(usedforsecurity=False)
            while block := os.read(descriptor, BLOCK):
                digest.update(block)
            if digest.hexdigest() != md5:
                return False
            mode = stat.S_IMODE(int(item.get("mode", 0o644))) & 0o777 | 0o600
            mtime = min(max(int(item["mtime"]), 0), LATEST)
            if stat.S_IMODE(found.st_mode) != mode:
                os.fchmod(descriptor, mode)
            if found.st_mtime_ns != mtime * 10**9:
                os.utime(descriptor, (mtime, mtime))
        finally:
            os.close(descriptor)
        return True

    def _link(self, meta: dict[str, Any]) -> None:
        names = self._names(meta)
        if names:
            self._where(names).remove(names)  # it may lead outside now, and is not made then
        super()._link(meta)

    def _where(self, names: list[bytes]) -> Folder:
        return self._quarantine if self._layout.is_quarantined(b"/".join(names)) else self._site

    def _folder(self, names: list[bytes], *, noted: bool = True) -> Folder:
        folder = super()._folder(names, noted=noted)
        self._seen[folder is self._quarantine].add(b"/".join(names))
        return folder


def _remove_others(top: bytes, seen: set[bytes]) -> int:
    removed = 0
    for where, folders, files, descriptor in os.fwalk(top, topdown=False, follow_symlinks=False):
        below = os.path.relpath(where, top)
        for name in (*files, *folders):
            path = name if below == b"." else below + b"/" + name
            if path in seen:
                continue
            if stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                try:
                    os.rmdir(name, dir_fd=descriptor)
                except OSError:
                    continue  # what the source has is in it
            else:
                os.unlink(name, dir_fd=descriptor)
                removed += 1
    return removed
