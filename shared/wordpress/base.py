"""What a site was when it was cloned, in digests: which rows and files have changed since, and on which side.

A gzipped text. First a line of JSON, the `BaseHeader`. Then for each table `T <JSON: name, key, columns>`, followed by
`R <MD5 of the row> <its key, cells as text>` for each of its rows, with the MD5 of the row the clone got right behind
the first where that is another one (since version 2); a table named again goes on. `K <cells of its key> <cells of its
key on the clone>` precedes a row whose key was rewritten. Last `F <base> <path in
base64> <size> <MD5>` for each file below WordPress's own directories. Fields are separated by tabs.

A row's MD5 is that of its line as the connector sends it, without the newline: cells in the order of `columns`. Rows of
`options` are told apart by name and go without their number, for that differs between sites.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

VERSION = 2
READABLE = (1, 2)
LEVEL = 1
"""Of gzip: digests do not compress, so more effort gives nothing."""
BLOCK = 1 << 20
PLACES = ("content", "plugins", "mu-plugins", "themes", "uploads")
"""Directories whose files are remembered; WordPress's own code is not."""


class BadBase(ValueError):
    """The text is not a base, or breaks off."""


@dataclass(frozen=True)
class BaseHeader:
    """Whose base it is."""

    clone_id: str
    source: str
    """Home address of the site that was cloned."""
    prefix: str
    created: str
    """When copying began, ISO 8601: nothing changed later than this is in the base for certain."""
    version: int = VERSION
    first_ids: Mapping[str, int] = field(default_factory=dict)
    """Where the ids of the clone's new rows began, by table: what has a smaller one came from the source."""
    media_stayed: bool = False
    """Whether files of the uploads that `shared.wordpress.media` names never came: no line tells of them."""


@dataclass(frozen=True)
class BaseTable:
    """One table: what tells its rows apart, in which order cells were digested, and the digests."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: dict[bytes, bytes] = field(default_factory=dict)
    """Key -> MD5, 16 bytes. For a table without key: MD5 -> MD5."""
    loaded: dict[bytes, bytes] = field(default_factory=dict)
    """Key -> MD5 of the row as the clone got it, for those that were rewritten on their way."""
    moved: dict[bytes, bytes] = field(default_factory=dict)
    """Key on the clone -> key, for rows whose key holds an address."""


@dataclass(frozen=True)
class Base:
    """A base that has been read."""

    header: BaseHeader
    tables: Mapping[str, BaseTable]
    """By name without prefix."""
    files: Mapping[tuple[str, bytes], str]
    """(base, path) -> MD5 in hex."""

    @property
    def created(self) -> datetime:
        """When the site was as the base says."""
        return datetime.fromisoformat(self.header.created)

    def rows(self, short: str, key: Sequence[str], columns: Sequence[str]) -> Mapping[bytes, bytes] | None:
        """Digests of a table, as long as it is still built as it was: else they say nothing, and this is None."""
        table = self._table(short, key, columns)
        return None if table is None else table.rows

    def loaded(self, short: str, key: Sequence[str], columns: Sequence[str]) -> Mapping[bytes, bytes]:
        """Digests of the rows the clone got that differ from the source's; none when the table is built otherwise."""
        table = self._table(short, key, columns)
        return {} if table is None else table.loaded

    def moved(self, short: str, key: Sequence[str], columns: Sequence[str]) -> Mapping[bytes, bytes]:
        """Keys of the clone -> keys of the source, where they differ; none when the table is built otherwise."""
        table = self._table(short, key, columns)
        return {} if table is None else table.moved

    def _table(self, short: str, key: Sequence[str], columns: Sequence[str]) -> BaseTable | None:
        table = self.tables.get(short)
        if table is None or table.key != tuple(key) or table.columns != tuple(columns):
            return None
        return table


def row_identity(short: str, key: Sequence[str], columns: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Key and columns rows of a table are digested by; `short` is its name without prefix."""
    if short == "options" and "option_name" in columns:
        return ("option_name",), tuple(name for name in columns if name != "option_id")
    return tuple(key), tuple(columns)


def halves(cells: bytes) -> tuple[bytes, bytes]:
    """The two keys of a `K` line, without what precedes them."""
    found = cells.split(b"\t")
    middle = len(found) // 2
    return b"\t".join(found[:middle]), b"\t".join(found[middle:])


def table_line(name: str, key: Sequence[str], columns: Sequence[str]) -> bytes:
    """The line that begins a table, or goes on with it."""
    return b"T\t" + json.dumps({"name": name, "key": list(key), "columns": list(columns)}).encode() + b"\n"


def file_line(base: str, path: bytes, size: int, md5: str) -> bytes:
    """The line of a file."""
    return f"F\t{base}\t{base64.b64encode(path).decode()}\t{size}\t{md5}\n".encode()


def pack(header: BaseHeader, parts: Iterable[Path], out: BinaryIO) -> None:
    """Write a base: its header, and the lines in these files. Raises OSError."""
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=LEVEL, mtime=0) as packed:
        packed.write(json.dumps(asdict(header)).encode() + b"\n")
        for part in parts:
            with part.open("rb") as lines:
                while block := lines.read(BLOCK):
                    packed.write(block)


def read_base(packed: IO[bytes]) -> Base:
    """The base in a gzipped text. Raises BadBase."""
    try:
        with gzip.GzipFile(fileobj=packed, mode="rb") as text:
            return _read(text)
    except (OSError, EOFError, zlib.error, KeyError, TypeError, ValueError) as error:
        raise BadBase(f"the base can not be read: {type(error).__name__}") from error


def _read(text: gzip.GzipFile) -> Base:
    told: dict[str, Any] = json.loads(text.readline())
    header = BaseHeader(**{name: told[name] for name in BaseHeader.__dataclass_fields__ if name in told})
    if header.version not in READABLE:
        raise BadBase(f"version {header.version} is not known here")
    tables: dict[str, BaseTable] = {}
    files: dict[tuple[str, bytes], str] = {}
    table: BaseTable | None = None
    for line in text:
        if not line.endswith(b"\n"):
            raise BadBase("it breaks off")
        kind, _, rest = line[:-1].partition(b"\t")
        if kind == b"R" and table is not None:
            digest, _, key = rest.partition(b"\t")
            md5s = bytes.fromhex(digest.decode())
            md5, loaded = md5s[:16], md5s[16:]
            table.rows[key if table.key else md5] = md5
            if loaded and table.key:
                table.loaded[key] = loaded
        elif kind == b"K" and table is not None:
            theirs, ours = halves(rest)
            table.moved[ours] = theirs
        elif kind == b"T":
            facts = json.loads(rest)
            short = facts["name"].removeprefix(header.prefix)
            table = tables.setdefault(short, BaseTable(tuple(facts["key"]), tuple(facts["columns"])))
        elif kind == b"F":
            place, path, _size, digest = rest.split(b"\t")
            files[place.decode(), base64.b64decode(path, validate=True)] = digest.decode()
        else:
            raise BadBase("it holds a line of another kind")
    return Base(header, tables, files)
