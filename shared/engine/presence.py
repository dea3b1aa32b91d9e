"""Tells who looks that a worker is there, and what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import now
from shared.contract.subjects import Kind
from shared.contract.workers import WorkerState
from shared.engine.worker import Worker
from shared.log import get

log = get(__name__)

EVERY = 5.0
"""Seconds; an entry goes by itself after `streams.WORKER_LIFE`."""
GONE_WITHIN = 1.0


async def tell(bus: Bus, worker: Worker, kind: Kind, *, slots: int, free: Callable[[], int] | None = None) -> None:
    """Say what the worker does until cancelled; then, that it is gone. `free`: bytes on its disk."""
    name, started = bus.source.removeprefix("siteferry/"), now()
    subject = f"$KV.{streams.WORKERS}.{name.replace('/', '.')}"
    try:
        while True:
            try:
                state = WorkerState(
                    id=name,
                    kind=kind,
                    slots=slots,
                    jobs=worker.running,
                    free_bytes=None if free is None else await asyncio.to_thread(free),
                    started_at=started,
                    said_at=now(),
                )
                await bus.js.publish(subject, state.model_dump_json().encode())
            except (NatsError, JetStreamError, OSError, TimeoutError) as error:
                log.debug("can not say what this worker does", error=repr(error))
            await asyncio.sleep(EVERY)
    finally:
        with suppress(NatsError, JetStreamError, OSError, TimeoutError):
            await bus.js.publish(subject, b"", headers={"KV-Operation": "DEL"}, timeout=GONE_WITHIN)
