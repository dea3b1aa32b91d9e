"""Receiving files: frames of the connector's `files.stream` become files below one directory.

Everything that arrives is treated as hostile: paths are bytes, normalised and confined to the directory, links are made
only when they stay inside it. Writing is idempotent, so a stream may be resumed at any cursor that was reached.
"""

from __future__ import annotations

import base64
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from shared.wordpress.connector.protocol import Frame
from shared.wordpress.transfer.digests import FileDigests
from shared.wordpress.transfer.errors import target_errors

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


class FileSink:
    """Writes one stream of file frames. Not for concurrent use."""

    def __init__(
        self, layout: Layout, received: Received, owner: Owner | None = None, digests: FileDigests | None = None
    ) -> None:
        """`digests` takes note of every file that is complete."""
        self._digests = digests
        self._layout = layout
        self._received = received
        self._owner = owner
        self._safe_parents: set[bytes] = set()
        self._file: BinaryIO | None = None
        self._meta: dict[str, Any] = {}
        self._path = b""
        self._unseen = 0

    def feed(self, frame: Frame) -> None:
        """Take one frame. Frames that are not about files are ignored.

        Raises TargetDiskFull, or OSError for anything else the disk refuses.
        """
        with target_errors("writing files"):
            if frame.type == "B":
                assert self._file is not None, "bytes without a file"
                self._file.write(frame.payload)
                self._received.size += len(frame.payload)
                if self._digests:
                    self._digests.add(frame.payload)
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
                self._received.warn(meta["reason"], base64.b64decode(meta["path_b64"]))

    def close(self) -> None:
        """Close a file that was cut short; its bytes so far stay for the resume."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self, meta: dict[str, Any]) -> None:
        self.close()
        relative = self._relative(meta)
        target = self._place(relative)
        offset = int(meta.get("offset", 0))
        if self._digests:
            self._digests.begin(meta["root"], base64.b64decode(meta["path_b64"]), offset, target)
        if offset:
            self._file = open(target, "r+b", buffering=0)
            self._file.truncate(offset)
            self._file.seek(offset)
        else:
            self._file = _create(target)
        self._meta, self._path = meta, target

    def _end(self, meta: dict[str, Any]) -> None:
        assert self._file is not None, "end without a file"
        descriptor = self._file.fileno()
        os.fchmod(descriptor, stat.S_IMODE(int(self._meta.get("mode", 0o644))) & 0o777 | 0o600)
        if self._owner:
            os.fchown(descriptor, self._owner.uid, self._owner.gid)
        os.utime(descriptor, (self._meta["mtime"], self._meta["mtime"]))
        self.close()
        self._received.files += 1
        if self._digests:
            self._digests.end()
        if meta.get("changed"):
            self._received.warn("changed_while_read", base64.b64decode(self._meta["path_b64"]))

    def _directory(self, meta: dict[str, Any]) -> None:
        place = self._place(self._relative(meta) + b"/.")
        os.chmod(os.path.dirname(place), stat.S_IMODE(int(meta.get("mode", 0o755))) & 0o777 | 0o700)

    def _link(self, meta: dict[str, Any]) -> None:
        relative, goal = self._relative(meta), base64.b64decode(meta["target_b64"])
        place = self._place(relative)
        # Resolved through the links that are there: by its text alone `link/../..` looks harmless.
        leads_to = os.path.realpath(os.path.join(os.path.dirname(place), goal))
        if goal.startswith(b"/") or not _within(leads_to, os.path.realpath(self._layout.document_root)):
            self._received.warn("symlink_outside", relative)
            return
        if os.path.lexists(place):
            os.unlink(place)
        os.symlink(goal, place)
        self._safe_parents.clear()
        self._received.links += 1

    def _relative(self, meta: dict[str, Any]) -> bytes:
        raw = base64.b64decode(meta["path_b64"])
        path = posixpath.normpath(b"/" + raw).lstrip(b"/")
        if b"\0" in path or raw.startswith(b"/") or b".." in raw.split(b"/"):
            raise ValueError("the source sent a path outside of its root")
        root = self._layout.roots[meta["root"]].strip(b"/")
        return root + b"/" + path if root else path

    def _place(self, relative: bytes) -> bytes:
        quarantined = self._layout.is_quarantined(relative)
        base = self._layout.quarantine if quarantined else self._layout.document_root
        target = os.path.join(base, relative)
        self._make_parent(os.path.dirname(target), base)
        if quarantined and not relative.endswith(b"/.") and len(self._received.quarantined) < MAX_LISTED:
            name = relative.decode("utf-8", "backslashreplace")
            if name not in self._received.quarantined:
                self._received.quarantined.append(name)
        return target

    def _make_parent(self, parent: bytes, base: bytes) -> None:
        if parent in self._safe_parents:
            return
        missing = []
        current = parent
        while current != base and not os.path.lexists(current):
            missing.append(current)
            current = os.path.dirname(current)
        if not _within(os.path.realpath(current), os.path.realpath(base)):
            raise ValueError("the source sent a path that leads outside through a link")
        for directory in reversed(missing):
            os.mkdir(directory, 0o755)
            if self._owner:
                os.chown(directory, self._owner.uid, self._owner.gid)
        self._safe_parents.add(parent)


def _create(target: bytes) -> BinaryIO:
    """A new file. What an earlier attempt left goes first: a link or a read-only file must not be written through."""
    try:
        return open(target, "xb", buffering=0)
    except FileExistsError:
        os.unlink(target)
        return open(target, "xb", buffering=0)


def _within(path: bytes, base: bytes) -> bool:
    return path == base or path.startswith(base + b"/")


def receive(frames: Iterable[Frame], sink: FileSink, *, on_frame: Callable[[], None]) -> dict[str, Any]:
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
        sink.close()
    return end
