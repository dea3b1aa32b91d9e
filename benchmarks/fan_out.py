"""Live push: 1,000 WebSocket clients on one status process watch 100 jobs with 10 events a second each.

Measured from the moment an event is made until a client has it, through a nats-server that syncs every message to
disk. The floor, in the same run on the same machine with the same clients and sizes, is a bare `websockets` server
that broadcasts ready-made texts: no stream, no fold, no subscriptions, no bounded queues.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

from shared.jobs import StepState
from shared.subjects import EventType
from tests.live.simulator import Simulated
from tests.live.stack import NatsHouse, nats_house, status_process

TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of processor a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    """Bytes a process holds in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Clients:
    """The process of all clients."""

    def __init__(self, url: str, job_ids: list[str], count: int) -> None:
        command = [sys.executable, "-m", "benchmarks._fan_out_clients", url, json.dumps(job_ids), str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready"

    def mark(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def ages(self) -> list[float]:
        self.mark()
        assert self._process.stdout is not None
        found: list[float] = json.loads(self._process.stdout.readline())
        self._process.kill()
        self._process.wait()
        return found


async def publish(jobs: list[Simulated], rate: float, until: float) -> int:
    """Every job's progress at a rate, spread evenly. Returns the number of events."""
    count = 0

    async def play(job: Simulated, offset: float) -> None:
        nonlocal count
        due = time.monotonic() + offset
        while time.monotonic() < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + 1 / rate, time.monotonic())
            count += 1
            job._step(4, state=StepState.RUNNING, done=count)
            await job.emit(EventType.PROGRESS, step="files", message=f"Copying file {count}", progress=count / 1e4)

    await asyncio.gather(*(play(job, number / rate / len(jobs)) for number, job in enumerate(jobs)))
    return count


async def measure(house: NatsHouse, clients: int, jobs: int, rate: float, seconds: float) -> dict[str, Any]:
    async with house.bus() as bus, status_process(house) as status:
        played = [await Simulated(bus).submit() for _ in range(jobs)]
        for job in played:
            await job.start()
        empty = await asyncio.to_thread(resident, status.process.pid)
        crowd = await asyncio.to_thread(Clients, status.ws_url, [job.job_id for job in played], clients)
        full = resident(status.process.pid)
        began, used = time.monotonic(), cpu(status.process.pid)
        crowd.mark()
        events = await publish(played, rate, began + seconds)
        took, used = time.monotonic() - began, cpu(status.process.pid) - used
        ages = await asyncio.to_thread(crowd.ages)
    return {
        "events_per_s": round(events / took),
        "frames_per_s": round(len(ages) / took),
        "p50_ms": percentile(ages, 0.5),
        "p99_ms": percentile(ages, 0.99),
        "cpu_s_per_s": round(used / took, 3),
        "cpu_us_per_frame": round(1e6 * used / max(1, len(ages)), 1),
        "memory_kb_per_client": round((full - empty) / 1024 / clients, 1),
    }


async def floor(clients: int, jobs: int, rate: float, seconds: float, size: int) -> dict[str, Any]:
    job_ids = [f"job-{number}" for number in range(jobs)]
    command = [sys.executable, "-m", "benchmarks._fan_out_floor", json.dumps(job_ids), str(rate), str(size)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdin is not None
        port = int(server.stdout.readline())
        crowd = await asyncio.to_thread(Clients, f"ws://127.0.0.1:{port}", job_ids, clients)
        began, used = time.monotonic(), cpu(server.pid)
        crowd.mark()
        server.stdin.write("\n")
        server.stdin.flush()
        await asyncio.sleep(seconds)
        took, used = time.monotonic() - began, cpu(server.pid) - used
        ages = await asyncio.to_thread(crowd.ages)
    finally:
        server.kill()
        server.wait()
    return {
        "frames_per_s": round(len(ages) / took),
        "p50_ms": percentile(ages, 0.5),
        "p99_ms": percentile(ages, 0.99),
        "cpu_us_per_frame": round(1e6 * used / max(1, len(ages)), 1),
    }


def percentile(sorted_values: list[float], share: float) -> float:
    """In milliseconds."""
    return round(1000 * sorted_values[int((len(sorted_values) - 1) * share)], 1) if sorted_values else float("nan")


async def both(clients: int, jobs: int, rate: float, seconds: float) -> dict[str, Any]:
    with nats_house() as house:
        ours = await measure(house, clients, jobs, rate, seconds)
    bare = await floor(clients, jobs, rate, seconds, size=2600)
    ratio = round(ours["cpu_us_per_frame"] / bare["cpu_us_per_frame"], 2)
    asked = {"clients": clients, "jobs": jobs, "rate": rate, "seconds": seconds}
    return {**asked, **ours, "floor": bare, "cpu_ratio_to_floor": ratio}


def run() -> dict[str, Any]:
    """All of it, on two cores that also run the clients, the publisher and the nats-server."""
    return asyncio.run(both(clients=1000, jobs=100, rate=10.0, seconds=15.0))
