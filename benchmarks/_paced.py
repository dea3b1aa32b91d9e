"""Clients that ask once a second each, as a process of their own: some submit, some look at a job.

    python -m benchmarks._paced http://localhost:8080 --submitters 200 --pollers 500 --seconds 60

They begin spread over the first second, so that the load is even. Prints one JSON object: milliseconds of each POST and
GET, and how many calls were refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

from benchmarks.submitters import BODY, Connection, Figures

PACE = 1.0
"""Seconds from one call of a client to its next."""


Ask = Callable[[], Awaitable[tuple[int, bytes]]]


async def paced(ask: Ask, until: float, took: list[float], figures: Figures) -> None:
    """Ask once a second; one that waits longer for its answer asks again at once."""
    due = time.perf_counter() + random.random() * PACE
    while due < until:
        await asyncio.sleep(due - time.perf_counter())
        began = time.perf_counter()
        status, _ = await ask()
        figures.errors += status not in (200, 202)
        took.append((time.perf_counter() - began) * 1000)
        due = max(due + PACE, time.perf_counter())


async def load(url: str, submitters: int, pollers: int, seconds: float) -> Figures:
    """Run them all; every one has a connection of its own."""
    figures, submit = Figures(), ("POST", "/clone", json.dumps(BODY).encode())
    _, answer = await (await Connection.to(url)).ask(*submit)
    look = ("GET", json.loads(answer)["status_url"])
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for call, took, many in ((submit, figures.posts, submitters), (look, figures.gets, pollers)):
            for _ in range(many):
                ask = partial((await Connection.to(url)).ask, *call)
                group.create_task(paced(ask, until, took, figures))
    figures.seconds = seconds
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--submitters", type=int, default=200)
    parser.add_argument("--pollers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    figures = asyncio.run(load(chosen.url, chosen.submitters, chosen.pollers, chosen.seconds))
    print(json.dumps(vars(figures)))


if __name__ == "__main__":
    main()
