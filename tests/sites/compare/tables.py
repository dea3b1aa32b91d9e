"""Every row of every table, byte for byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pymysql.connections import Connection

from tests.sites.compare.mapping import Mapping

if TYPE_CHECKING:
    from tests.sites.site import Site

Row = tuple[bytes | None, ...]
NOT_MAPPED = frozenset({("posts", "guid")})
"""(table without prefix, column) that keep the source's address."""
MOST = 20
"""Differences told per table."""


@dataclass(frozen=True)
class Tables:
    """The tables of one WordPress: a way to connect, its database, its prefix."""

    connect: Callable[[], Connection[Any]]
    database: str
    prefix: str

    @classmethod
    def of(cls, site: Site) -> Tables:
        return cls(site.connect, site.database, site.prefix)

    def names(self, kind: str = "BASE TABLE") -> list[str]:
        """Base tables (or views) whose name starts with the prefix."""
        rows = self.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema=DATABASE() AND table_type=%s", (kind,)
        )
        names = sorted((row[0] or b"").decode() for row in rows)
        return [name for name in names if name.startswith(self.prefix)]

    def query(self, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        """Rows with every value as the bytes the server holds (numbers and dates as the server writes them)."""
        connection = self.connect()
        try:
            connection.select_db(self.database)
            connection.decoders = {}
            with connection.cursor() as cursor:
                cursor.execute("SET NAMES binary")
                cursor.execute(sql, tuple(args) or None)
                return [tuple(v.encode() if isinstance(v, str) else v for v in row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def columns(self, table: str) -> list[tuple[str, str]]:
        """(name, description) of each column. The description leaves out nothing that shapes the data."""
        rows = self.query(
            "SELECT column_name, CONCAT_WS('|', column_type, character_set_name, collation_name, is_nullable, "
            "column_default, extra, generation_expression) FROM information_schema.columns "
            "WHERE table_schema=DATABASE() AND table_name=%s ORDER BY ordinal_position",
            (table,),
        )
        return [((row[0] or b"").decode(), (row[1] or b"").decode()) for row in rows]

    def indexes(self, table: str) -> list[Row]:
        return self.query(
            "SELECT index_name, seq_in_index, column_name, sub_part, non_unique, index_type FROM "
            "information_schema.statistics WHERE table_schema=DATABASE() AND table_name=%s ORDER BY 1, 2",
            (table,),
        )

    def key(self, table: str) -> list[str]:
        """Columns of the primary key; empty when there is none."""
        return [(row[2] or b"").decode() for row in self.indexes(table) if row[0] == b"PRIMARY"]

    def rows(self, table: str) -> list[Row]:
        """All rows, with the columns of `stored`."""
        listed = ", ".join(f"`{name.replace('`', '``')}`" for name in self.stored(table))
        return self.query(f"SELECT {listed} FROM `{table.replace('`', '``')}`")

    def stored(self, table: str) -> list[str]:
        """Columns but for generated ones: those follow from the others."""
        return [name for name, told in self.columns(table) if " GENERATED" not in told]


@dataclass(frozen=True)
class Exclusions:
    """What a clone changes on purpose, so that rows of it are compared on neither side. Patterns are fnmatch's.

    Tables are named without prefix. `users` are logins: their rows in users and usermeta are left out. Without
    `definitions` only rows are compared: another server describes the same columns and indexes in other words.
    """

    tables: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    usermeta: frozenset[str] = frozenset({"session_tokens"})
    users: frozenset[str] = frozenset()
    columns: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    definitions: bool = True

    def row(self, table: str, row: dict[str, bytes | None], user_ids: frozenset[bytes]) -> bool:
        """Whether this row is left out."""
        if table == "options":
            name = (row.get("option_name") or b"").decode(errors="replace")
            return any(fnmatchcase(name, pattern) for pattern in self.options)
        if table == "users":
            return row.get("ID") in user_ids
        if table == "usermeta":
            name = (row.get("meta_key") or b"").decode(errors="replace")
            return row.get("user_id") in user_ids or any(fnmatchcase(name, pattern) for pattern in self.usermeta)
        return False


def compare_tables(source: Tables, clone: Tables, mapping: Mapping, exclusions: Exclusions = Exclusions()) -> list[str]:
    """Sentences about everything that differs, at most MOST a table; empty when the clone is the source, moved."""
    found: list[str] = []
    wanted = [name for name in source.names() if name.removeprefix(source.prefix) not in exclusions.tables]
    there = set(clone.names())
    names = {name: clone.prefix + name.removeprefix(source.prefix) for name in wanted}
    found += [f"{name}: missing" for name in wanted if names[name] not in there]
    found += [f"{name}: not on the source" for name in sorted(there - set(names.values()))]
    for name in wanted:
        if names[name] in there:
            found += _table(source, clone, name, names[name], mapping, exclusions)
    views = [clone.prefix + name.removeprefix(source.prefix) for name in source.names("VIEW")]
    if views != clone.names("VIEW"):
        found.append(f"views: {views} on the source, {clone.names('VIEW')} on the clone")
    return found


def _table(
    source: Tables, clone: Tables, name: str, other: str, mapping: Mapping, exclusions: Exclusions
) -> Iterator[str]:
    bare = name.removeprefix(source.prefix)
    if exclusions.definitions and source.columns(name) != clone.columns(other):
        yield f"{name}: columns {_unlike(source.columns(name), clone.columns(other))}"
        return
    if exclusions.definitions and source.indexes(name) != clone.indexes(other):
        yield f"{name}: indexes {_unlike(source.indexes(name), clone.indexes(other))}"
    columns = source.stored(name)
    kept = NOT_MAPPED | exclusions.columns
    wanted, there = (
        _kept_rows(tables, each, bare, columns, exclusions) for tables, each in ((source, name), (clone, other))
    )
    plain = [(bare, column) in kept for column in columns]
    moved = [
        tuple(v if v is None or same else mapping.apply(v) for v, same in zip(row, plain, strict=True))
        for row in wanted
    ]
    missing, extra = Counter(moved) - Counter(there), Counter(there) - Counter(moved)
    keys = [columns.index(column) for column in source.key(name)]
    yield from _told(name, columns, keys, list(missing.elements()), list(extra.elements()))


def _kept_rows(tables: Tables, name: str, bare: str, columns: list[str], exclusions: Exclusions) -> list[Row]:
    ids: frozenset[bytes] = frozenset()
    if bare in ("users", "usermeta") and exclusions.users:
        logins = tables.query(f"SELECT ID, user_login FROM `{tables.prefix}users`")
        ids = frozenset(row[0] or b"" for row in logins if (row[1] or b"").decode() in exclusions.users)
    skipped = {columns.index(column) for table, column in exclusions.columns if table == bare and column in columns}
    rows = (
        row
        for row in tables.rows(name)
        if not exclusions.row(bare, dict(zip(columns, row, strict=True)), ids)
    )  # fmt: skip
    return [tuple(b"" if n in skipped else value for n, value in enumerate(row)) for row in rows]


def _told(name: str, columns: list[str], keys: list[int], missing: list[Row], extra: list[Row]) -> Iterator[str]:
    partner = {tuple(row[k] for k in keys): row for row in extra} if keys else {}
    for row in missing[:MOST]:
        key = tuple(row[k] for k in keys)
        where = f"{name}[{b', '.join(part or b'NULL' for part in key).decode(errors='replace')[:80]}]"
        if not keys or key not in partner:
            yield f"{where}: missing {_short(row)}"
            continue
        for column, want, have in zip(columns, row, partner.pop(key), strict=True):
            if want != have:
                yield f"{where}.{column}: {_unlike_bytes(want, have)}"
    left = list(partner.values()) if keys else extra
    matched = {tuple(row[k] for k in keys) for row in missing} if keys else set()
    for row in left[:MOST]:
        if not keys or tuple(row[k] for k in keys) not in matched:
            yield f"{name}: not expected {_short(row)}"
    if len(missing) > MOST:
        yield f"{name}: {len(missing)} rows missing or different in all"


def _short(row: Row) -> str:
    return repr(tuple(value if value is None else value[:60] for value in row))[:300]


def _unlike(a: Sequence[Any], b: Sequence[Any]) -> str:
    return f"only on the source {[x for x in a if x not in b]}, only on the clone {[x for x in b if x not in a]}"


def _unlike_bytes(want: bytes | None, have: bytes | None) -> str:
    """Where two values part, with a little before and after."""
    if want is None or have is None:
        return f"want {_cut(want)}, have {_cut(have)}"
    at = next((n for n, (x, y) in enumerate(zip(want, have, strict=False)) if x != y), min(len(want), len(have)))
    start = max(0, at - 40)
    return f"at byte {at} of {len(want)}/{len(have)}: want {want[start : at + 60]!r}, have {have[start : at + 60]!r}"


def _cut(value: bytes | None) -> str:
    return "NULL" if value is None else repr(value[:80])
