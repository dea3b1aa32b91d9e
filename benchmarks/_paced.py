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
from urllib.parse import urlsplit

from benchmarks.submitters import BODY, Connection, Figures

PACE = 1.0
"""Seconds from one call of a client to its next."""


async def paced(ask: Callable[[], Awaitable[int]], until: float, took: list[float], figures: Figures) -> None:
    """Ask once a second; one that waits longer for its answer asks again at once."""
    due = time.perf_counter() + random.random() * PACE
    while due < until:
        await asyncio.sleep(due - time.perf_counter())
        began = time.perf_counter()
        figures.errors += await ask() not in (200, 202)
        took.append((time.perf_counter() - began) * 1000)
        due = max(due + PACE, time.perf_counter())


async def load(url: str, submitters: int, pollers: int, seconds: float) -> Figures:
    """Run them all; every one has a connection of its own."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    figures, body = Figures(), json.dumps(BODY).encode()

    async def connection() -> Connection:
        return Connection(*await asyncio.open_connection(host, port), parts.netloc)

    first = await connection()
    _, answer = await first.ask("POST", "/clone", body)
    watched = json.loads(answer)["status_url"]
    until = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(submitters):
            post = (await connection()).ask

            async def submit(post: Callable[..., Awaitable[tuple[int, bytes]]] = post) -> int:
                return (await post("POST", "/clone", body))[0]

            group.create_task(paced(submit, until, figures.posts, figures))
        for _ in range(pollers):
            get = (await connection()).ask

            async def look(get: Callable[..., Awaitable[tuple[int, bytes]]] = get) -> int:
                return (await get("GET", watched))[0]

            group.create_task(paced(look, until, figures.gets, figures))
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
