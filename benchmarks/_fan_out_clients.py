"""Many WebSocket clients in one process: each watches one job and notes how old every change is when it arrives."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from datetime import datetime

import websockets

STAMP = re.compile(r'"time":"([^"]+)"')


async def watch(url: str, job_id: str, ages: list[float], ready: asyncio.Semaphore) -> None:
    async with websockets.connect(url, compression=None, max_queue=None, open_timeout=60) as socket:
        await socket.send('{"type":"hello","v":1}')
        await socket.send(json.dumps({"type": "sub", "id": "a", "job": job_id}))
        while '"snap"' not in str(await socket.recv())[:20]:
            pass
        ready.release()
        async for text in socket:
            found = STAMP.search(str(text)[:400])
            if found:
                ages.append(time.time() - datetime.fromisoformat(found[1]).timestamp())


async def main(url: str, job_ids: list[str], count: int) -> None:
    ages: list[float] = []
    ready = asyncio.Semaphore(0)
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(watch(url, job_ids[number % len(job_ids)], ages, ready)))
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    for _ in range(count):
        await ready.acquire()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ages.clear()
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(sorted(ages)), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])))
