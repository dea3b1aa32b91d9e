"""The job engine beside Celery + Redis and FastAPI BackgroundTasks: submitting, running, recovering, not doubling.

One run, one machine, the same job (append a line to a file) and the same 264 bytes of payload. nats-server syncs every
message to disk; Redis runs as Debian ships it (snapshots: an acknowledged task may be lost with the machine) for the
ratios, and with `appendfsync always` for the `durable` figures. The engine does more per job than Celery: checkpoints,
events people see, a login that is removed. Recovery and duplicates are measured with the same timeout on both sides.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks._missing import Missing
from benchmarks._queue_celery import connected
from services.gateway.group import Group
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import CloneRequested
from shared.ids import new_id
from shared.settings import Settings
from siteferry.embedded.servers.nats import Nats
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import running

PAYLOAD = "x" * 264
SUBMISSIONS = 2000
TRIVIAL = 600
IN_FLIGHT = 50
SLOTS = 16
TIMEOUT = 10.0
"""Seconds: ack_wait here, visibility timeout there."""
LONG = 100.0
"""Seconds of the job that is longer than the timeout; Celery looks for overdue tasks about once in 90 s."""
LOST = 50


def run() -> dict[str, Any]:
    """Rates are jobs a second; `null` for a job that was not recovered while we looked. Raises Missing."""
    if shutil.which("redis-server") is None:
        raise Missing("Celery needs Redis; get it with: apt-get install redis-server (its service need not run)")
    directory = Path(tempfile.mkdtemp(prefix="siteferry-"))
    directory.chmod(0o711)
    try:
        with running(Nats(directory / "nats")) as nats:
            ours = Ours(nats, directory)
            figures = asyncio.run(ours.measure())
        for name, options in {"": [], "durable_": ["--appendonly", "yes", "--appendfsync", "always"]}.items():
            with Theirs(directory, options) as theirs:
                submit = theirs.submit()
                rate = theirs.end_to_end()
                figures[f"celery_{name}submit_rate"] = submit["rate"]
                figures[f"celery_{name}submit_p99_ms"] = submit["p99_ms"]
                figures[f"celery_{name}end_to_end_rate"] = rate
                figures[f"{name}submit_rate_ratio_to_celery"] = round(figures["submit_rate"] / submit["rate"], 2)
                figures[f"{name}end_to_end_ratio_to_celery"] = round(figures["end_to_end_rate"] / rate, 2)
                if not name:
                    figures |= theirs.recover()
        figures["background_tasks_lost"] = background_lost(directory)
        return {**figures, "timeout_s": TIMEOUT, "long_job_s": LONG, "background_tasks": LOST}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1] * 1000, 2)


def until(check: Callable[[], bool], limit: float) -> float | None:
    """Seconds until `check` holds; None when it does not within the limit."""
    begun = time.monotonic()
    while time.monotonic() - begun < limit:
        if check():
            return time.monotonic() - begun
        time.sleep(0.005)
    return None


@contextmanager
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process we started with its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def spawn(stack: ExitStack, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stack.callback(end, process)
    return process


class Ours:
    """The engine."""

    def __init__(self, nats: Nats, directory: Path) -> None:
        self._nats = nats
        self._directory = directory

    async def measure(self) -> dict[str, Any]:
        settings = Settings(nats_url=self._nats.url, nats_token_file=self._nats.token_file)
        async with connect(settings, service="benchmark") as bus:
            await streams.install(bus.js, ack_wait=TIMEOUT)
            self._group = Group(bus.js, timeout=TIMEOUT)
            figures = await self._submit(bus)
            await bus.js.purge_stream(streams.STREAMS["clone"])
            figures |= await self._end_to_end(bus)
            return figures | await self._recover(bus)

    def _worker(self, stack: ExitStack, slots: int) -> subprocess.Popen[bytes]:
        return spawn(
            stack,
            [sys.executable, "-m", "benchmarks._queue_worker", str(slots), str(TIMEOUT)],
            SITEFERRY_NATS_URL=self._nats.url,
            SITEFERRY_NATS_TOKEN_FILE=str(self._nats.token_file),
            SITEFERRY_VAULT_KEY_FILE=str(self._directory / "vault.key"),
        )

    async def _send(self, bus: Bus, path: Path, seconds: float = 0) -> float:
        job_id = new_id("clone")
        plan = json.dumps([str(path), seconds, PAYLOAD])
        command = CloneRequested(job_id=job_id, source_url="http://a.test", secret_ref=job_id, ttl_minutes=5, name=plan)
        begun = time.perf_counter()
        await bus.publish(command, msg_id=f"{job_id}:requested", via=self._group.publish)
        return time.perf_counter() - begun

    async def _send_many(self, bus: Bus, number: int, path: Path) -> list[float]:
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> float:
            async with room:
                return await self._send(bus, path)

        return list(await asyncio.gather(*(one() for _ in range(number))))

    async def _submit(self, bus: Bus) -> dict[str, Any]:
        begun = time.perf_counter()
        took = await self._send_many(bus, SUBMISSIONS, self._directory / "unused")
        rate = round(SUBMISSIONS / (time.perf_counter() - begun))
        return {"submit_rate": rate, "submit_p50_ms": percentile(took, 50), "submit_p99_ms": percentile(took, 99)}

    async def _end_to_end(self, bus: Bus) -> dict[str, Any]:
        path = self._directory / "ours"
        with processes() as stack:
            for _ in range(2):
                self._worker(stack, SLOTS)
            await self._send(bus, path)
            await asyncio.to_thread(until, lambda: lines(path) == 1, 30)
            begun = time.perf_counter()
            await self._send_many(bus, TRIVIAL, path)
            await asyncio.to_thread(until, lambda: lines(path) == TRIVIAL + 1, 120)
            return {"end_to_end_rate": round(TRIVIAL / (time.perf_counter() - begun))}

    async def _recover(self, bus: Bus) -> dict[str, Any]:
        path, long = self._directory / "ours-killed", self._directory / "ours-long"
        with processes() as stack:
            workers = [self._worker(stack, 4) for _ in range(2)]
            await self._send(bus, path, 3.0)
            await asyncio.to_thread(until, lambda: lines(path) == 1, 30)
            doomed = int(path.read_text().split()[0])
            end(next(worker for worker in workers if worker.pid == doomed))
            recovered = await asyncio.to_thread(until, lambda: lines(path) == 2, 120)
            self._worker(stack, 4)
            await self._send(bus, long, LONG)
            await asyncio.sleep(LONG)
        return {"recover_s": None if recovered is None else round(recovered, 1), "duplicates": lines(long) - 1}


class Theirs:
    """Celery with Redis."""

    def __init__(self, directory: Path, options: list[str]) -> None:
        self._directory = directory
        self._options = options
        self._port = free_port()
        self._broker = f"redis://127.0.0.1:{self._port}/0"
        self._stack = ExitStack()

    def __enter__(self) -> Theirs:
        home = Path(tempfile.mkdtemp(dir=self._directory))
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(home), *self._options]
        spawn(self._stack, command)
        connection = self._connection = redis.Redis(port=self._port)

        def answers() -> bool:
            try:
                return bool(connection.ping())
            except redis.exceptions.ConnectionError:
                return False

        until(answers, 10)
        self._app = connected(self._broker)
        return self

    def __exit__(self, *_: object) -> None:
        self._app.close()
        self._connection.close()
        self._stack.close()

    def _worker(self, stack: ExitStack, *, concurrency: int, late: bool) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "benchmarks._queue_celery", "worker", "--without-gossip"]
        command += ["--without-mingle", f"--concurrency={concurrency}", f"--hostname=w{time.monotonic_ns()}@bench"]
        timeout = {"QUEUE_TIMEOUT": str(int(TIMEOUT))} if late else {}
        return spawn(stack, command, QUEUE_REDIS=self._broker, QUEUE_LATE="1" if late else "0", **timeout)

    def _send(self, path: Path, seconds: float = 0) -> float:
        begun = time.perf_counter()
        self._app.send_task("work", args=[str(path), seconds, PAYLOAD])
        return time.perf_counter() - begun

    def submit(self) -> dict[str, Any]:
        """The better of one thread and as many threads as we have coroutines."""
        return max((self._submit(threads) for threads in (1, IN_FLIGHT)), key=lambda found: found["rate"])

    def _submit(self, threads: int) -> dict[str, Any]:
        with ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            took = list(pool.map(lambda _: self._send(self._directory / "unused"), range(SUBMISSIONS)))
            rate = round(SUBMISSIONS / (time.perf_counter() - begun))
        self._connection.flushall()
        return {"rate": rate, "p99_ms": percentile(took, 99)}

    def end_to_end(self) -> int:
        path = Path(tempfile.mkdtemp(dir=self._directory)) / "theirs"
        with processes() as stack:
            for _ in range(2):
                self._worker(stack, concurrency=1, late=True)
            self._send(path)
            until(lambda: lines(path) == 1, 30)
            begun = time.perf_counter()
            for _ in range(TRIVIAL):
                self._send(path)
            until(lambda: lines(path) == TRIVIAL + 1, 120)
            return round(TRIVIAL / (time.perf_counter() - begun))

    def recover(self) -> dict[str, Any]:
        """A killed worker's task, and meanwhile a task that is longer than the timeout."""
        path, long = self._directory / "theirs-killed", self._directory / "theirs-long"
        with processes() as stack:
            doomed = self._worker(stack, concurrency=1, late=True)
            self._send(path, 3.0)
            until(lambda: lines(path) == 1, 30)
            end(doomed)
            killed = time.monotonic()
            for _ in range(3):
                self._worker(stack, concurrency=2, late=True)
            self._send(long, LONG)
            until(lambda: lines(long) == 1, 30)
            until(lambda: lines(path) == 2, 150)
            recovered = time.monotonic() - killed if lines(path) == 2 else None
            until(lambda: False, max(0.0, killed + LONG + 5 - time.monotonic()))
        return {
            "celery_recover_s": None if recovered is None else round(recovered, 1),
            "celery_duplicates": lines(long) - 1,
        }


def background_lost(directory: Path) -> int:
    """Accepted jobs that never ran, after kill -9 of the web process that had them."""
    path, port = directory / "background", free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks._queue_background:app", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"{url}/openapi.json", timeout=1).status == 200
        except OSError:
            return False

    with processes() as stack:
        process = spawn(stack, command)
        until(answers, 20)
        with ThreadPoolExecutor(LOST) as pool:
            request = urllib.request.Request(f"{url}/work?path={path}", method="POST")
            list(pool.map(lambda _: urllib.request.urlopen(request, timeout=5).status, range(LOST)))
        end(process)
        spawn(stack, command)
        until(answers, 20)
        until(lambda: lines(path) == LOST, 2)
    return LOST - lines(path)


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
