"""A real nats-server and real status processes, each stopped again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.settings import Settings
from siteferry.embedded.servers.nats import Nats
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import ServerProcess, start

ROOT = Path(__file__).resolve().parents[2]


async def eventually(check: Callable[[], Any], *, timeout: float = 10.0, what: str = "it") -> Any:
    """Call `check` (plain or async) until it gives something true, and return that."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        last = check()
        if isinstance(last, Awaitable):
            last = await last
        if last:
            return last
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {timeout:g} s; last: {last!r}")


class NatsHouse:
    """One nats-server that can be killed and started again on the same port and store."""

    def __init__(self, directory: Path) -> None:
        self.server = Nats(directory / "nats")
        self.process: ServerProcess = start(self.server)

    def kill(self) -> None:
        self.process.kill()

    def start(self) -> None:
        self.process = start(self.server)

    def settings(self, **more: Any) -> Settings:
        return Settings(nats_url=self.server.url, nats_token_file=self.server.token_file, **more)

    def environment(self) -> dict[str, str]:
        return {"SITEFERRY_NATS_URL": self.server.url, "SITEFERRY_NATS_TOKEN_FILE": str(self.server.token_file)}

    @asynccontextmanager
    async def bus(self, *, install: bool = True) -> AsyncIterator[Bus]:
        async with connect(self.settings(), service="test") as bus:
            if install:
                await streams.install(bus.js)
            yield bus


@contextmanager
def nats_house() -> Iterator[NatsHouse]:
    directory = Path(tempfile.mkdtemp(prefix="siteferry-", dir="/tmp"))
    directory.chmod(0o711)
    house = NatsHouse(directory)
    try:
        yield house
    finally:
        if house.process.alive():
            house.process.stop()
        shutil.rmtree(directory, ignore_errors=True)


class StatusProcess:
    """`python -m services.status` as an operator runs it."""

    def __init__(self, house: NatsHouse, *, port: int = 0, **settings: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.origin = settings.get("edge_url", "http://localhost:8080")
        environment = {
            **os.environ,
            **house.environment(),
            "SITEFERRY_STATUS_PORT": str(self.port),
            **{f"SITEFERRY_{name.upper()}": value for name, value in settings.items()},
        }
        self.log = tempfile.NamedTemporaryFile(prefix="siteferry-status-", suffix=".log")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.status"], cwd=ROOT, env=environment, stderr=self.log, stdout=self.log
        )

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def ready(self, timeout: float = 60.0) -> StatusProcess:
        async with httpx2.AsyncClient(base_url=self.url, timeout=2) as client:

            async def is_ready() -> bool:
                assert self.process.poll() is None, self.text()
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx2.HTTPError:
                    return False

            await eventually(is_ready, timeout=timeout, what="the status service's readiness")
        return self

    def text(self) -> str:
        return Path(self.log.name).read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)

    async def stop(self, timeout: float = 10) -> float:
        """SIGTERM; the seconds until it was gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, timeout)
        return time.monotonic() - began

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        self.log.close()


@asynccontextmanager
async def status_process(house: NatsHouse, **settings: Any) -> AsyncIterator[StatusProcess]:
    process = StatusProcess(house, **settings)
    try:
        yield await process.ready()
    finally:
        process.close()
