"""Bases (`shared.wordpress.base`) in an object store: object `<clone id>`, gone with its clone, or in time."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import aclosing
from datetime import datetime
from typing import IO

from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.errors import BadObjectMetaError, DigestMismatchError, NotFoundError
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
DAMAGED = (BadObjectMetaError, DigestMismatchError)
"""Errors of a base that will not be readable later either."""


async def save(bus: Bus, name: str, packed: IO[bytes], *, of: str = "") -> None:
    """Store a base in place of any other of that name; `of`: the clone it is about. Raises nats errors,
    TimeoutError."""
    meta = ObjectMeta(name=name, description=of or name, options=ObjectMetaOptions(max_chunk_size=CHUNK))
    async with asyncio.timeout(TIMEOUT):
        await (await _store(bus)).put(name, packed, meta)  # type: ignore[arg-type]


async def fetch(bus: Bus, name: str, into: IO[bytes]) -> str | None:
    """Write a base into a file, unread. The clone it is about; None when there is none. Raises nats errors,
    TimeoutError."""
    try:
        async with asyncio.timeout(TIMEOUT):
            found = await (await _store(bus)).get(name, into)  # type: ignore[arg-type]
    except NotFoundError:
        return None
    return found.info.description or name


async def load(bus: Bus, clone_id: str) -> Base | None:
    """A clone's base; None when there is none, or none that can be read. Raises nats errors, TimeoutError."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as packed:
        if await fetch(bus, clone_id, packed) is None:
            return None
        packed.seek(0)
        try:
            return await asyncio.to_thread(read_base, packed)
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
