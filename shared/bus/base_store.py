"""Bases (`shared.wordpress.base`) in an object store: object `<clone id>`, gone with its clone, or in time."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import aclosing
from datetime import datetime
from typing import IO

from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from shared.bus.connection import Bus
from shared.bus.pull import direct
from shared.contract import streams
from shared.log import get
from shared.wordpress.base import BadBase, Base, read_base

log = get(__name__)

CHUNK = 512 * 1024
"""Bytes of one message: each costs the server a sync."""
IN_MEMORY = 8 * 1024 * 1024
TIMEOUT = 120.0


async def save(bus: Bus, clone_id: str, packed: IO[bytes]) -> None:
    """Store a clone's base in place of any other. Raises nats errors, TimeoutError."""
    meta = ObjectMeta(name=clone_id, options=ObjectMetaOptions(max_chunk_size=CHUNK))
    async with asyncio.timeout(TIMEOUT):
        await (await _store(bus)).put(clone_id, packed, meta)  # type: ignore[arg-type]


async def load(bus: Bus, clone_id: str) -> Base | None:
    """A clone's base; None when there is none, or none that can be read. Raises nats errors, TimeoutError."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as packed:
        try:
            async with asyncio.timeout(TIMEOUT):
                await (await _store(bus)).get(clone_id, packed)  # type: ignore[arg-type]
            packed.seek(0)
            return await asyncio.to_thread(read_base, packed)
        except NotFoundError:
            return None
        except BadBase as error:
            log.warning("the base of a clone can not be read", clone=clone_id, error=str(error))
            return None


async def forget(bus: Bus, clone_id: str) -> None:
    """Remove a clone's base, if there is one. Raises nats errors."""
    try:
        await (await _store(bus)).delete(clone_id)
    except NotFoundError:
        return


async def stored(bus: Bus) -> dict[str, datetime]:
    """The names of all bases, with the time each was stored. Raises nats errors."""
    found: dict[str, datetime] = {}
    reading = direct(bus.nc, f"OBJ_{streams.BASES}", seq=1, subject=f"$O.{streams.BASES}.M.>")
    async with aclosing(reading) as messages:
        async for msg in messages:
            meta = json.loads(msg.data)
            if not meta.get("deleted"):
                found[meta["name"]] = datetime.fromisoformat((msg.headers or {})["Nats-Time-Stamp"])
    return found


async def _store(bus: Bus) -> ObjectStore:
    return await bus.js.object_store(streams.BASES)
