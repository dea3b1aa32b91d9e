"""What a restore is about to do, in memory and on this machine's disk: small enough to be computed again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from services.restorer.domain.tables import Pair
from shared.contract.jobs import RestorePlan, TablePlan
from shared.wordpress.connector.target import FileDigest, FileName, SwapFile, SwapPlan, SwapTable


class Spool:
    """Rows on their way, whole lines in one file below a directory; no file before the first row."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self.lines = 0

    def add(self, line: bytes) -> None:
        """One row, without its newline."""
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._directory))
        self._file.write(line + b"\n")
        self.lines += 1

    def __iter__(self) -> Iterator[bytes]:
        if self._file is not None:
            self._file.seek(0)
            for line in self._file:
                yield line[:-1]


@dataclass
class TableWork:
    """What is to be done to one table."""

    pair: Pair
    plan: TablePlan
    spool: Spool
    deletes: list[bytes] = field(default_factory=list)
    written: dict[bytes, bytes] = field(default_factory=dict)
    """Key -> digest of each row that is written."""
    rebased: dict[bytes, bytes | None] = field(default_factory=dict)
    """Key -> digest production has after the restore (None: no such row), where the base says something else."""
    apart: dict[bytes, bytes] = field(default_factory=dict)
    """Key -> digest of the clone's row, where production's server stores the same one otherwise."""
    highest: int = 0
    """The highest number of a row of the clone, for tables that number their rows."""
    number: int = -1
    """The staged table's number."""
    leftovers: int = 0
    """Places in what is written that still name the clone's address."""
    left_at: list[str] = field(default_factory=list)
    """Some of these places, for people."""
    shorter: list[str] = field(default_factory=list)
    """Values of production that would be cut, as sentences."""
    identity: list[str] = field(default_factory=list)
    """Options that hold an address in a form nobody rewrites, and so stay production's."""
    copied: int = 0
    """Rows of production the staged table began with."""

    @property
    def changes(self) -> bool:
        """Whether this table is exchanged at all."""
        return self.plan.action != "keep"


@dataclass
class FilesWork:
    """What is to be done to files: those to fetch, and those of production to remove."""

    puts: list[FileDigest] = field(default_factory=list)
    removes: list[FileName] = field(default_factory=list)
    there: dict[tuple[str, bytes], str] = field(default_factory=dict)
    """MD5 of production's version of what is put."""
    rebased: dict[tuple[str, bytes], str | None] = field(default_factory=dict)
    """MD5 production has after the restore, where the base says something else."""
    staged: list[FileName] = field(default_factory=list)
    """What really travelled: some texts are the same once they name the right address."""
    bytes: int = 0
    kept: list[str] = field(default_factory=list)
    """Files of production that stay although the clone has another one of their name: it never had theirs."""


@dataclass
class Work:
    """One restore."""

    tables: list[TableWork]
    files: FilesWork
    plan: RestorePlan
    rows_staged: bool = False
    files_staged: bool = False

    @property
    def changed(self) -> list[TableWork]:
        """Tables that are exchanged."""
        return [table for table in self.tables if table.changes]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not self.changed and not self.files.puts and not self.files.removes

    def swap_plan(self) -> SwapPlan:
        """The exchange, options aside."""
        tables = [
            SwapTable(table.number, table.pair.live, "exchange" if table.pair.target else "create")
            for table in self.changed
        ]
        files = [SwapFile(name) for name in self.files.staged]
        return SwapPlan(tables, [*files, *(SwapFile(name, "remove") for name in self.files.removes)])
