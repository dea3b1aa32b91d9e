"""Live push: 1,000 WebSocket clients on one status process watch 100 jobs with 10 events a second each.

Every client watches one job, so that each event goes to ten clients: 1,000 events a second in, 10,000 frames a second
out. Measured from the moment an event is made until a client has it, through a nats-server that syncs every message to
disk. All of it shares the two cores: publisher, nats-server, status process and clients.

Events that were merged into a later one's frame count as well, as old as they were when that came; `merged` says how
many they were. The floor, in the same run on the same machine with the same clients, is a bare `websockets` server that
broadcasts as many ready-made texts of the same length, uncompressed like ours: no stream, no fold, no projection, no
subscriptions, no bounded queues. Beside it the same load without push: as many clients ask the gateway for their job
once a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import JobEvent, now
from shared.contract.jobs import StepState
from shared.contract.subjects import EventType
from tests.integration.gateway_process import running_gateway, running_status
from tests.live.simulator import Simulated
from tests.live.stack import nats_house, status_process

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


class Crowd:
    """The process of all clients."""

    def __init__(self, module: str, url: str, job_ids: list[str], count: int) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", url, json.dumps(job_ids), str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready"

    def mark(self) -> None:
        """Forget what was seen so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def seen(self) -> dict[str, Any]:
        """What was seen since the mark; the clients are gone then."""
        self.mark()
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        self._process.kill()
        self._process.wait()
        return found


class Meter:
    """Processor time that some processes use from now on."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began, self._used = time.monotonic(), self._now()

    def share(self) -> float:
        """Seconds of processor a second."""
        return (self._now() - self._used) / (time.monotonic() - self._began)

    def _now(self) -> float:
        return sum(cpu(pid) for pid in self._pids)


async def play(bus: Bus, jobs: int) -> list[Simulated]:
    """Jobs that have begun."""
    played = [await Simulated(bus).submit() for _ in range(jobs)]
    for job in played:
        await job.start()
        job._step(4, state=StepState.RUNNING)
    return played


async def tell(job: Simulated, count: int) -> None:
    """One event, made with less effort than tests spend on it: the publisher shares the cores."""
    assert job.job is not None
    job._step(4, done=count)
    update = {"updated_at": now(), "step": "files", "message": f"Copying file {count}", "progress": count / 1e4}
    job.job = job.job.model_copy(update=update)
    await job.bus.publish(JobEvent(type=EventType.PROGRESS, job_id=job.job_id, lane=job.lane, job=job.job))


async def publish(jobs: list[Simulated], rate: float, seconds: float) -> float:
    """Every job's progress at a rate, spread evenly. Returns the events a second."""
    count, began = 0, time.monotonic()

    async def go(job: Simulated, offset: float) -> None:
        nonlocal count
        due = began + offset
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + 1 / rate, time.monotonic())
            count += 1
            await tell(job, count)

    await asyncio.gather(*(go(job, number / rate / len(jobs)) for number, job in enumerate(jobs)))
    return count / (time.monotonic() - began)


async def pushed(clients: int, jobs: int, rate: float, seconds: float) -> dict[str, Any]:
    """The product."""
    with nats_house() as house:
        async with house.bus() as bus, status_process(house) as status:
            played, pid = await play(bus, jobs), status.process.pid
            empty = resident(pid)
            ids = [job.job_id for job in played]
            crowd = await asyncio.to_thread(Crowd, "_fan_out_clients", status.ws_url, ids, clients)
            full = resident(pid)
            crowd.mark()
            meter = Meter(pid)
            events = await publish(played, rate, seconds)
            used = meter.share()
            seen = await asyncio.to_thread(crowd.seen)
    return {
        "events_per_s": round(events),
        **figures(seen, used, seconds),
        "merged": seen["merged"],
        "merged_share": round(seen["merged"] / max(1, len(seen["ages"])), 4),
        "cpu_s_per_s": round(used, 3),
        "cpu_us_per_client_s": round(1e6 * used / clients, 1),
        "bytes_per_frame": round(seen["bytes"] / max(1, seen["frames"])),
        "memory_kb_per_client": round((full - empty) / 1024 / clients, 1),
    }


