"""How a service lives: start, run until told to stop, stop in order, never leave a task unwatched."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from shared.log import get

log = get(__name__)


@asynccontextmanager
async def stop_on_signals() -> AsyncIterator[asyncio.Event]:
    """An event set by the first SIGTERM or SIGINT; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended. Once is not enough: `asyncio.wait_for` of Python 3.11 swallows a cancel that
    comes together with the answer it waits for, and the task would go on for ever."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    if not task.cancelled():
        task.exception()


async def eternal(name: str, work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run work that may only end after `stop`: ending earlier is an error, so that nothing dies unnoticed.

    Raises RuntimeError when the work returns by itself.
    """
    await work
    if not stop.is_set():
        raise RuntimeError(f"{name} ended by itself")
