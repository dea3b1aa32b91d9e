"""API keys in their bucket: pages of them, and changes that two gateways can not both make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from nats.js.errors import KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from services.gateway import reader
from services.gateway.problems import Problem
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.api_keys import KEY_ID, ApiKey, entries, entry_of
from shared.log import get

log = get(__name__)

STREAM = f"KV_{streams.KEYS}"
PREFIX = f"$KV.{streams.KEYS}."
LOOKED_THROUGH = 20_000
"""Keys looked at for one page."""


@dataclass(frozen=True)
class Kept:
    """A key and its revision in the bucket."""

    key: ApiKey
    revision: int


@dataclass(frozen=True)
class Page:
    """Keys in the order of their last change, and where the next page begins; None: there is none."""

    keys: list[ApiKey]
    next: int | None


class KeyStore:
    """Methods raise nats errors when the bucket can not be reached."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def create(self, key: ApiKey) -> None:
        """Store a new key."""
        await (await self._bucket()).create(entry_of(key.id), key.model_dump_json().encode())

    async def get(self, key_id: str) -> Kept | None:
        """The key as the bucket's leader has it."""
        if not KEY_ID.fullmatch(key_id):
            return None
        found = await reader.newest_at_leader(self._bus.js, STREAM, PREFIX + entry_of(key_id))
        key = None if found is None else _read(found.data)
        return None if found is None or key is None or key.id != key_id else Kept(key, found.seq)

    async def change(self, kept: Kept, key: ApiKey) -> None:
        """Put the key in place of what was read. Raises a 409 problem when it has changed meanwhile."""
        try:
            await (await self._bucket()).update(entry_of(key.id), key.model_dump_json().encode(), last=kept.revision)
        except KeyWrongLastSequenceError:
            raise Problem(
                409,
                "key_changed",
                "The key was changed by somebody else in this moment.",
                hint="Look at it again, and repeat what is still needed.",
            ) from None

    async def page(self, tenant: str | None, wanted: Callable[[ApiKey], bool], *, after: int, limit: int) -> Page:
        """Keys of a tenant (None: of all) that were last changed behind `after`, a sequence of the bucket."""
        found: list[ApiKey] = []
        looked = 0
        async with aclosing(self._after(tenant, after)) as keys:  # type: ignore[type-var]
            async for seq, key in keys:
                looked += 1
                if (tenant is None or key.tenant == tenant) and wanted(key):
                    found.append(key)
                if len(found) == limit or looked == LOOKED_THROUGH:
                    return Page(found, seq)
        return Page(found, None)

    async def _after(self, tenant: str | None, after: int) -> AsyncIterator[tuple[int, ApiKey]]:
        stored = reader.read(self._bus.nc, STREAM, PREFIX + entries(tenant), start=after + 1)
        async with aclosing(stored) as messages:  # type: ignore[type-var]
            async for message in messages:
                key = _read(message.data)
                if key is not None:
                    yield message.seq, key

    async def _bucket(self) -> KeyValue:
        return await self._bus.bucket(streams.KEYS)


def state_of(key: ApiKey, now: datetime) -> str:
    """`active`, `expired` or `revoked`."""
    return "revoked" if key.revoked_at else "active" if key.lives(now) else "expired"


def _read(data: bytes) -> ApiKey | None:
    try:
        return ApiKey.model_validate_json(data)
    except ValidationError:
        log.error("skipped an API key that can not be read")
        return None
