"""Files and database: both streams run at the same time, each step waits for its own.

The database's stream is started with the files' (they use different resources on both sides) and belongs to the
database step; whichever fails stops the other, and both can be taken up again where they were.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from shared.wordpress.connector.protocol import Frame
from shared.wordpress.connector.skips import path_skips

from services.cloner.run import CloneRun
from shared.errors import JobError
from shared.jobs import Note
from shared.log import get
from shared.wordpress.rewrite import ColumnMode, ColumnRule
from shared.wordpress.transfer.database import Loader, Table, restart_point
from shared.wordpress.transfer.files import FileSink, Layout, Received, receive

log = get(__name__)

BUDGET = 10.0
"""Seconds one response of the connector may take; a cursor is durable after each."""
MAX_BYTES = 256 * 1024 * 1024
STALLED = 3
"""Responses without any advance before the transfer counts as stuck."""


class DatabaseTransfer(threading.Thread):
    """The database's stream in a thread of its own."""

    def __init__(self, run: CloneRun) -> None:
        super().__init__(name=f"database-{run.job_id}", daemon=True)
        self._run = run
        self._stop_asked = threading.Event()
        self.error: BaseException | None = None
        self.rows = 0

    def run(self) -> None:
        """Transfer every table; the outcome is in `error`."""
        try:
            pull_database(self._run, self._progress)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Have the thread end soon and wait for it."""
        self._stop_asked.set()
        self.join()

    def _progress(self, rows: int) -> None:
        self.rows = rows
        if self._stop_asked.is_set():
            raise InterruptedError("the other stream failed")


def pull_files(run: CloneRun) -> None:
    """Copy every file of the plan. Resumes at the last durable cursor."""
    state, plan = run.state, run.plan
    received = Received(**state.get("received", {}))
    layout = Layout(
        document_root=os.fsencode(run.target.document_root),
        roots=plan.root_targets,
        quarantine=os.fsencode(run.target.quarantine),
        is_quarantined=plan.is_quarantined,
    )
    sink = FileSink(layout, received, run.target.owner)
    total = state["totals"]["bytes"]

    def on_frame() -> None:
        run.token.check()
        run.context.report(done=received.bytes, total=max(total, received.bytes), unit="bytes")

    params = {"roots": list(plan.roots), "skip": path_skips(run.options.exclude_paths), **_limits(run)}
    while not state.get("files_done"):
        frames = run.connector.stream("files.stream", {**params, "cursor": state.get("files_cursor")})
        end = receive(frames, sink, on_frame=on_frame)
        state["files_cursor"], state["files_done"] = end["cursor"], end["done"]
        state["received"] = asdict(received)
        run.context.save()
    _note_files(run, received)


def pull_database(run: CloneRun, progress: Any) -> None:
    """Load every table of the plan. Resumes behind the last committed row; `progress(rows)` may raise to stop."""
    plan = run.plan
    loader = Loader(run.target.connect, plan.tables, RowRewriting(run))
    last_stop = 0.0

    def on_rows() -> None:
        nonlocal last_stop
        now = time.monotonic()
        if now - last_stop > 0.05:
            last_stop = now
            run.token.check()
            progress(loader.rows)

    try:
        position = loader.open()
        if position is None:
            for table in plan.tables:
                run.token.check()
                loader.create(table)
            loader.commit_position(None)
        tables, cursor = restart_point(plan.tables, position)
        if tables and position and cursor is None and position["cursor"] is not None:
            loader.create(tables[0])  # half-loaded rows of an engine that can not roll back
        _stream_tables(run, loader, tables, cursor, on_rows)
        for name, statement in plan.views:
            _make_view(run, loader, name, statement)
        progress(loader.rows)
    finally:
        loader.close()


def _stream_tables(run: CloneRun, loader: Loader, tables: Any, cursor: Any, on_rows: Any) -> None:
    params = {"tables": [_wire(table) for table in tables], **_limits(run)}
    while tables:
        frames: Iterator[Frame] = run.connector.stream("db.stream", {**params, "cursor": cursor})
        end = loader.receive(frames, on_rows=on_rows)
        if end["done"]:
            return
        cursor = end["cursor"]


def _wire(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "columns": [{"name": column.name, "type": column.data_type} for column in table.columns],
        "key": list(table.key),
        "where": list(table.where),
    }


def _limits(run: CloneRun) -> dict[str, Any]:
    return {"budget": BUDGET, "max_bytes": MAX_BYTES, "compress": not run.site.is_local}


def _make_view(run: CloneRun, loader: Loader, name: str, statement: str) -> None:
    try:
        loader.execute(statement, f"making view {name}")
    except JobError as error:
        run.context.note(Note(code=f"view_{name}", message=f"The view {name} could not be made: {error.message}"))


class RowRewriting:
    """Rewrites the rows of one table after the other."""

    def __init__(self, run: CloneRun) -> None:
        self._rewriter = run.rewriter
        self._rules: dict[str, list[ColumnRule]] = {}

    def __call__(self, table: Table, rows: bytes) -> bytes:
        """Whole rows in, whole rows out."""
        rules = self._rules.get(table.name)
        if rules is None:
            rules = [
                ColumnRule(column.name, ColumnMode.REWRITE if column.rewrite else ColumnMode.KEEP)
                for column in table.columns
            ]
            self._rules[table.name] = rules
        return self._rewriter.rewrite_tsv(rows, rules, table=table.name)


def _note_files(run: CloneRun, received: Received) -> None:
    words = {
        "changed_while_read": "Files that changed while they were copied",
        "symlink_outside": "Links that lead outside of the site, not made",
    }
    for reason, count in received.counts.items():
        samples = received.warnings[reason][:20]
        text = words.get(reason, f"Files not copied ({reason})")
        run.context.note(Note(code=f"files_{reason}", message=text, count=count, samples=samples))
    if received.quarantined:
        held = received.quarantined
        text = "Drop-ins and host plugins kept in quarantine"
        run.context.note(Note(code="files_quarantined", message=text, count=len(held), samples=held[:20]))
