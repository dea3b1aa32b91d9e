"""The parts of a running status service, and whether they are well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

from services.status.access import Doorman
from services.status.live.hub import Hub
from services.status.live.registry import Registry
from services.status.projector import Projector
from services.status.settings import StatusSettings
from shared.bus.connection import Bus


@dataclass
class Service:
    """What requests need. `bus` is None until NATS has been reached for the first time."""

    settings: StatusSettings
    stop: asyncio.Event
    bus: Bus | None = None
    hub: Hub | None = None
    projectors: list[Projector] = field(default_factory=list)
    live: Registry = field(default_factory=Registry)

    @cached_property
    def doorman(self) -> Doorman:
        """Who is let in to live connections."""
        return Doorman(self.settings, lambda: self.bus)

    def problems(self) -> list[str]:
        """Why this process is not ready to serve; empty when it is."""
        if self.stop.is_set():
            return ["stopping"]
        if self.bus is None or not self.bus.nc.is_connected:
            return ["not connected to NATS"]
        if self.hub is None or not self.hub.started():
            return ["the streams have not been found yet"]
        return [f"consumer {part.feed.name} is silent" for part in self.projectors if not part.feed.alive()]
