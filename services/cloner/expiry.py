"""The end of a clone's life: its time is up, or somebody deleted it. Destroy, then say so; idempotent."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from services.cloner.drivers.port import Provisioner
from services.cloner.metrics import UNREADABLE
from shared.bus import base_store
from shared.bus.connection import Bus
from shared.bus.pull import Feed
from shared.contract import streams
from shared.contract.events import Expire, Expired
from shared.contract.subjects import EventType
from shared.errors import JobError
from shared.log import get

log = get(__name__)

BATCH = 8
"""Clones destroyed at the same time."""
AGAIN_SECONDS = 10.0
"""Pause before a removal that failed is tried again."""


class Expiry:
    """Consumes `clone.expire`; several cloners share the work."""

    def __init__(self, bus: Bus, driver: Provisioner) -> None:
        self._bus = bus
        self._driver = driver
        self.feed = Feed(bus.nc, streams.STREAMS["clone"], streams.expiry_consumer("clone"), batch=BATCH)

    async def run(self) -> None:
        """For ever; a clone that can not be removed now is tried again, also by another cloner."""
        async for batch in self.feed.batches():
            await asyncio.gather(*(self._take(msg) for msg in batch))

    async def _take(self, msg: Msg) -> None:
        """One message's trouble never stops the others, nor the cloner."""
        try:
            expire = Expire.model_validate_json(msg.data)
        except ValidationError as error:
            UNREADABLE.inc()
            log.error("an expiry that can not be read", subject=msg.subject, problems=error.error_count())
            await msg.ack()
            return
        try:
            await self._handle(msg, expire)
        except Exception:
            log.exception("clone not removed yet", clone=expire.job_id)
            with suppress(Exception):
                await msg.nak(delay=AGAIN_SECONDS)

    async def _handle(self, msg: Msg, expire: Expire) -> None:
        started = time.monotonic()
        destroying = asyncio.create_task(asyncio.to_thread(self._driver.destroy, expire.job_id))
        try:
            while not (await asyncio.wait({destroying}, timeout=streams.HEARTBEAT))[0]:
                await msg.in_progress()
            await destroying
            await base_store.forget(self._bus, expire.job_id)
        except (JobError, OSError, NatsError, TimeoutError) as error:
            log.warning("clone not removed yet", clone=expire.job_id, error=str(error))
            await msg.nak(delay=AGAIN_SECONDS)
            return
        await self._say(expire)
        await msg.ack_sync()
        log.info(
            "clone removed", clone=expire.job_id, reason=expire.reason, seconds=round(time.monotonic() - started, 2)
        )

    async def _say(self, expire: Expire) -> None:
        await self._bus.unschedule(expire, slot=EventType.SCHEDULE_EXPIRE)
        gone = Expired(job_id=expire.job_id, lane=expire.lane, reason=expire.reason)
        await self._bus.publish(gone, msg_id=f"{expire.job_id}:expired")
