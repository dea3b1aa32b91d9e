"""One clone's id in place of another's, in rows and files that are being staged.

Ids have the same length, so an address or a path that holds one keeps its length: what is serialized, in JSON or
encoded stays right. That does not hold for an address with another scheme, domain or port, which no id is part of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from services.cloner.drivers.host.snapshots.manifest import KeptTable
from shared.wordpress.transfer.ddl import quote

TEXTS = frozenset(
    "char varchar tinytext text mediumtext longtext tinyblob blob mediumblob longblob binary varbinary".split()
)
CHUNK = 1 << 20


def rename_rows(cursor: Any, database: str, tables: Sequence[KeptTable], old: str, new: str) -> int:
    """Rows that were changed. A column that tells when its row was changed stays as it is; no trigger is there yet."""
    changed = 0
    for table in tables:
        cursor.execute(
            "SELECT column_name, data_type, extra FROM information_schema.columns WHERE table_schema=%s"
            " AND table_name=%s AND is_generated='NEVER'",
            (database, table.name),
        )
        columns = cursor.fetchall()
        texts = [quote(name) for name, kind, _ in columns if kind.lower() in TEXTS]
        if table.way == "sequence" or not texts:
            continue
        sets = [f"{name}=REPLACE({name}, '{old}', '{new}')" for name in texts]
        sets += [f"{quote(name)}={quote(name)}" for name, _, extra in columns if "on update" in str(extra).lower()]
        where = " OR ".join(f"{name} LIKE '%{old}%'" for name in texts)
        cursor.execute(f"UPDATE {quote(database)}.{quote(table.name)} SET {', '.join(sets)} WHERE {where}")
        changed += cursor.rowcount
    return changed


def rename_in(descriptor: int, old: bytes, new: bytes) -> bool:
    """In a file of text, in place; whether there was anything. A file with a NUL in it is no text: its format may have
    checksums."""
    if next(_mentions(descriptor, old), None) is None or _has_nul(descriptor):
        return False
    for place in _mentions(descriptor, old):
        os.pwrite(descriptor, new, place)
    return True


def _mentions(descriptor: int, text: bytes) -> Iterator[int]:
    """Where a text begins, counted from 0; a file of any size takes the memory of a block."""
    before, read = b"", 0
    while block := os.pread(descriptor, CHUNK, read):
        window, start = before + block, read - len(before)
        found = window.find(text)
        while found >= 0:
            yield start + found
            found = window.find(text, found + len(text))
        before, read = window[1 - len(text) :], read + len(block)


def _has_nul(descriptor: int) -> bool:
    read = 0
    while block := os.pread(descriptor, CHUNK, read):
        if b"\0" in block:
            return True
        read += len(block)
    return False
