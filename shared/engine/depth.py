"""How much work there is: what an autoscaler and a dashboard of operators look at."""

from __future__ import annotations

from dataclasses import dataclass

from shared.bus.connection import Bus
from shared.contract.streams import STREAMS, work_consumer
from shared.contract.subjects import LANES, Kind, Lane


@dataclass(frozen=True)
class Depth:
    """Messages of one lane. The lag to scale on is their sum."""

    waiting: int
    """In the queue. Jobs parked by a limit or a retry are not in it until their schedule fires."""
    running: int
    """In the hands of workers."""

    @property
    def lag(self) -> int:
        """Waiting and running."""
        return self.waiting + self.running


async def depth(bus: Bus, kind: Kind) -> dict[Lane, Depth]:
    """The depth of every lane. Raises nats errors when NATS is away."""
    found = {}
    for lane in LANES:
        info = await bus.js.consumer_info(STREAMS[kind], work_consumer(kind, lane))
        found[lane] = Depth(info.num_pending or 0, info.num_ack_pending or 0)
    return found
