"""What a snapshot says about itself. Numbers count what `capture` took; checksums are CRC32 (they find a bad disk)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from services.cloner.drivers.host.snapshots.errors import NoSuchSnapshot, SnapshotDamaged

MANIFEST, TREE = "manifest.json", "tree"
FORMAT = 2
READABLE = (1, FORMAT)
"""The first had no pack."""


@dataclass(frozen=True)
class Stored:
    """A file of the snapshot."""

    size: int
    crc: int


@dataclass(frozen=True)
class Entry:
    """One thing among a clone's files."""

    path: bytes
    """Relative to the clone's directory, like `site/wp-content/uploads/a.jpg`."""
    kind: Literal["dir", "file", "link"]
    mode: int
    mtime: int
    """Nanoseconds."""
    content: int = -1
    """Number of the file that holds the content; -1: it lies in the pack."""
    size: int = 0
    crc: int = 0
    goal: bytes = b""
    """Where a link leads, as it says itself."""
    offset: int = -1
    """Of the content in the pack."""

    def line(self) -> bytes:
        """The entry for the tree."""
        path, goal = os.fsdecode(self.path), os.fsdecode(self.goal)
        told = [path, self.kind, self.mode, self.mtime, self.content, self.size, self.crc, goal, self.offset]
        return json.dumps(told, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """An entry of the tree."""
        path, kind, mode, mtime, content, size, crc, goal, *offset = json.loads(line)
        return cls(os.fsencode(path), kind, mode, mtime, content, size, crc, os.fsencode(goal), *offset)


@dataclass(frozen=True)
class KeptTable:
    """A table, or a sequence."""

    name: str
    create: str
    """As the server shows it."""
    way: Literal["space", "rows", "sequence"]
    files: dict[str, Stored] = field(default_factory=dict)
    """Below `tables/`, by name."""
    columns: list[tuple[str, str]] = field(default_factory=list)
    """Name and class (`shared.wordpress.transfer.database.Column`) of what its rows hold, where they travel as such."""
    rows: int = 0
    sum: int = 0
    """Of its rows, where they travel as such (`shared.wordpress.transfer.proof.stored_sum`)."""
    value: list[int] = field(default_factory=list)
    """Of a sequence: the next number, and how often it has begun anew."""


@dataclass(frozen=True)
class Definition:
    """A view, trigger or routine, as the server shows it."""

    kind: Literal["VIEW", "TRIGGER", "PROCEDURE", "FUNCTION"]
    name: str
    create: str
    sql_mode: str = ""


@dataclass
class Manifest:
    """A snapshot."""

    clone_id: str
    """Of whom it was taken."""
    url: str
    """The address that clone had, which its rows name."""
    made_at: str
    """ISO 8601, UTC."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever the caller of `capture` wanted to be kept with it."""
    files: int = 0
    bytes: int = 0
    """Of files and tables together."""
    skipped: int = 0
    """Sockets, pipes and devices, which are left out."""
    tree: Stored = Stored(0, 0)
    tables: list[KeptTable] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    charset: str = "utf8mb4"
    collation: str = ""
    """Of the database."""
    notes: list[str] = field(default_factory=list)
    """What was done in a slower way, and why, for people."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Store it, with a checksum of itself."""
        text = json.dumps(asdict(self))
        fresh = folder / f".{MANIFEST}"
        fresh.write_text(f"{text}\n{crc32(text.encode())}\n")
        fresh.replace(folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises NoSuchSnapshot, SnapshotDamaged."""
        try:
            text, crc = (folder / MANIFEST).read_text().split("\n")[:2]
        except FileNotFoundError as error:
            raise NoSuchSnapshot from error
        except (ValueError, OSError) as error:
            raise SnapshotDamaged("The stored state has no readable list of what it holds.") from error
        if not crc.isdigit() or crc32(text.encode()) != int(crc):
            raise SnapshotDamaged("The list of what the stored state holds is damaged on the disk.")
        told = json.loads(text)
        if told["format"] not in READABLE:
            raise SnapshotDamaged("The state was stored by another version of Siteferry.")
        told["tree"] = Stored(**told["tree"])
        told["tables"] = [_table(one) for one in told["tables"]]
        told["definitions"] = [Definition(**one) for one in told["definitions"]]
        return cls(**told)


def entries(folder: Path, manifest: Manifest) -> Iterator[Entry]:
    """Every entry of a snapshot, folders before what they hold. Raises SnapshotDamaged before the first."""
    try:
        data = (folder / TREE).read_bytes()
    except OSError as error:
        raise SnapshotDamaged("The stored list of files is gone.") from error
    if Stored(len(data), crc32(data)) != manifest.tree:
        raise SnapshotDamaged("The stored list of files is damaged on the disk.")
    return map(Entry.read, data.splitlines())


def _table(told: dict[str, Any]) -> KeptTable:
    files = {name: Stored(**one) for name, one in told["files"].items()}
    columns = [(name, kind) for name, kind in told["columns"]]
    return KeptTable(**{**told, "files": files, "columns": columns})
