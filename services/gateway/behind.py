"""Whether the projection is behind the streams, and how far.

Projectors may be away, stopped or slow. Then answers are folded from the stream itself: what the projectors have
acknowledged is in the buckets, what came later is read from here on.
"""

from __future__ import annotations

import asyncio
from collections import deque

from services.gateway.problems import UNAVAILABLE
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.subjects import KINDS, Kind
from shared.log import get

log = get(__name__)

LOOK_EVERY = 1.0
LATE = 2
"""Looks a message may wait for the projectors: running jobs' progress is stored twice a second only."""


class Behind:
    """Looks again and again. `floors` has the sequence up to which a kind is projected, for kinds that are late."""

    def __init__(self, bus: Bus) -> None:
        self.floors: dict[Kind, int] = {}
        self._bus = bus
        self._heads: dict[Kind, deque[int]] = {kind: deque(maxlen=LATE) for kind in KINDS}

    async def run(self) -> None:
        """Look until cancelled. While NATS does not answer, what was seen last holds."""
        while True:
            try:
                for kind in KINDS:
                    await self._look(kind)
            except UNAVAILABLE as error:
                log.debug("can not tell how far the projection is", error=repr(error))
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, kind: Kind) -> None:
        stream, heads = streams.STREAMS[kind], self._heads[kind]
        consumer = await self._bus.js.consumer_info(stream, streams.PROJECTOR)
        info = await self._bus.js.stream_info(stream)
        projected = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        waiting = (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
        late = waiting > 0 and len(heads) == LATE and projected < heads[0]
        heads.append(info.state.last_seq)
        if late:
            if kind not in self.floors:
                log.warning("the projection is behind; answers are folded from the stream", stream=stream)
            self.floors[kind] = projected
        elif self.floors.pop(kind, None) is not None:
            log.info("the projection has caught up", stream=stream)
