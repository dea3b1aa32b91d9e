"""When sweeps happen: at start, every so often, and when somebody asks."""

from __future__ import annotations

import asyncio
import json
import random

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from services.cloner.sweeper.report import Report
from services.cloner.sweeper.sweep import Busy, Sweeper
from shared.bus.connection import Bus
from shared.contract.subjects import rpc
from shared.errors import JobError
from shared.log import get

log = get(__name__)

QUEUE = "cloners"
AGAIN = 60.0
"""Seconds until a sweep that was broken off is tried again."""
MAX_FINDINGS = 2000
"""More do not fit into one answer; the log has them all."""


async def serve_sweeps(bus: Bus, sweeper: Sweeper, *, every: float) -> None:
    """Sweep now and about every `every` seconds (0: only when asked), and answer `rpc.cloner.sweep`; for ever."""
    running: set[asyncio.Task[None]] = set()

    async def asked(msg: Msg) -> None:
        task = asyncio.create_task(_answer(sweeper, msg), name="sweep")
        running.add(task)
        task.add_done_callback(running.discard)

    asking = await bus.nc.subscribe(rpc("cloner", "sweep"), queue=QUEUE, cb=asked)
    try:
        while every > 0:
            pause = every if await _one(sweeper) else min(every, AGAIN)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        await asyncio.Event().wait()
    finally:
        if not bus.nc.is_closed:
            await asking.unsubscribe()


async def _one(sweeper: Sweeper) -> bool:
    """Whether the sweep was made, by us or by another one."""
    try:
        await sweeper.sweep()
    except Busy:
        log.debug("another cloner sweeps")
    except (JobError, NatsError, APIError, TimeoutError, OSError) as error:
        log.warning("sweep broken off", error=repr(error))
        return False
    except Exception:
        log.exception("sweep broken off")
        return False
    return True


async def _answer(sweeper: Sweeper, msg: Msg) -> None:
    """`{"dry_run": bool}` -> a report, or `{"error": sentence}`."""
    try:
        dry_run = bool(json.loads(msg.data or b"{}").get("dry_run"))
        report: Report = await sweeper.sweep(dry_run=dry_run)
    except Busy:
        await msg.respond(b'{"error": "Another sweep is running. Try again in a moment."}')
    except Exception as error:
        log.exception("sweep broken off")
        await msg.respond(json.dumps({"error": f"The sweep broke off: {type(error).__name__}."}).encode())
    else:
        short = report.model_copy(update={"findings": report.findings[:MAX_FINDINGS]})
        await msg.respond(short.model_dump_json().encode())
