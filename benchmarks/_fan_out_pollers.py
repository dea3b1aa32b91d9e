"""The same clients without push: each asks `GET /jobs/{id}` once a second, on a connection it keeps.

How long each change took to reach a client is noted when an answer first includes it. Of several in one answer, which
come evenly, only the last has its time in it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

import uvloop

EVERY = 1.0
STAMP = re.compile(rb'"updated_at":"([^"]+)"')
COUNT = re.compile(rb'"n":(\d+)')


@dataclass
class Notes:
    """What all clients saw."""

    ages: list[float] = field(default_factory=list)
    answers: int = 0
    refused: int = 0
    """Answers that were not the job."""
    late: int = 0
    """Polls that could not be sent in time because the answer before was still awaited."""


async def poll(host: str, port: int, job_id: str, offset: float, notes: Notes) -> None:
    """One client, for ever."""
    reader, writer = await asyncio.open_connection(host, port)
    question = f"GET /jobs/{job_id} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    seen, changed, due = 0, 0.0, time.monotonic() + offset
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(question)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        notes.answers += 1
        if not head.startswith(b"HTTP/1.1 200"):
            notes.refused += 1
            due = time.monotonic() + EVERY
            continue
        count, stamp = COUNT.search(body), STAMP.search(body)
        assert count is not None
        assert stamp is not None
        now, before, last = time.time(), changed, seen
        seen, changed = int(count[1]), datetime.fromisoformat(stamp[1].decode()).timestamp()
        if last:
            fresh = seen - last
            notes.ages += (now - before - (changed - before) * nth / fresh for nth in range(1, fresh + 1))
        due += EVERY
        if due < time.monotonic():
            notes.late += 1
            due = time.monotonic()


async def main(url: str, job_ids: list[str], count: int) -> None:
    where, notes = urlsplit(url), Notes()
    assert where.hostname is not None
    assert where.port is not None
    tasks = [
        asyncio.create_task(poll(where.hostname, where.port, job_ids[n % len(job_ids)], n / count * EVERY, notes))
        for n in range(count)
    ]
    while notes.answers < count:
        await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    notes.ages.clear()
    notes.answers = notes.late = notes.refused = 0
    await asyncio.to_thread(sys.stdin.readline)
    told = {"answers": notes.answers, "late": notes.late, "refused": notes.refused}
    print(json.dumps({"ages": sorted(notes.ages), **told}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])))
