"""Telling other programs when jobs end: what happened becomes messages, messages are sent until they are taken."""

from __future__ import annotations

import asyncio

from services.status.settings import StatusSettings
from services.status.webhooks.deliver import Deliverer
from services.status.webhooks.notify import Notifier
from shared.bus.connection import Bus
from shared.contract.subjects import KINDS

__all__ = ["Webhooks"]


class Webhooks:
    """Both halves. They share nothing with the projection: a slow receiver delays nobody but itself."""

    def __init__(self, bus: Bus, settings: StatusSettings) -> None:
        self._notifiers = [Notifier(bus, kind) for kind in KINDS]
        self._deliverer = Deliverer(bus, settings)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            for notifier in self._notifiers:
                group.create_task(notifier.run(), name=f"notify {notifier.kind}")
            group.create_task(self._deliverer.run(), name="deliver webhooks")