async def floor(clients: int, jobs: int, rate: float, seconds: float, size: int) -> dict[str, Any]:
    """A bare broadcast of frames of `size` bytes."""
    job_ids = [f"job-{number}" for number in range(jobs)]
    command = [sys.executable, "-m", "benchmarks._fan_out_floor", json.dumps(job_ids), str(rate), str(size)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdin is not None
        port = int(server.stdout.readline())
        crowd = await asyncio.to_thread(Crowd, "_fan_out_clients", f"ws://127.0.0.1:{port}", job_ids, clients)
        crowd.mark()
        meter = Meter(server.pid)
        server.stdin.write("\n")
        server.stdin.flush()
        await asyncio.sleep(seconds)
        used = meter.share()
        seen = await asyncio.to_thread(crowd.seen)
    finally:
        server.kill()
        server.wait()
    told = figures(seen, used, seconds)
    return told | {"bytes_per_frame": round(seen["bytes"] / max(1, seen["frames"]))}


async def polled(clients: int, jobs: int, rate: float, seconds: float) -> dict[str, Any]:
    """The same load over REST: gateway and status process together, as the state is made by the one for the other."""
    async with AsyncExitStack() as stack:
        gateway = stack.enter_context(running_gateway(rate_limit_per_minute=0))
        status = stack.enter_context(running_status(gateway))
        bus = await stack.enter_async_context(connect(gateway.settings, service="benchmark"))
        await streams.install(bus.js)
        played = await play(bus, jobs)
        ids = [job.job_id for job in played]
        crowd = await asyncio.to_thread(Crowd, "_fan_out_pollers", f"http://127.0.0.1:{gateway.port}", ids, clients)
        crowd.mark()
        meter = Meter(gateway.popen.pid, status.pid)
        await publish(played, rate, seconds)
        used = meter.share()
        seen = await asyncio.to_thread(crowd.seen)
    return {
        "answers_per_s": round(seen["answers"] / seconds),
        "late_polls": seen["late"],
        "refused": seen["refused"],
        "p50_ms": percentile(seen["ages"], 0.5),
        "p99_ms": percentile(seen["ages"], 0.99),
        "cpu_s_per_s": round(used, 3),
    }


def figures(seen: dict[str, Any], used: float, seconds: float) -> dict[str, Any]:
    """How old events were on arrival, and what their frames cost."""
    ages, per_s = seen["ages"], seen["frames"] / seconds
    return {
        "frames_per_s": round(per_s),
        "p50_ms": percentile(ages, 0.5),
        "p99_ms": percentile(ages, 0.99),
        "cpu_us_per_frame": round(1e6 * used / max(1.0, per_s), 1),
    }


def percentile(sorted_values: list[float], share: float) -> float:
    """In milliseconds."""
    return round(1000 * sorted_values[int((len(sorted_values) - 1) * share)], 1) if sorted_values else float("nan")


async def all_three(clients: int, jobs: int, rate: float, seconds: float) -> dict[str, Any]:
    load = os.getloadavg()[0]
    ours = await pushed(clients, jobs, rate, seconds)
    # as many frames as ours, also where we merged some
    bare = await floor(clients, jobs, ours["frames_per_s"] / clients, seconds, ours["bytes_per_frame"])
    rest = await polled(clients, jobs, rate, seconds)
    return {
        **{"clients": clients, "jobs": jobs, "rate": rate, "seconds": seconds, "load_before": round(load, 2)},
        **ours,
        "floor": bare,
        "cpu_ratio_to_floor": round(ours["cpu_us_per_frame"] / bare["cpu_us_per_frame"], 2),
        "rest": rest,
        "rest_cpu_ratio": round(rest["cpu_s_per_s"] / ours["cpu_s_per_s"], 2),
    }


def run() -> dict[str, Any]:
    """`p99_ms`, `cpu_ratio_to_floor` and their surroundings, on two cores that run everything else as well."""
    return uvloop.run(all_three(clients=1000, jobs=100, rate=10.0, seconds=15.0))
