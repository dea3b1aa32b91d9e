"""The engine as jobs grow by the ten thousand: what a job costs, what services keep, how long a list takes.

Real nats-server, gateway, status and two workers whose jobs do nothing (`benchmarks._queue_worker`). At every mark the
same is measured, so that slopes show: `cpu_ms_per_job` since the mark before, memory and stored bytes then, and what
an operator asks for. `…_growth` is the last mark over the first; what depends on the jobs at hand stays near 1, what
depends on all there ever were grows. `first_list_s`: the first list once all were submitted, which takes in what has
changed since the last. At the end a gateway starts with all of it behind it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import httpx2

from benchmarks.large import proportional
from benchmarks.submitters import BODY, Connection
from shared.bus.connection import connect
from shared.bus.log_size import log_size
from siteferry.embedded.cells.busy import seconds
from siteferry.embedded.servers.ports import free_port
from tests.integration.gateway_process import Gateway, end, launch, running_gateway, running_status, wait_ready

MARKS = (1_000, 3_000, 10_000)
IN_FLIGHT = 20
SLOTS, ACK_WAIT = 16, 30
MOST = 1800
"""Seconds the jobs of one mark may take."""
LOOKS = 10
ASKED = {
    "list": "/jobs?limit=50",
    "count": "/jobs?limit=50&count=true&status=failed",
    "search": "/jobs?limit=50&q=nobody",
    "statistics": "/statistics",
}
"""What an operator asks for."""


def run(marks: tuple[int, ...] = MARKS) -> dict[str, Any]:
    """Milliseconds of processor, bytes, milliseconds a call; a list for every mark."""
    with running_gateway(rate_limit_per_minute=0) as gateway, ExitStack() as stack:
        status = stack.enter_context(running_status(gateway))
        workers = [stack.enter_context(_worker(gateway)) for _ in range(2)]
        family = {
            "gateway": [gateway.popen.pid],
            "status": [status.pid],
            "workers": [worker.pid for worker in workers],
            "nats": [gateway.nats_process.pid],
        }
        found = [_mark(gateway, family, before, mark) for before, mark in pairwise((0, *marks))]
        start_s = _start_again(gateway)
    figures = {name: [mark[name] for mark in found] for name in found[0]}
    growth = {f"{name}_growth": round(values[-1] / values[0], 2) for name, values in figures.items() if values[0]}
    return {"jobs": list(marks), **figures, **growth, "gateway_start_s": start_s}


@contextmanager
def _worker(gateway: Gateway) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks._queue_worker", str(SLOTS), str(ACK_WAIT)]
    process = subprocess.Popen(command, env=gateway.environment)
    try:
        yield process
    finally:
        end(process)


def _mark(gateway: Gateway, family: dict[str, list[int]], before: int, mark: int) -> dict[str, float]:
    """Run jobs until there have been so many, and measure."""
    used, began = _used(family), time.monotonic()
    asyncio.run(_submit(gateway.url, mark - before))
    with gateway.client() as client:
        looked = time.monotonic()
        client.get("/jobs?limit=1", timeout=MOST)
        first_list_s = time.monotonic() - looked
        while client.get("/jobs?status=completed&count=true&limit=1", timeout=MOST).json()["total"] < mark:
            assert time.monotonic() - began < MOST, f"less than {mark} jobs completed in {MOST} s"
            time.sleep(1)
        took = time.monotonic() - began
        jobs = mark - before
        costs = {f"{name}_cpu_ms": (now - used[name]) / jobs * 1000 for name, now in _used(family).items()}
        memory = {f"{name}_memory": sum(map(proportional, pids)) for name, pids in family.items()}
        asked = {f"{name}_ms": _median(lambda path=path: client.get(path)) for name, path in ASKED.items()}  # type: ignore[misc]
    return {
        "jobs_a_second": round(jobs / took, 1),
        "cpu_ms_per_job": round(sum(costs.values()), 2),
        **{name: round(value, 2) for name, value in costs.items()},
        **memory,
        "first_list_s": round(first_list_s, 2),
        **asked,
        "stored_bytes_per_job": round(asyncio.run(_stored(gateway)) / mark),
    }


def _used(family: dict[str, list[int]]) -> dict[str, float]:
    return {name: sum(map(seconds, pids)) for name, pids in family.items()}


async def _submit(url: str, jobs: int) -> None:
    share = [jobs // IN_FLIGHT + (n < jobs % IN_FLIGHT) for n in range(IN_FLIGHT)]
    body = json.dumps(BODY | {"name": json.dumps(["/dev/null", 0])}).encode()

    async def submitter(connection: Connection, times: int) -> None:
        for _ in range(times):
            status, answer = await connection.ask("POST", "/clone", body)
            assert status == 202, answer

    async with asyncio.TaskGroup() as group:
        for times in share:
            group.create_task(submitter(await Connection.to(url), times))


def _median(ask: Callable[[], httpx2.Response]) -> float:
    """Milliseconds of a call."""
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        answer = ask()
        assert answer.status_code == 200, answer.text
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 1)


async def _stored(gateway: Gateway) -> int:
    async with connect(gateway.settings, service="benchmark") as bus:
        return (await log_size(bus)).used


def _start_again(gateway: Gateway) -> float:
    """Seconds until a gateway that starts beside all these jobs lists them."""
    port, began = free_port(), time.monotonic()
    popen, _ = launch(gateway.directory, gateway.nats, port)
    try:
        wait_ready(f"http://localhost:{port}", popen)
        with httpx2.Client(base_url=f"http://localhost:{port}", timeout=30, trust_env=False) as client:
            assert client.get("/jobs?limit=1").json()["jobs"]
        return round(time.monotonic() - began, 2)
    finally:
        end(popen)


if __name__ == "__main__":
    print(json.dumps(run()))
