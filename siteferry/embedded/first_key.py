"""The first API key: made at the first `siteferry up`, kept in a file of its owner's (ADR 45)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from nats.errors import Error as NatsError

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.api_keys import ApiKey, Scope, entry_of, id_of, new_key_id, new_token, tenant_token
from shared.contract.audit import Record
from shared.contract.events import now
from shared.contract.rights import KEEPER
from shared.contract.subjects import audit
from shared.ids import new_id
from shared.secrets.api_keys import LOCAL, Principal, digest, read_key
from shared.secrets.tickets import Passes
from shared.settings import Settings
from siteferry.embedded.servers.base import write_file

FILE = "first-key"
MAKER = "siteferry up"
AGAIN = 0.2
"""Seconds between two tries."""
QUIET = 10.0
"""Seconds of trying before a person is told: NATS is about to start."""


async def first_key_at_last(settings: Settings, file: Path, say: Callable[[str], None]) -> ApiKey | None:
    """As `first_key`, tried until NATS and the disk let it; `say` is told once why that takes long."""
    clock = asyncio.get_running_loop().time
    tell_at = clock() + QUIET
    while True:
        try:
            async with connect(settings, service=KEEPER) as bus:
                return await first_key(bus, file)
        except (NatsError, OSError, TimeoutError) as error:
            if clock() > tell_at:
                tell_at = float("inf")
                say(f"the first API key can not be looked after yet: {error or type(error).__name__}")
            await asyncio.sleep(AGAIN)


async def first_key(bus: Bus, file: Path) -> ApiKey | None:
    """The key whose secret is in the file, made where there has never been any key; None when it is good for nothing
    any more, or the file is gone.

    The file comes before the bucket: whoever is killed between makes another one, and nobody has the first.
    Raises nats errors, and OSError when the file can not be written.
    """
    if (await bus.js.stream_info(f"KV_{streams.KEYS}")).state.last_seq == 0:
        await _make(bus, file)
    token = _token(file)
    found = None if token is None else await read_key(bus, id_of(token) or "")
    return found if found and token and found.opens(digest(token), now()) else None


async def dashboard_link(settings: Settings, key: ApiKey, edge_url: str) -> str:
    """An address that opens the dashboard signed in with the key, once, within a quarter of an hour.

    Raises nats errors, OSError, TimeoutError.
    """
    holder = Principal(key.name, key.tenant, key=f"{key.id}:{key.digest}")
    async with connect(settings, service=KEEPER) as bus:
        return f"{edge_url}/#/enter/{await Passes(bus).link(holder)}"


async def _make(bus: Bus, file: Path) -> None:
    key_id = new_key_id(LOCAL.tenant)
    token = new_token(key_id)
    await asyncio.to_thread(write_file, file, f"{token}\n", mode=0o600, durable=True)
    key = ApiKey(
        id=key_id,
        name="first key",
        tenant=LOCAL.tenant,
        scope=Scope.ADMIN,
        operator=True,
        digest=digest(token),
        created_at=now(),
        created_by=MAKER,
    )
    await _record(bus, key)
    await (await bus.bucket(streams.KEYS)).create(entry_of(key.id), key.model_dump_json().encode())


async def _record(bus: Bus, key: ApiKey) -> None:
    record = Record(
        id=new_id("record"),
        at=key.created_at,
        tenant=key.tenant,
        key=MAKER,
        name=MAKER,
        address="",
        request_id="",
        trace_id="",
        action="key.create",
        objects=[key.id],
        ended_at=key.created_at,
        status=201,
    )
    where = audit(tenant_token(record.tenant), record.action, record.id)
    await bus.js.publish(where, record.model_dump_json(exclude_defaults=True).encode())


def _token(file: Path) -> str | None:
    try:
        token = file.read_text().strip()
    except (OSError, ValueError):
        return None
    return token if id_of(token) else None
