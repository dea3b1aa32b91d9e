"""The keeper of the log: the one user of NATS who may make streams, buckets and consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nats.errors import Error as NatsError

from shared.bus.connection import connect
from shared.bus.upkeep import Upkeep
from shared.contract.rights import KEEPER
from shared.settings import Settings


async def keep(settings: Settings, *, ack_wait: float, limit: int, say: Callable[[str], None]) -> None:
    """Make what is missing, for ever. `limit`: bytes the store may take; `say` tells what a person should read."""
    while True:
        try:
            async with connect(settings, service=KEEPER) as bus:
                upkeep = Upkeep(
                    bus,
                    replicas=settings.replicas,
                    ack_wait=ack_wait,
                    audit=settings.audit_kept,
                    limit=limit,
                    say=say,
                )
                await upkeep.run()
        except (NatsError, OSError, TimeoutError):  # not there yet
            await asyncio.sleep(0.2)
