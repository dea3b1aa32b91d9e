"""Digests of what arrives, taken while it arrives and before it is changed: the lines of a `shared.wordpress.base`.

They go to files that are only appended to. Whoever takes a transfer up again gives the place they had reached when the
rows or files before it were durable, and what a dead worker wrote behind it is cut off. Nothing here may end a clone:
once a file can not be written, no more is remembered, and the place says so by being None.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from shared.log import get
from shared.wordpress.base import PLACES, file_line, row_identity, table_line
from shared.wordpress.transfer.database import Table

log = get(__name__)

LARGE = 4 * 1024 * 1024
"""Bytes from which a row is digested where it is, without a copy."""
BLOCK = 1 << 20
Before = Path | bytes | int | Callable[[], AbstractContextManager[BinaryIO]]
"""Where bytes of a file are that came earlier: a path, a descriptor, or what opens it."""


class Spool:
    """Lines in a file. `place` is where it ends; None once it could not be written."""

    def __init__(self, path: Path, place: int | None) -> None:
        """Begin at a place (0: anew); None: what an attempt before this one gave up stays given up."""
        self.path = path
        self._file: BinaryIO | None = None
        if place is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            self._file = os.fdopen(descriptor, "r+b", buffering=BLOCK)
            if self._file.seek(0, os.SEEK_END) < place:
                raise OSError("the end of the file is lost")
            self._file.truncate(place)
            self._file.seek(place)
        except OSError as error:
            self._give_up(error)

    def write(self, lines: bytes) -> None:
        """Append lines."""
        if self._file is not None:
            try:
                self._file.write(lines)
            except OSError as error:
                self._give_up(error)

    def place(self) -> int | None:
        """Where the file ends, with everything written handed to the system."""
        if self._file is not None:
            try:
                self._file.flush()
                return self._file.tell()
            except OSError as error:
                self._give_up(error)
        return None

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                log.warning("digests were not all written", error=str(error))
            self._file = None

    def _give_up(self, error: OSError) -> None:
        log.warning("digests are not kept", file=str(self.path), error=str(error))
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                log.debug("nor could the file be closed", file=str(self.path))


class RowDigests:
    """Digests of the rows of one table after the other. Not for concurrent use."""

    def __init__(
        self, path: Path, prefix: str, position: Mapping[str, Any] | None, *, again: str | None = None
    ) -> None:
        """`position` is what `position()` gave with the last durable row, None to give up, empty to begin.

        `again`: the table that comes once more from its start.
        """
        self._prefix = prefix
        begun = {"at": 0, "table": None, "table_at": 0} | dict(position or {})
        repeated = again is not None and again == begun["table"]
        self._table: str | None = None if repeated else begun["table"]
        self._table_at: int = begun["table_at"]
        at = begun["table_at"] if repeated else begun["at"]
        self._spool = Spool(path, None if position is None else at)
        self._digest: Callable[[bytes, bytes], bytes] | None = None

    def add(self, table: Table, rows: bytes, loaded: bytes) -> None:
        """Take whole rows as the source sent them, and the same rows as the clone gets them."""
        if table.name != self._table or self._digest is None:
            self._begin(table)
        assert self._digest is not None
        self._spool.write(self._digest(rows, loaded))

    def position(self) -> dict[str, Any] | None:
        """What to begin with once everything added so far is durable; None: no more is remembered."""
        at = self._spool.place()
        return None if at is None else {"at": at, "table": self._table, "table_at": self._table_at}

    def close(self) -> None:
        """Let go of the file."""
        self._spool.close()

    def _begin(self, table: Table) -> None:
        names = [column.name for column in table.columns]
        key, columns = row_identity(table.name.removeprefix(self._prefix), table.key, names)
        if table.name != self._table:
            self._table, self._table_at = table.name, self._spool.place() or 0
            self._spool.write(table_line(table.name, key, columns))
        self._digest = digester([names.index(name) for name in key], [names.index(name) for name in columns])


def digester(key: list[int], columns: list[int]) -> Callable[[bytes, bytes], bytes]:
    """What turns rows, and the same rows as rewritten, into lines of the base; both lists are places of cells."""
    whole = columns == list(range(len(columns)))

    def digest(rows: bytes, loaded: bytes) -> bytes:
        if len(rows) > LARGE and rows.find(b"\n") == len(rows) - 1:
            return _where_it_is(rows, loaded, key, columns)
        before = rows.split(b"\n")[:-1]
        after = before if loaded is rows else loaded.split(b"\n")[:-1]
        if whole and key == [0]:
            return _by_first_cell(before, after)
        return _by_cells(before, after, key, None if whole else columns)

    return digest


def _by_first_cell(before: list[bytes], after: list[bytes]) -> bytes:
    """The usual table: the first cell is the key, and all cells count. Called for every row there is: no detours."""
    md5 = hashlib.md5
    found = []
    for line, new in zip(before, after, strict=True):
        digest = md5(line, usedforsecurity=False).hexdigest()
        name = line.partition(b"\t")[0]
        if new != line:
            digest += md5(new, usedforsecurity=False).hexdigest()
            if (moved := new.partition(b"\t")[0]) != name:
                found.append(b"K\t%b\t%b\n" % (name, moved))
        found.append(b"R\t%b\t%b\n" % (digest.encode(), name))
    return b"".join(found)


def _by_cells(before: list[bytes], after: list[bytes], key: list[int], columns: list[int] | None) -> bytes:
    """Rows told apart by these cells; `columns`: the cells that count, None for all."""
    found = []
    for line, new in zip(before, after, strict=True):
        cells = line.split(b"\t")
        told = line if columns is None else b"\t".join([cells[i] for i in columns])
        digest = hashlib.md5(told, usedforsecurity=False).hexdigest()
        if new != line:
            changed = new.split(b"\t")
            told = new if columns is None else b"\t".join([changed[i] for i in columns])
            digest += hashlib.md5(told, usedforsecurity=False).hexdigest()
            if (name := [cells[i] for i in key]) != (moved := [changed[i] for i in key]):
                found.append(b"K\t%b\n" % b"\t".join([*name, *moved]))
        found.append(b"R\t%b\t%b\n" % (digest.encode(), b"\t".join([cells[i] for i in key])))
    return b"".join(found)


def _where_it_is(row: bytes, loaded: bytes, key: list[int], columns: list[int]) -> bytes:
    """One large row, without a copy of its cells."""
    cells = _cells(row)
    digest, moved = _digest_of(row, cells, columns), b""
    if loaded is not row:
        others = _cells(loaded)
        digest += _digest_of(loaded, others, columns)
        names = [[data[slice(*at[i])] for i in key] for data, at in ((row, cells), (loaded, others))]
        moved = b"K\t%b\n" % b"\t".join([*names[0], *names[1]]) if names[0] != names[1] else b""
    return moved + b"R\t%b\t%b\n" % (digest.encode(), b"\t".join([row[slice(*cells[i])] for i in key]))


def _cells(row: bytes) -> list[tuple[int, int]]:
    """Where the cells of one row begin and end."""
    found, start = [], 0
    while (end := row.find(b"\t", start)) >= 0:
        found.append((start, end))
        start = end + 1
    return [*found, (start, len(row) - 1)]


def _digest_of(row: bytes, cells: list[tuple[int, int]], columns: list[int]) -> str:
    md5, view = hashlib.md5(usedforsecurity=False), memoryview(row)
    for number, (start, end) in enumerate(cells[i] for i in columns):
        md5.update(b"\t" if number else b"")
        md5.update(view[start:end])
    return md5.hexdigest()


class FileDigests:
    """Digests of files on their way, named by WordPress's directories. Not for concurrent use."""

    def __init__(self, path: Path, place: int | None, *, roots: Mapping[str, str], bases: Mapping[str, str]) -> None:
        """`roots` maps ids of the stream's roots to directories of the source, `bases` those of WordPress."""
        self._spool = Spool(path, place)
        self._roots = {name: root.rstrip("/").encode() for name, root in roots.items()}
        found = [(bases[name].rstrip("/").encode() + b"/", name) for name in PLACES if bases.get(name)]
        self._bases = sorted(found, key=lambda item: -len(item[0]))
        self._hash = hashlib.md5(usedforsecurity=False)
        self._size = 0
        self._name: tuple[str, bytes] | None = None
        self._at: tuple[str, bytes] | None = None
        """What the base calls the file; None: it remembers nothing of it."""

    def begin(self, root: str, path: bytes, offset: int, written: Before) -> None:
        """A file's bytes come, from `offset` on; those before it are in `written`, a descriptor of which is closed."""
        if (root, path) == self._name and offset and self._size == offset:
            if isinstance(written, int):
                os.close(written)
            return  # it goes on where the last response ended
        self._name, self._size, self._at = (root, path), 0, self._place(root, path)
        if self._at is not None:
            self._hash = hashlib.md5(usedforsecurity=False)
        if offset and self._at is None and isinstance(written, int):
            os.close(written)
        elif offset and self._at is not None:
            with written() if callable(written) else open(written, "rb") as file:
                while self._size < offset and (block := file.read(min(BLOCK, offset - self._size))):
                    self.add(block)

    def add(self, block: bytes | memoryview) -> None:
        """More bytes of the file."""
        if self._at is None:
            return
        self._hash.update(block)
        self._size += len(block)

    def end(self) -> None:
        """The file is complete."""
        if self._name is not None and self._at is not None:
            self._spool.write(file_line(*self._at, self._size, self._hash.hexdigest()))
        self._name = None

    def known(self, root: str, path: bytes, size: int, md5: str) -> None:
        """A file that is there already, of which everything is known."""
        if (place := self._place(root, path)) is not None:
            self._spool.write(file_line(*place, size, md5))

    def place(self) -> int | None:
        """Where to begin once everything up to here is durable; None: no more is remembered."""
        return self._spool.place()

    def close(self) -> None:
        """Let go of the file."""
        self._spool.close()

    def _place(self, root: str, path: bytes) -> tuple[str, bytes] | None:
        full = self._roots[root] + b"/" + path
        return next(((name, full[len(base) :]) for base, name in self._bases if full.startswith(base)), None)
