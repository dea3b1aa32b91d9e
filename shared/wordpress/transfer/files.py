"""Receiving files: frames of the connector's `files.stream` become files below one directory.

Everything that arrives is treated as hostile: paths are names below the directory, no link is followed on the way
(`folder`), a file brings no more than it announced, and links that lead outside are not made, nor left. Writing is
idempotent, so a stream may be resumed at any cursor that was reached.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shared.wordpress.connector.protocol import Frame
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.hostbound import quarantined_path
from shared.wordpress.paths import relative
from shared.wordpress.transfer.digests import FileDigests
from shared.wordpress.transfer.errors import site_paths, target_errors
from shared.wordpress.transfer.folder import Folder, within

LATEST = 2**40
"""Seconds since 1970 that every file system can still store."""
HOLE = 4096
"""Zeros in a row, in bytes, that are left out of a file as the source may have done."""
MAX_LISTED = 50
"""Names kept per kind of warning; counts go on."""


@dataclass(frozen=True)
class Owner:
    """Who owns what is written; None where the process may not and need not change it."""

    uid: int
    gid: int


@dataclass
class Received:
    """What has arrived so far. JSON-able through `vars`, so that a checkpoint can hold it."""

    files: int = 0
    size: int = 0
    """Bytes of file content."""
    links: int = 0
    quarantined: list[str] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def warn(self, reason: str, path: bytes) -> None:
        """Count a path that was not copied as it is, keep the first names."""
        if reason not in self.counts and len(self.counts) >= MAX_LISTED:
            reason = "other"
        self.counts[reason] = self.counts.get(reason, 0) + 1
        names = self.warnings.setdefault(reason, [])
        if len(names) < MAX_LISTED:
            names.append(path.decode("utf-8", "backslashreplace"))


@dataclass(frozen=True)
class Layout:
    """Where things go below the clone: `roots` maps a root's id to its place in the document root."""

    document_root: bytes
    roots: Mapping[str, bytes]
    quarantine: bytes
    is_quarantined: Callable[[bytes], bool] = lambda _path: False
    """Decides by path relative to the document root."""


@dataclass(frozen=True)
class Arrangement:
    """Which files of a site go where, whatever the place they go to is."""

    roots: Mapping[str, bytes]
    """A root's id -> its place in the document root."""
    content: bytes
    """`wp-content`, relative to the document root."""
    mu_plugins: bytes

    def is_quarantined(self, path: bytes) -> bool:
        """Whether a file must not load on a clone; by path relative to the document root."""
        return quarantined_path(path, content=self.content, mu_plugins=self.mu_plugins) is not None

    def at(self, document_root: Path, quarantine: Path) -> Layout:
        """The same on this machine."""
        places = os.fsencode(document_root), os.fsencode(quarantine)
        return Layout(places[0], self.roots, places[1], self.is_quarantined)


class Sink(Protocol):
    """Takes the frames of one stream. Not for concurrent use. What it writes is there once `cut` has returned."""

    def feed(self, frame: Frame) -> None:
        """Take one frame. Frames that are not about files are ignored. Raises as `FileSink.feed`."""

    def cut(self) -> None:
        """A response has ended, perhaps in the middle of a file."""

    def settle(self) -> None:
        """After the last frame: links that lead outside are taken away."""

    def close(self) -> None:
        """Let go of everything."""


