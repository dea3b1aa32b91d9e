"""When keys were last used, to some minutes: what a call costs is a look into a dictionary."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from datetime import datetime

from nats.aio.client import Client

from services.gateway import reader
from services.gateway.problems import UNAVAILABLE
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import now
from shared.contract.times import stamp
from shared.log import get
from shared.secrets.api_keys import Principal

log = get(__name__)

FINE = 300.0
"""Seconds within which a key's further uses are not written down."""
WRITE_EVERY = 2.0
KNOWN_MOST = 20_000


class KeyUses:
    """What this gateway has seen of keys, and not yet written down."""

    def __init__(self) -> None:
        self._written: OrderedDict[str, float] = OrderedDict()
        self._new: dict[str, datetime] = {}

    def note(self, principal: Principal) -> None:
        """A key was shown."""
        if not principal.id or time.monotonic() - self._written.get(principal.id, -FINE) < FINE:
            return
        self._written[principal.id] = time.monotonic()
        self._written.move_to_end(principal.id)
        self._new[principal.id] = now()
        if len(self._written) > KNOWN_MOST:
            self._written.popitem(last=False)

    async def write(self, bus: Bus) -> None:
        """Write down what is new, again and again; what can not be written is forgotten. Never ends."""
        while True:
            await asyncio.sleep(WRITE_EVERY)
            new, self._new = self._new, {}
            try:
                for key_id, at in new.items():
                    await bus.js.publish(f"$KV.{streams.KEY_USES}.{key_id}", stamp(at).encode())
            except UNAVAILABLE as error:
                log.debug("can not write down when API keys were used", error=repr(error))


async def last_uses(nc: Client, key_ids: list[str], *, timeout: float) -> dict[str, datetime]:
    """When keys were last used; at most `reader.SUBJECTS_MAX` of them are asked about. Raises nats errors."""
    prefix = f"$KV.{streams.KEY_USES}."
    if not key_ids:
        return {}
    found = await reader.newest_of(
        nc, f"KV_{streams.KEY_USES}", [prefix + key_id for key_id in key_ids], timeout=timeout
    )
    return {one.subject.removeprefix(prefix): datetime.fromisoformat(one.data.decode()) for one in found}
