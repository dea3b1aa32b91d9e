"""Long-polling: a call that says `Prefer: wait=N` is answered when there is something new, or after N seconds."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from services.gateway.access import Principal
from services.gateway.edge import Edge
from shared.contract import streams

LONGEST = 30
"""Seconds a call may wait."""
MOST = 1000
"""Calls that may wait at the same time in this process; more are answered at once. One tenant has at most as many
places as are left for others: half of them when nobody else waits, and who comes later always finds some."""
LOOK_EVERY = 2.0
"""Seconds after which it is looked without having been told: a message on its way to us is not kept by anybody."""
CHECK_EVERY = 0.5
"""Seconds after which it is looked whether who waits may still."""
SETTLE = 0.02
"""Seconds between hearing of a write and reading it."""
HEARD = (streams.JOBS, streams.CLONES, streams.SNAPSHOTS)
"""Buckets whose changes wake a call."""
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})", re.IGNORECASE)

_waiting: Counter[str] = Counter()
"""By tenant."""


def has_place(waiting: Counter[str], tenant: str) -> bool:
    """Whether one more call of the tenant may wait. Pure."""
    return waiting[tenant] < MOST - waiting.total()


def wait_of(prefer: str) -> int | None:
    """Seconds a `Prefer` header (RFC 7240) asks to wait; None where it does not say."""
    found = WAIT.search(prefer)
    return int(found[1]) if found else None


def wish(prefer: str | None) -> int:
    """Seconds a `Prefer` header (RFC 7240) asks to wait, as far as we go; 0: none."""
    return min(wait_of(prefer or "") or 0, LONGEST)


async def turns(edge: Edge, principal: Principal, key: str, seconds: float) -> AsyncIterator[None]:
    """Times to look at a job again, until `seconds` have passed: when its records are written, and now and then.

    Raises a 401 problem as soon as the key of who waits has ended, nats errors when nobody can tell any more.
    """
    bus, tenant = edge.bus, principal.tenant
    if not has_place(_waiting, tenant):
        return
    _waiting[tenant] += 1
    news = asyncio.Event()

    async def heard(_: Msg) -> None:
        news.set()

    subscriptions = []
    try:
        subscriptions = [await bus.nc.subscribe(f"$KV.{name}.{key}", cb=heard) for name in HEARD]
        await bus.nc.flush(2)  # or what is written meanwhile would be told to nobody
        deadline = asyncio.get_running_loop().time() + seconds
        yield
        looked = 0.0
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(min(left, CHECK_EVERY)):
                    await news.wait()
                await asyncio.sleep(SETTLE)
            except TimeoutError:
                pass
            await edge.require_still(principal)
            looked += asyncio.get_running_loop().time() - began
            if news.is_set() or looked >= LOOK_EVERY:
                news.clear()
                looked = 0.0
                yield
    finally:
        _waiting[tenant] -= 1
        if not _waiting[tenant]:
            del _waiting[tenant]
        for subscription in subscriptions:
            try:
                await subscription.unsubscribe()
            except NatsError:
                continue
