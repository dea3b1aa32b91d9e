"""What goes to and comes from a connector that writes: plain records, in the terms of the protocol.

Rows travel as lines in LOAD DATA's default format without their newline, exactly as `db.stream` sends them; keys as
such lines of the key columns alone. Files are named by a base (`content`, `themes`, `plugins`, `mu-plugins`, `uploads`:
the most specific one that holds the file) and the path below it, as bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO, Final, Literal

BASES: Final = ("content", "themes", "plugins", "mu-plugins", "uploads")
"""The only directories whose files are ever written."""


class SwapPhase(StrEnum):
    """Where a restore stands on the target. `swapping` and `rolling_back` never last: the next request ends them."""

    NONE = "none"
    STAGED = "staged"
    SWAPPING = "swapping"
    SWAPPED = "swapped"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class TableRead:
    """A table to read: `columns` and `key` as `inspect` gives them (no generated columns), `where` the row rules."""

    name: str
    columns: tuple[dict[str, Any], ...]
    key: tuple[str, ...] = ()
    where: tuple[dict[str, Any], ...] = ()

    def params(self) -> dict[str, Any]:
        """The table as requests carry it."""
        return {
            "name": self.name,
            "columns": list(self.columns),
            "key": list(self.key),
            "where": list(self.where),
        }


@dataclass(frozen=True, slots=True)
class FileName:
    """A file of the site."""

    base: str
    path: bytes

    def params(self) -> dict[str, str]:
        """The name as requests carry it."""
        return {"base": self.base, "path_b64": base64.b64encode(self.path).decode()}


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file as `files.digest` lists it; `md5` is None for a file that can not be read."""

    base: str
    path: bytes
    size: int
    mtime: int
    mode: int
    md5: str | None

    @property
    def name(self) -> FileName:
        return FileName(self.base, self.path)


@dataclass(frozen=True, slots=True)
class LinkDigest:
    """A symlink that stays inside its base; it is never written, only listed."""

    base: str
    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class FileStart:
    """The bytes that follow belong to this file. A file that changed while it was sent starts again."""

    name: FileName
    size: int
    mtime: int
    mode: int


@dataclass(frozen=True, slots=True)
class FileBytes:
    """The next bytes of the file, at most 1 MiB."""

    data: bytes


@dataclass(frozen=True, slots=True)
class FileEnd:
    """The file is complete; `changed` when it was written to meanwhile and what came may be a mixture."""

    size: int
    changed: bool


@dataclass(frozen=True, slots=True)
class FileGone:
    """This file could not be sent: `vanished`, `unreadable` or `not_a_file`."""

    name: FileName
    reason: str


FileEvent = FileStart | FileBytes | FileEnd | FileGone


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table to be staged as number `n`: a copy of the live table `name`, or empty from the DDL `create`.

    `key` as `inspect` gives it; the copy goes along it.
    """

    n: int
    name: str
    key: tuple[str, ...] = ()
    create: str | None = None

    def params(self) -> dict[str, Any]:
        """The table as requests carry it."""
        source = "live" if self.create is None else "create"
        return {"n": self.n, "name": self.name, "from": source, "create": self.create, "key": list(self.key)}


@dataclass(frozen=True, slots=True)
class Begun:
    """`disk_free` in bytes (None: the host does not say); `staged` is table number -> name of the staged table.

    `same_filesystem` tells for each base whether staged files can be moved there in one step (else they are copied
    beside their place first; slower, as safe).
    """

    state: SwapPhase
    directory: str
    disk_free: int | None
    same_filesystem: dict[str, bool]
    staged: dict[int, str]


@dataclass(frozen=True, slots=True)
class Applied:
    """Rows written and rows deleted (rows that were not there are not counted)."""

    upserted: int
    deleted: int


@dataclass(frozen=True, slots=True)
class FilePut:
    """A file to be staged. `open` gives its bytes; it is called again when a chunk must be sent again."""

    name: FileName
    size: int
    mtime: int
    mode: int
    md5: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class OptionsKept:
    """Options whose production values stay: exact names and SQL LIKE patterns. `n` is the staged options table."""

    n: int
    names: tuple[str, ...] = ()
    like: tuple[str, ...] = ()

    def params(self) -> dict[str, Any]:
        """The rule as requests carry it."""
        return {"n": self.n, "names": list(self.names), "like": list(self.like)}


@dataclass(frozen=True, slots=True)
class SwapTable:
    """What the swap does with a table: exchange live and staged, create it (no live one), or drop the live one."""

    n: int
    live: str
    action: Literal["exchange", "create", "drop"] = "exchange"


@dataclass(frozen=True, slots=True)
class SwapFile:
    """What the swap does with a file: put the staged one in its place, or remove the live one."""

    name: FileName
    action: Literal["put", "remove"] = "put"

    def params(self) -> dict[str, str]:
        """The step as requests carry it."""
        return {**self.name.params(), "action": self.action}


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """The whole exchange. `auto_increment_gap`: how far new rows of the site stay away from the rows that came."""

    tables: Sequence[SwapTable]
    files: Sequence[SwapFile] = ()
    options: OptionsKept | None = None
    auto_increment_gap: int = 10_000

    def params(self) -> dict[str, Any]:
        """The plan as requests carry it."""
        return {
            "tables": [{"n": table.n, "live": table.live, "action": table.action} for table in self.tables],
            "files": [file.params() for file in self.files],
            "options_keep": self.options.params() if self.options else None,
            "auto_increment_gap": self.auto_increment_gap,
        }


@dataclass(frozen=True, slots=True)
class LateRows:
    """Rows that came in beside the restore and were carried over.

    `skipped`: rows per table whose key or unique value was taken by a row of the restore; they are not carried.
    """

    rows: int
    by_table: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Swapped:
    """Done. `rename_ms`: how long the exchange of the tables held visitors up; `files_ms`: the files before it."""

    rename_ms: float
    files_ms: float
    files: int
    tables: int
    late: LateRows


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Everything is as it was before the swap, plus the rows visitors wrote since (`late`)."""

    rename_ms: float
    total_ms: float
    late: LateRows


@dataclass(frozen=True, slots=True)
class SwapState:
    """What the target's journal says; `finished_forward` after a swap that was cut off behind its commit point."""

    state: SwapPhase
    restore: str
    created: float | None = None
    tables: int = 0
    files: int = 0
    swapped: Swapped | None = None
    rolled_back: RolledBack | None = None
    replayed: bool = False
    """Whether a journal was replayed since: the swap or roll-back was cut off and then brought to an end."""


@dataclass(frozen=True, slots=True)
class SnapshotFound:
    """A restore that left something on the target: `bytes` of kept and staged files, tables kept or staged."""

    restore: str
    state: SwapPhase
    created: float
    tables: int
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Health:
    """How the site is, seen from inside: fatal errors of PHP's log since the asked time (newest last, at most 20)."""

    php_errors: tuple[str, ...]
    log_readable: bool
    active_plugins: tuple[str, ...]
    theme: str
    paused: tuple[str, ...]
    """Plugins and themes WordPress has paused because of a fatal error."""
