"""A clone that begins with what an earlier clone of the same source got: only what has changed since is fetched.

Rows that were rewritten for the earlier clone name its address, so they are fetched again like those that changed: what
a clone gets is always what the source sent, rewritten once. See docs/adr/0056.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from typing import Any

from services.cloner.run import CloneRun
from services.cloner.steps import transfer
from services.cloner.steps.base import ROWS, file_digests
from shared.wordpress.connector.errors import ConnectorFault, ConnectorRefused
from shared.wordpress.connector.reading import MAX_NAMES
from shared.wordpress.transfer.changed_files import ChangedFiles
from shared.wordpress.transfer.changes import CatchUp
from shared.wordpress.transfer.database import Loader, Table
from shared.wordpress.transfer.ddl import quote, transactional
from shared.wordpress.transfer.digests import RowDigests
from shared.wordpress.transfer.errors import TargetRefused
from shared.wordpress.transfer.files import Received, receive

FORMAT = 1
"""Of what decides whether an image fits."""
IMAGE_ROWS = "image-rows"
"""In a clone's records: what is known of the rows of the image it was begun with."""
PASSING = re.compile(r" (?:AUTO_INCREMENT|STATS_AUTO_RECALC)=\w+")
"""Where new rows begin, and whether they are many, says nothing about how a table is built."""


def fingerprint(run: CloneRun) -> str:
    """What an image must have in common with this clone to be of use for it: everything that decided what was copied
    and how, but for the clone's own name."""
    plan, options = run.plan, run.options
    told = {
        "format": [FORMAT, version("siteferry")],
        "options": [sorted(options.exclude_tables), sorted(options.exclude_paths), options.keep_transients],
        "rules": [asdict(rule) for rule in run.file_rules],
        "roots": [list(plan.roots), {name: place.decode() for name, place in plan.root_targets.items()}],
        "addresses": [[asdict(one) for one in plan.urls], [asdict(one) for one in plan.paths]],
        "places": [plan.content.decode(), plan.mu_plugins.decode(), run.facts["paths"]],
        "prefix": plan.config.prefix,
        "tables": [_built(table) for table in plan.tables],
        "views": list(plan.views),
    }
    text = json.dumps(told, sort_keys=True, default=str).replace(run.clone_id, "")
    return hashlib.sha256(text.encode()).hexdigest()


def _built(table: Table) -> dict[str, Any]:
    texts = {"create": PASSING.sub("", table.create), "simpler": [PASSING.sub("", one) for one in table.simpler]}
    return {**asdict(table), **texts, "first_id": 0, "uncounted": False}


def change_files(run: CloneRun) -> None:
    """Make the image's files into those of the source."""
    state, plan = run.state, run.plan
    state["copied_from"] = datetime.now(UTC).isoformat()
    received, digests = Received(), file_digests(run, anew=True)
    sink = run.target.changing(plan.arrangement, received, digests)
    params, on_frame = transfer.file_params(run), transfer.files_reported(run, received)
    with closing(digests), closing(sink):
        _stream(run, sink, received, {**params, "digest": True}, on_frame)
        for names in _batches(sink.wanted):
            _stream(run, sink, received, {**params, "files": names}, on_frame)
        removed = sink.remove_others()
        sink.settle()
        state["received"], state["base_files"], state["files_done"] = asdict(received), digests.place(), True
    state["reused_files"] = {"files": sink.kept_files, "bytes": sink.kept_bytes, "removed": removed}
    transfer.note_files(run, received)
    run.context.save()


def _stream(run: CloneRun, sink: ChangedFiles, received: Received, params: dict[str, Any], on_frame: Any) -> None:
    cursor, advance = None, transfer.Advance()
    while True:
        end = receive(run.connector.stream("files.stream", {**params, "cursor": cursor}), sink, on_frame=on_frame)
        transfer.check_announced(received, run.state["totals"])
        if end["done"]:
            return
        cursor = end["cursor"]
        advance.check(cursor, received.size)


def _batches(names: list[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    left = iter(names)
    while batch := list(islice(left, MAX_NAMES)):
        yield batch


def change_database(run: CloneRun) -> str:
    """Make the image's rows into those of the source. Why that can not be done, "" when it was."""
    rewriting = transfer.RowRewriting(run)
    loader = Loader(run.target.connect, run.plan.tables, rewriting, rewriting.facts)
    try:
        return _change(run, loader, rewriting)
    except (TargetRefused, ConnectorRefused, ConnectorFault) as error:
        return error.message
    except (OSError, ValueError, KeyError) as error:
        return f"its rows can not be compared ({type(error).__name__})"
    finally:
        rewriting.close()
        loader.close()


def _change(run: CloneRun, loader: Loader, rewriting: transfer.RowRewriting) -> str:
    plan, records, on_rows = run.plan, run.target.records, transfer.rows_reported(run, loader)
    position = loader.open()
    if position is None or not position["done"]:
        return "its database is not whole"
    whole = {table.name for table in plan.tables if table.unique or not transactional(table.engine)}
    again = CatchUp(
        run.connector,
        loader,
        rewriting.rewrite,
        prefix=plan.config.prefix,
        check=on_rows,
        rewritten_too=True,
        leave=whole,
    )
    found = again.run(records / IMAGE_ROWS, records / ROWS)
    loader.commit_position(None, done=True)
    copied = [table for table in plan.tables if table.with_rows and table.name not in found.looked_at]
    at = {"at": (records / ROWS).stat().st_size, "table": None, "table_at": 0}
    rewriting.digests = RowDigests(records / ROWS, plan.config.prefix, at)
    for table in copied:
        loader.rows -= loader.sums.pop(table.name, [0, 0])[0]
        loader.create(table)
    transfer.stream_tables(run, loader, rewriting, copied, None, on_rows)
    for table in plan.tables:
        if table.first_id is not None and table not in copied:
            loader.execute(f"ALTER TABLE {quote(table.name)} AUTO_INCREMENT={table.first_id}", "numbering new rows")
    for name, _ in plan.views:
        loader.execute(f"DROP VIEW IF EXISTS {quote(name)}", f"making view {name}")
    transfer.complete(run, loader, rewriting, on_rows)
    travelled = found.changed + sum(loader.sums.get(table.name, [0, 0])[0] for table in copied)
    run.state["reused_rows"] = {"rows": max(0, loader.rows - travelled), "travelled": travelled, "removed": found.gone}
    return ""
