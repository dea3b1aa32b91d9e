"""After a restore production is what the clone is, so the clone's base becomes what production is now.

Else the next restore of the same clone would take the last one's work for production's own. The base as it was waits
under the restore's id, for the case that somebody rolls back.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from services.restorer.work import Work
from shared.bus import base_store
from shared.bus.connection import Bus
from shared.wordpress.base import Base, file_line, pack, table_line

IN_MEMORY = 8 << 20


async def remember(bus: Bus, before: Base, after: Base, restore_id: str, directory: Path) -> None:
    """Store the base that holds from now on, and the one to go back to. Raises nats errors, OSError."""
    await _store(bus, restore_id, before, directory)
    await _store(bus, after.header.clone_id, after, directory)


async def go_back(bus: Bus, restore_id: str) -> None:
    """The base is again what it was before the restore. Raises nats errors, OSError."""
    before = await base_store.load(bus, restore_id)
    if before is None:
        return
    with tempfile.TemporaryDirectory(prefix="siteferry-restore-") as directory:
        await _store(bus, before.header.clone_id, before, Path(directory))
    await base_store.forget(bus, restore_id)


async def _store(bus: Bus, name: str, base: Base, directory: Path) -> None:
    # a large site's base takes seconds to write: the event loop has heartbeats to send meanwhile
    with await asyncio.to_thread(packed, base, directory) as file:
        await base_store.save(bus, name, file)


def after_restore(base: Base, work: Work, at: str) -> Base:
    """The base with what a restore changed on production, as of `at` (ISO 8601)."""
    tables = dict(base.tables)
    for table in work.tables:
        known = tables.get(table.pair.short)
        if known is None or not table.rebased:
            continue
        rows = dict(known.rows)
        for key, digest in table.rebased.items():
            if digest is None:
                rows.pop(key, None)
            else:
                rows[key] = digest
        # what the clone got says nothing any more about rows that production got from it since
        loaded = {key: digest for key, digest in known.loaded.items() if key not in table.rebased}
        tables[table.pair.short] = replace(known, rows=rows, loaded=loaded)
    files = dict(base.files)
    for name, md5 in work.files.rebased.items():
        if md5 is None:
            files.pop(name, None)
        else:
            files[name] = md5
    return Base(replace(base.header, created=at), tables, files)


def packed(base: Base, directory: Path) -> BinaryIO:
    """A base as it is stored."""
    with tempfile.NamedTemporaryFile(dir=directory) as lines:
        for line in _lines(base):
            lines.write(line)
        lines.flush()
        file = cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(directory)))
        pack(base.header, [Path(lines.name)], file)
    file.seek(0)
    return file


def _lines(base: Base) -> Iterator[bytes]:
    for short, table in base.tables.items():
        yield table_line(base.header.prefix + short, table.key, table.columns)
        for key, digest in table.rows.items():
            digests = (digest + table.loaded.get(key, b"")).hex().encode()
            yield b"R\t" + digests + b"\t" + (key if table.key else b"") + b"\n"
    for (place, path), md5 in base.files.items():
        yield file_line(place, path, 0, md5)
