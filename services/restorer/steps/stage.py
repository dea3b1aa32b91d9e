"""Staging: changed tables beside the live ones, changed files in our directory on the target. Visitors see nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

from services.restorer.domain.paths import is_text
from services.restorer.errors import NotEnoughRoom
from services.restorer.run import RestoreRun
from services.restorer.steps.plan import ensure_planned
from services.restorer.work import TableWork, Work
from shared.contract.jobs import Note
from shared.wordpress.connector.target import (
    FileBytes,
    FileDigest,
    FileEnd,
    FileGone,
    FileName,
    FilePut,
    FileStart,
    OptionsKept,
    StagedTable,
    SwapPhase,
)

AT_ONCE = 2
"""Tables copied together: production's database serves its visitors meanwhile."""
SPARE_BYTES = 64 * 1024 * 1024
TABLE_FACTOR = 1.5
BATCH_BYTES = 32 * 1024 * 1024
BATCH_FILES = 500


def stage_rows(run: RestoreRun) -> None:
    """Copies of the tables that change, with the clone's rows in them."""
    ensure_rows(run)


def stage_files(run: RestoreRun) -> None:
    """The files that change. Some only name the clone's address: then there may be nothing left to do."""
    work = ensure_files(run)
    if not work.changed and not work.files.staged and not work.files.removes:
        run.writer.drop(snapshot=True)
        run.state["nothing"] = True


def ensure_rows(run: RestoreRun) -> Work:
    """Staged tables that this process knows; made anew when another process had begun them."""
    work = ensure_planned(run)
    if not work.rows_staged:
        _stage_rows(run, work)
        work.rows_staged = True
    return work


def ensure_files(run: RestoreRun) -> Work:
    """Everything staged."""
    work = ensure_rows(run)
    if not work.files_staged:
        _stage_files(run, work)
        work.files_staged = True
    return work


def options_kept(run: RestoreRun, work: Work) -> OptionsKept | None:
    """The options that are refreshed right before the exchange; None when that table is not exchanged."""
    for table in work.changed:
        if table.pair.short == "options" and table.pair.target is not None:
            return OptionsKept(table.number, run.kept.names, run.kept.like)
    return None


def _stage_rows(run: RestoreRun, work: Work) -> None:
    writer = run.writer
    if writer.state().state is not SwapPhase.NONE:
        writer.drop(snapshot=False)  # what another process had staged was for its plan
    for number, table in enumerate(work.changed):
        table.number = number
    begun = writer.begin([_staged(table) for table in work.changed])
    check_room(work, begun.disk_free)
    above = {table.pair.live: table.highest for table in work.changed if table.highest and table.pair.target}
    if above:
        writer.reserve_ids(above)
    total = sum(table.spool.lines + len(table.deletes) for table in work.changed)
    done = 0
    largest_first = sorted(work.changed, key=lambda table: -table.pair.data_bytes)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stage") as staging:
        for rows in staging.map(partial(_stage_table, run), largest_first):
            done += rows
            run.context.report(done=done, total=total, unit="rows")
    kept = options_kept(run, work)
    if kept is not None:
        writer.keep_options(kept)
    run.context.report(done=done, total=total, unit="rows")
    run.state["rows"] = done
    run.state["rewritten"] = dict(run.rewriter.report.total.kinds)
    run.state["leftovers"] = sum(table.leftovers for table in work.tables)


def _staged(table: TableWork) -> StagedTable:
    pair = table.pair
    return StagedTable(table.number, pair.live, pair.key, pair.create)


def _stage_table(run: RestoreRun, table: TableWork) -> int:
    writer, pair = run.writer, table.pair
    run.token.check()
    run.context.report(message=f"Staging {pair.live}")
    columns = [dict(column) for column in pair.source.columns]
    table.copied = writer.copy(table.number)
    if not pair.key:
        return writer.replace_all(table.number, columns, _watched(run, table.spool)).upserted
    applied = writer.apply(
        table.number, columns, pair.key, upserts=_watched(run, table.spool), deletes=_watched(run, table.deletes)
    )
    return applied.upserted + applied.deleted


