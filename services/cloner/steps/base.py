"""The base of a clone: what its source was, in digests taken while it was copied. See `shared.wordpress.base`.

A clone without one is as good as any; only a restore of it then knows less, and a note says so.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Any

from nats.errors import Error as NatsError

from services.cloner.drivers.port import Target
from services.cloner.run import CloneRun
from shared.bus import base_store
from shared.contract.jobs import Note
from shared.engine.carriers.handed import opened
from shared.engine.context import JobContext
from shared.engine.parts import nats_away
from shared.log import get
from shared.wordpress.base import BaseHeader, pack
from shared.wordpress.transfer.digests import FileDigests, RowDigests

log = get(__name__)

ROWS, FILES = "rows", "files"
ROWS_PROVED = "rows-proved"
"""Rows with what the clone's server made of some of them."""
ROWS_NOW = "rows-now"
"""Rows once what changed during the copy was brought over."""
PACKED = "base"


def row_digests(run: CloneRun, position: Mapping[str, Any] | None, again: str | None) -> RowDigests:
    """Where rows are digested. `position` is what was stored with the last committed row, `again` the table that comes
    once more from its start."""
    earlier = {} if position is None else position["facts"].get("base")
    return RowDigests(run.target.records / ROWS, run.plan.config.prefix, earlier, again=again)


def file_digests(run: CloneRun, *, anew: bool = False) -> FileDigests:
    """Where files are digested, from where the last durable cursor was, or from the start."""
    state = run.state
    state.setdefault("copied_from", datetime.now(UTC).isoformat())
    place = 0 if anew else state.get("base_files", None if state.get("files_cursor") else 0)
    roots = {root["id"]: root["path"] for root in run.plan.roots}
    return FileDigests(run.target.records / FILES, place, roots=roots, bases=run.facts["paths"])


def rows_file(state: Mapping[str, Any]) -> str:
    """The file with what is known of the rows the clone has now."""
    return ROWS_NOW if state.get("base_caught_up") else remembered(state)


def pack_up(run: CloneRun) -> bool:
    """In the carrier, once rows and files have arrived: the base as one file. False when there is none."""
    state = run.state
    try:
        if state.get("base_rows") is None or state.get("base_files") is None:
            raise OSError("not all digests were kept")
        header = BaseHeader(
            run.clone_id,
            run.site.home,
            run.plan.config.prefix,
            state["copied_from"],
            first_ids=state.get("first_ids", {}),
            media_stayed=run.plan.media is not None,
        )
        rows = rows_file(state)
        with open(run.target.records / PACKED, "wb") as packed:
            pack(header, [run.target.records / rows, run.target.records / FILES], packed)
    except OSError as error:
        log.warning("the clone has no base", clone=run.job_id, error=repr(error))
        return False
    return True


async def keep(context: JobContext, target: Target, packing: Awaitable[Any]) -> None:
    """In the worker: store the base that a carrier packs. A note says when there is none."""
    state = context.state
    try:
        if not await packing:
            raise OSError("it could not be packed")
        with await asyncio.to_thread(opened, target.records / PACKED) as packed:
            await base_store.save(context.bus, context.job_id, packed)
        state["base_kept"] = True
    except (OSError, NatsError, TimeoutError) as error:
        if nats_away(error):
            raise
        log.warning("the clone has no base", clone=context.job_id, error=repr(error))
        text = "It was not kept what the source was: a restore can not tell its changes from those of production"
        context.note(Note(code="base_missing", message=text))
    await context.checkpoint()  # before what it was made of is gone
    await asyncio.to_thread(shutil.rmtree, target.records, ignore_errors=True)


def remembered(state: Mapping[str, Any]) -> str:
    """The file with what is known of the rows that were copied."""
    return ROWS_PROVED if state.get("base_proved") else ROWS
