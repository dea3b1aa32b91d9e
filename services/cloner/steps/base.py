"""The base of a clone: what its source was, in digests taken while it was copied. See `shared.wordpress.base`.

A clone without one is as good as any; only a restore of it then knows less, and a note says so.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from nats.errors import Error as NatsError

from services.cloner.run import CloneRun
from shared.bus import base_store
from shared.contract.jobs import Note
from shared.engine.parts import nats_away
from shared.log import get
from shared.wordpress.base import BaseHeader, pack
from shared.wordpress.transfer.digests import FileDigests, RowDigests

log = get(__name__)

ROWS, FILES = "rows", "files"
ROWS_NOW = "rows-now"
"""Rows once what changed during the copy was brought over."""
IN_MEMORY = 1024 * 1024


def row_digests(run: CloneRun, position: Mapping[str, Any] | None, again: str | None) -> RowDigests:
    """Where rows are digested. `position` is what was stored with the last committed row, `again` the table that comes
    once more from its start."""
    earlier = {} if position is None else position["facts"].get("base")
    return RowDigests(run.target.records / ROWS, run.plan.config.prefix, earlier, again=again)


def file_digests(run: CloneRun) -> FileDigests:
    """Where files are digested, from where the last durable cursor was."""
    state = run.state
    state.setdefault("copied_from", datetime.now(UTC).isoformat())
    place = state.get("base_files", None if state.get("files_cursor") else 0)
    roots = {root["id"]: root["path"] for root in run.plan.roots}
    return FileDigests(run.target.records / FILES, place, roots=roots, bases=run.facts["paths"])


async def keep(run: CloneRun) -> None:
    """Store the base, once rows and files have arrived. A note says when there is none."""
    state = run.state
    if state.get("base_kept"):
        return
    try:
        if state.get("base_rows") is None or state.get("base_files") is None:
            raise OSError("not all digests were kept")
        packed = await asyncio.to_thread(_pack, run)
        with packed:
            await base_store.save(run.context.bus, run.job_id, packed)
        state["base_kept"] = True
    except (OSError, NatsError, TimeoutError) as error:
        if nats_away(error):
            raise
        log.warning("the clone has no base", clone=run.job_id, error=repr(error))
        text = "It was not kept what the source was: a restore can not tell its changes from those of production"
        run.context.note(Note(code="base_missing", message=text))
    await run.context.checkpoint()  # before what it was made of is gone
    await asyncio.to_thread(shutil.rmtree, run.target.records, ignore_errors=True)


def _pack(run: CloneRun) -> BinaryIO:
    header = BaseHeader(run.job_id, run.site.home, run.plan.config.prefix, run.state["copied_from"])
    packed = cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(run.target.records)))
    rows = ROWS_NOW if run.state.get("base_caught_up") else ROWS
    pack(header, [run.target.records / rows, run.target.records / FILES], packed)
    packed.seek(0)
    return packed