def _watched(run: RestoreRun, lines: object) -> Iterator[bytes]:
    for line in lines:  # type: ignore[attr-defined]
        run.token.check()
        run.context.moved()
        yield line


def check_room(work: Work, free: int | None) -> None:
    """Raises NotEnoughRoom. The host may not say how much there is; then writing will tell."""
    if free is None:
        return
    tables = sum(table.pair.data_bytes for table in work.changed)
    needed = int(tables * TABLE_FACTOR + work.files.bytes) + SPARE_BYTES
    if needed > free:
        text = f"The restore needs about {needed >> 20} MB on the target, which has {free >> 20} MB free."
        raise NotEnoughRoom(text, needed_bytes=needed, free_bytes=free)


# --- files


def _stage_files(run: RestoreRun, work: Work) -> None:
    files = work.files
    total, done, gone = work.files.bytes, 0, []
    files.staged = []
    for batch in _batches(files.puts):
        run.token.check()
        puts = []
        for found in _fetch(run, batch):
            run.token.check()
            if isinstance(found, FileGone):
                gone.append(f"{found.name.base}/{found.name.path.decode('utf-8', 'backslashreplace')}")
                continue
            done += found.size
            run.context.report(done=done, total=max(total, done), unit="bytes")
            files.rebased[found.name.base, found.name.path] = found.md5
            if found.md5 != files.there.get((found.name.base, found.name.path)):
                puts.append(found)
        run.writer.put_files(puts)
        files.staged += [put.name for put in puts]
        for path in run.directory.glob("*.file"):
            path.unlink()
    run.state["files"] = len(files.staged) + len(files.removes)
    run.state["bytes"] = done
    if gone:
        text = "Files that vanished from the clone, or can not be read there"
        run.context.note(Note(code="files_gone", message=text, count=len(gone), samples=gone[:20]))


def _batches(puts: list[FileDigest]) -> Iterator[list[FileDigest]]:
    batch: list[FileDigest] = []
    size = 0
    for put in puts:
        if batch and (size + put.size > BATCH_BYTES or len(batch) >= BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(put)
        size += put.size
    if batch:
        yield batch


def _fetch(run: RestoreRun, batch: list[FileDigest]) -> Iterator[FilePut | FileGone]:
    """The files, each in a file of ours."""
    handle, place, start = None, run.directory, None
    hashed = hashlib.md5(usedforsecurity=False)
    try:
        for number, event in enumerate(run.reader.fetch_files([put.name for put in batch])):
            if isinstance(event, FileGone):
                yield event
            elif isinstance(event, FileStart):
                if handle is not None:
                    handle.close()
                start, place = event, run.directory / f"{number}.file"
                handle, hashed = place.open("wb"), hashlib.md5(usedforsecurity=False)
            elif isinstance(event, FileBytes) and handle is not None:
                run.token.check()
                handle.write(event.data)
                hashed.update(event.data)
            elif isinstance(event, FileEnd) and handle is not None and start is not None:
                handle.close()
                yield _put(run, start, place, hashed.hexdigest())
    finally:
        if handle is not None:
            handle.close()


def _reopened(place: Path) -> BinaryIO:
    return place.open("rb")


def _put(run: RestoreRun, start: FileStart, place: Path, md5: str) -> FilePut:
    """A text that names the clone's address names production's from here on."""
    size = os.path.getsize(place)
    if is_text(start.name.path, size):
        before = place.read_bytes()
        if run.rewriter.may_match(before):
            after = run.rewriter.rewrite(before)
            place.write_bytes(after)
            size, md5 = len(after), hashlib.md5(after, usedforsecurity=False).hexdigest()
    name = FileName(start.name.base, start.name.path)
    return FilePut(name, size, start.mtime, start.mode, md5, partial(_reopened, place))
