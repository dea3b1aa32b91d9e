"""After a restore production is what the clone is, so the clone's base becomes what production is now.

Else the next restore of the same clone would take the last one's work for production's own. The base as it was waits
under the restore's id, for the case that somebody rolls back.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

from services.restorer.run import BASE, RestoreRun
from services.restorer.work import Work
from shared.bus import base_store
from shared.bus.connection import Bus
from shared.engine.carriers.handed import opened
from shared.ids import is_job_id
from shared.wordpress.base import Base, file_line, pack, table_line

IN_MEMORY = 8 << 20
AFTER = "base-after"


def pack_after(run: RestoreRun) -> bool:
    """In the carrier: the base that holds from now on, as a file beside the one that held. False: there is none."""
    if run.base is None or run.work is None:
        return False
    after = after_restore(run.base, run.work, run.state["planned_at"])
    with packed(after, run.directory) as file, (run.directory / AFTER).open("wb") as out:
        shutil.copyfileobj(file, out)
    return True


async def remember(bus: Bus, clone_id: str, restore_id: str, directory: Path) -> None:
    """In the worker: store the base that holds from now on, and the one to go back to. Raises nats errors, OSError."""
    for name, file in ((restore_id, BASE), (clone_id, AFTER)):
        with await asyncio.to_thread(opened, directory / file) as found:
            await base_store.save(bus, name, found, of=clone_id)


async def go_back(bus: Bus, restore_id: str) -> None:
    """The base is again what it was before the restore. Raises nats errors, OSError."""
    with tempfile.TemporaryFile(prefix="siteferry-restore-") as before:
        clone_id = await base_store.fetch(bus, restore_id, before)
        if not clone_id or not is_job_id(clone_id):
            return
        before.seek(0)
        await base_store.save(bus, clone_id, before, of=clone_id)
    await base_store.forget(bus, restore_id)


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
        loaded |= table.apart
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
        for ours, theirs in table.moved.items():
            yield b"K\t" + theirs + b"\t" + ours + b"\n"
        for key, digest in table.rows.items():
            digests = (digest + table.loaded.get(key, b"")).hex().encode()
            yield b"R\t" + digests + b"\t" + (key if table.key else b"") + b"\n"
    for (place, path), md5 in base.files.items():
        yield file_line(place, path, 0, md5)
