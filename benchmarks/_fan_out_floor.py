"""The floor: a bare `websockets` server that only broadcasts ready-made texts to groups of clients."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime

from websockets.asyncio.server import ServerConnection, broadcast, serve

groups: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def handle(socket: ServerConnection) -> None:
    await socket.recv()
    job = json.loads(await socket.recv())["job"]
    await socket.send('{"type":"snap"}')
    groups[job].add(socket)
    await socket.wait_closed()


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def text_of(time_: str, padding: str) -> str:
    return f'{{"type":"ev","event":{{"time":"{time_}","job":"{padding}"}}}}'


async def main(job_ids: list[str], rate: float, size: int) -> None:
    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        padding = "x" * (size - len(text_of(now_text(), "")))
        due = time.monotonic()
        while True:
            for job_id in job_ids:
                broadcast(groups[job_id], text_of(now_text(), padding))
                due += 1 / rate / len(job_ids)
                await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
