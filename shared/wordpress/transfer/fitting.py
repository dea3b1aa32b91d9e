"""Rewritten values that their columns can not hold: such a value stays as the source has it, and is remembered.

A server that is not strict cuts what is too long without a word, and the cut value would travel back with a restore.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.wordpress.rewrite import unescape

SEEN = 2_000_000
"""Rewritten values of one unique key that are remembered (some 200 MB); the server finds what comes twice beyond."""
SAMPLES = 5
"""Rows named for each column."""

BYTES = {"tinytext": 255, "tinyblob": 255, "text": 65_535, "blob": 65_535, "mediumtext": (1 << 24) - 1}
"""Types whose limit is in bytes, whatever the character set. LONGTEXT holds more than a row can be."""
LISTS = frozenset({"enum", "set"})
"""Types whose values are names from a list of the definition: another spelling is another value, or none."""
CODECS = {
    "utf8": "utf-8",
    "utf8mb3": "utf-8",
    "utf8mb4": "utf-8",
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "sjis": "shift_jis",
    "cp932": "cp932",
    "ujis": "euc_jp",
    "eucjpms": "euc_jp",
    "euckr": "cp949",
}
"""Character sets with more than one byte in a character; in all others a character is a byte."""

_TYPE = re.compile(r"(\w+)(?:\((\d+)\))?")


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a column holds."""

    size: int
    unit: Literal["characters", "bytes"]
    charset: str | None = None

    def holds(self, value: bytes) -> bool:
        """Whether a value fits. What is not valid in the column's character set counts by its bytes."""
        if len(value) <= self.size:
            return True
        codec = CODECS.get(self.charset or "")
        if self.unit == "bytes" or codec is None:
            return False
        try:
            return len(value.decode(codec)) <= self.size
        except UnicodeDecodeError:
            return False


def base_type(column_type: str) -> str:
    """`varchar` of `varchar(200)`."""
    found = _TYPE.match(column_type.strip().lower())
    return found[1] if found else ""


def column_limit(column_type: str, charset: str | None) -> Limit | None:
    """The limit of a column by its type as information_schema writes it; None: it holds whatever a row can be."""
    found = _TYPE.match(column_type.strip().lower())
    if found is None:
        return None
    name, size = found[1], found[2]
    if name in BYTES:
        return Limit(BYTES[name], "bytes")
    if size is not None and name in {"char", "varchar"}:
        return Limit(int(size), "characters", (charset or "").lower())
    if size is not None and name in {"binary", "varbinary"}:
        return Limit(int(size), "bytes")
    return None


Unique = Sequence[tuple[str, int | None]]
"""Columns of a unique key, and how many characters of each it looks at."""


def plain(cell: bytes, length: int | None = None) -> str:
    """A value as the most lenient collation would compare it: no case, accents, and spaces at its end."""
    text = unescape(cell).decode("utf-8", "surrogateescape")[:length]
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in decomposed if not unicodedata.combining(one)).rstrip()


class Kept:
    """What stayed unrewritten, by `table.column`: how many rows, and the keys of some."""

    def __init__(self, earlier: Mapping[str, Any] | None = None) -> None:
        """`earlier`: what `facts` gave."""
        self.columns: dict[str, tuple[int, list[str]]] = {
            name: (int(rows), list(keys)) for name, (rows, keys) in (earlier or {}).items()
        }

    def add(self, place: str, key: str) -> None:
        """One more row of a column."""
        rows, keys = self.columns.get(place, (0, []))
        self.columns[place] = (rows + 1, [*keys, key] if len(keys) < SAMPLES else keys)

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return {name: [rows, keys] for name, (rows, keys) in self.columns.items()}

    @property
    def count(self) -> int:
        """Values in all."""
        return sum(rows for rows, _ in self.columns.values())

    def samples(self) -> list[str]:
        """`wp_comments.comment_author_url: 3 rows (12, 15, 19)`, by name."""
        found = []
        for name, (rows, keys) in sorted(self.columns.items()):
            named = ", ".join(keys) + (", …" if rows > len(keys) else "")
            found.append(f"{name}: {rows} {'row' if rows == 1 else 'rows'}" + (f" ({named})" if keys else ""))
        return found


class Fitting:
    """Looks at the rewritten rows of one table."""

    def __init__(
        self,
        table: str,
        columns: Sequence[str],
        limits: Sequence[Limit | None],
        key: Sequence[str],
        unique: Sequence[Unique] = (),
    ) -> None:
        """`unique`: keys that hold values which may be rewritten."""
        self._table = table
        self._names = list(columns)
        self._unique = [[(columns.index(name), length) for name, length in parts] for parts in unique]
        self._seen: list[dict[int, int]] = [{} for _ in unique]
        """For each unique key: hash of what was rewritten -> hash of the row's own key."""
        self._limited = [(i, columns[i], limit) for i, limit in enumerate(limits) if limit is not None]
        self._key = [columns.index(name) for name in key if name in columns]

    def fit(self, rows: bytes, loaded: bytes, long: Kept, twice: Kept | None = None) -> bytes:
        """The rewritten rows, with the source's value wherever the new one does not fit, or is there already."""
        if loaded is rows or not (self._limited or self._unique):
            return loaded
        before, after = rows.split(b"\n"), loaded.split(b"\n")
        changed = False
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            if old != new and (fitting := self._row(old, new, long, twice)) is not new:
                after[number], changed = fitting, True
        return b"\n".join(after) if changed else loaded

    def _row(self, old: bytes, new: bytes, long: Kept, twice: Kept | None) -> bytes:
        was, now = old.split(b"\t"), new.split(b"\t")
        stays = False
        for place, name, limit in self._limited:
            if now[place] != was[place] and not limit.holds(unescape(now[place])):
                now[place], stays = was[place], True
                long.add(f"{self._table}.{name}", self._name(was))
        for parts, seen in zip(self._unique, self._seen, strict=True) if twice is not None else ():
            if all(now[place] == was[place] for place, _ in parts) or self._is_first(parts, seen, was, now):
                continue
            stays = True
            for place, _ in parts:
                if now[place] != was[place]:
                    now[place] = was[place]
                    twice.add(f"{self._table}.{self._names[place]}", self._name(was))  # type: ignore[union-attr]
        return b"\t".join(now) if stays else new

    def _is_first(
        self, parts: list[tuple[int, int | None]], seen: dict[int, int], was: list[bytes], now: list[bytes]
    ) -> bool:
        """Whether no other row came with this value of a unique key."""
        if any(now[place] == b"\\N" for place, _ in parts) or len(seen) >= SEEN:
            return True
        own = hash(tuple(was[place] for place in self._key or [place for place, _ in parts]))
        return seen.setdefault(hash(tuple(plain(now[place], length) for place, length in parts)), own) == own

    def _name(self, cells: Sequence[bytes]) -> str:
        """The row's key for a person."""
        return ", ".join(unescape(cells[i])[:60].decode("utf-8", "backslashreplace") for i in self._key)