class FileSink:
    """Writes one stream of file frames. Not for concurrent use."""

    def __init__(self, layout: Layout, received: Received, digests: FileDigests | None = None) -> None:
        """`digests` takes note of every file that is complete. Raises OSError when the clone has no directories."""
        self._digests = digests
        self._layout = layout
        self._received = received
        self._site = Folder(layout.document_root)
        self._quarantine = Folder(layout.quarantine)
        self._file = -1
        self._meta: dict[str, Any] = {}
        self._room = 0
        """Bytes the file that comes may still bring."""
        self._hole = False
        """Whether the file ends, so far, in zeros that were not written."""

    def feed(self, frame: Frame) -> None:
        """Take one frame. Frames that are not about files are ignored.

        Raises TargetDiskFull, ImplausibleSite for what no connector of ours sends, or OSError for anything else the
        disk refuses.
        """
        try:
            self._take(frame)
        except OSError:
            with target_errors("writing files"), site_paths():
                raise

    def settle(self) -> None:
        """After the last frame: links that lead outside now that everything is there are taken away again."""
        with target_errors("looking at links"):
            for folder in (self._site, self._quarantine):
                while strays := list(folder.strays()):  # one that goes may lead another one elsewhere
                    for names in strays:
                        folder.remove(names)
                        self._received.links = max(0, self._received.links - 1)
                        self._received.warn("symlink_outside", b"/".join(names))

    def close(self) -> None:
        """Close a file that was cut short (its bytes so far stay for the resume), and all folders."""
        self._shut()
        self._site.close()
        self._quarantine.close()

    def cut(self) -> None:
        """A response has ended: close a file that was cut short."""
        self._shut()

    def _take(self, frame: Frame) -> None:
        if frame.type == "B":
            self._bytes(frame.payload)
        elif frame.type == "F":
            self._begin(frame.json())
        elif frame.type == "C":
            self._end(frame.json())
        elif frame.type == "D":
            self._directory(frame.json())
        elif frame.type == "L":
            self._link(frame.json())
        elif frame.type == "W":
            meta = frame.json()
            self._received.warn(str(meta["reason"])[:60], base64.b64decode(meta["path_b64"]))

    def _shut(self) -> None:
        if self._file >= 0:
            if self._hole:
                os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR))
            os.close(self._file)
            self._file, self._hole = -1, False

    def _begin(self, meta: dict[str, Any]) -> None:
        self._shut()
        names = self._names(meta)
        folder = self._folder(names)
        size, offset = int(meta["size"]), int(meta.get("offset", 0))
        if not 0 <= offset <= size:
            raise ImplausibleSite("The site sends a file from behind its end.")
        before = None
        if offset:
            before = self._file = folder.reopen(names, offset)
        if self._digests:
            path = base64.b64decode(meta["path_b64"])
            self._digests.begin(meta["root"], path, offset, b"" if before is None else os.dup(before))
        if before is not None:
            os.ftruncate(self._file, offset)
            os.lseek(self._file, offset, os.SEEK_SET)
        else:
            self._file = folder.create(names)
        self._meta, self._room = meta, size - offset

    def _bytes(self, payload: bytes | memoryview) -> None:
        if self._file < 0:
            raise ImplausibleSite("The site sends bytes of no file.")
        self._room -= len(payload)
        if self._room < 0:
            raise ImplausibleSite("The site sends more bytes of a file than it has announced.")
        self._hole = _is_hole(payload)
        if self._hole:
            os.lseek(self._file, len(payload), os.SEEK_CUR)
        view = memoryview(b"" if self._hole else payload)
        while view:
            view = view[os.write(self._file, view) :]
        self._received.size += len(payload)
        if self._digests:
            self._digests.add(payload)

    def _end(self, meta: dict[str, Any]) -> None:
        if self._file < 0:
            raise ImplausibleSite("The site ends a file that it has not begun.")
        os.fchmod(self._file, stat.S_IMODE(int(self._meta.get("mode", 0o644))) & 0o777 | 0o600)
        if stat.S_IMODE(int(self._meta.get("mode", 0o644))) & (stat.S_ISUID | stat.S_ISGID):
            self._received.warn("mode_reduced", base64.b64decode(self._meta["path_b64"]))
        if self._hole:
            os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR))
            self._hole = False
        mtime = min(max(int(self._meta["mtime"]), 0), LATEST)
        os.utime(self._file, (mtime, mtime))
        self._shut()
        self._received.files += 1
        if self._digests:
            self._digests.end()
        if meta.get("changed"):
            self._received.warn("changed_while_read", base64.b64decode(self._meta["path_b64"]))

    def _directory(self, meta: dict[str, Any]) -> None:
        names = self._names(meta)
        descriptor = self._folder(names, noted=False).directory(names)
        os.fchmod(descriptor, stat.S_IMODE(int(meta.get("mode", 0o755))) & 0o777 | 0o700)

    def _link(self, meta: dict[str, Any]) -> None:
        names, goal = self._names(meta), base64.b64decode(meta["target_b64"])
        folder = self._folder(names)
        where = os.path.join(folder.path, *names[:-1])
        # Resolved through the links that are there: by its text alone `link/../..` looks harmless. What is there later
        # may lead it elsewhere, which `settle` looks at.
        leads_to = os.path.realpath(os.path.join(where, goal))
        outside = not within(leads_to, os.path.realpath(self._layout.document_root))
        if goal.startswith(b"/") or b"\0" in goal or not goal or not names or outside:
            self._received.warn("symlink_outside", b"/".join(names))
            return
        folder.link(names, goal)
        self._received.links += 1

    def _names(self, meta: dict[str, Any]) -> list[bytes]:
        """Where something goes below the document root. Raises BadPath."""
        root = self._layout.roots[meta["root"]]
        return [*relative(root.strip(b"/")), *relative(base64.b64decode(meta["path_b64"]))]

    def _folder(self, names: list[bytes], *, noted: bool = True) -> Folder:
        path = b"/".join(names)
        if not self._layout.is_quarantined(path):
            return self._site
        if noted and len(self._received.quarantined) < MAX_LISTED:
            name = path.decode("utf-8", "backslashreplace")
            if name not in self._received.quarantined:
                self._received.quarantined.append(name)
        return self._quarantine


def _is_hole(payload: bytes | memoryview) -> bool:
    """Whether a piece of a file is zeros alone, for which a file needs no room: disk images, databases of search."""
    return len(payload) >= HOLE and not payload[0] and not payload[-1] and bytes(payload).count(0) == len(payload)


def receive(frames: Iterable[Frame], sink: Sink, *, on_frame: Callable[[], None]) -> dict[str, Any]:
    """Feed a whole response into the sink and return its end statement (`cursor`, `done`).

    `on_frame` is called after every frame; it reports progress and raises to stop.
    """
    end: dict[str, Any] = {}
    try:
        for frame in frames:
            if frame.type == "E":
                end = frame.json()
            else:
                sink.feed(frame)
            on_frame()
    finally:
        sink.cut()
    return end
