"""Gateway and status of an installation with API keys, on a real nats-server."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from shared.bus.connection import Bus
from shared.secrets.vault import KeyRing
from siteferry.embedded.servers.ports import free_port
from tests.live.stack import ROOT, NatsHouse, StatusProcess, eventually, nats_house

EDGE = "http://localhost:8080"
KEYS = {"agency": "key-of-the-agency", "other": "key-of-somebody-else"}


@dataclass
class Guarded:
    """What a test of keys works with."""

    house: NatsHouse
    bus: Bus
    status: StatusProcess
    url: str
    """The gateway's."""
    key_file: Path
    vault: KeyRing
    replicas: list[StatusProcess] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    """All of them; the first is `url`."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """Of the gateways, in the same order."""
    environments: list[dict[str, str]] = field(default_factory=list)

    async def kill_gateways(self) -> None:
        """`kill -9`, all of them."""
        for process in self.processes:
            process.kill()
            process.wait(10)

    async def start_gateways(self) -> None:
        """The same again; ready."""
        self.processes[:] = [_gateway(environment) for environment in self.environments]
        for url in self.gateways:
            await eventually(lambda url=url: _ready(url), timeout=60, what="the gateway")

    def client(self, tenant: str | None = None, **options: Any) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {KEYS[tenant]}"} if tenant else {}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=40, trust_env=False, **options)

    async def ticket(self, tenant: str, **wish: Any) -> str:
        async with self.client(tenant) as client:
            answer = await client.post("/tickets", json=wish)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["ticket"])

    def write_keys(self, *names: str) -> None:
        write_keys(self.key_file, *names)


def write_keys(path: Path, *names: str) -> None:
    lines = [f"{name}:{hashlib.sha256(KEYS[name].encode()).hexdigest()}:{name}" for name in names]
    path.write_text("\n".join(lines) + "\n")


@asynccontextmanager
async def guarded(*, keys: bool = True, gateways: int = 1, **settings: Any) -> AsyncIterator[Guarded]:
    """`settings` go to both services."""
    with TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name, nats_house() as house:
        directory = Path(name)
        key_file, ports = directory / "keys", [free_port() for _ in range(gateways)]
        write_keys(key_file, *KEYS)
        both = {"vault_key_file": str(directory / "vault.key"), **settings}
        if keys:
            both["api_keys_file"] = str(key_file)
        environment = {
            **os.environ,
            **house.environment(),
            **{f"SITEFERRY_{name.upper()}": str(value) for name, value in both.items()},
        }
        environments = [environment | {"SITEFERRY_GATEWAY_PORT": str(port)} for port in ports]
        processes = [_gateway(each) for each in environments]
        statuses = [StatusProcess(house, **both) for _ in range(2)]
        try:
            async with house.bus() as bus:
                for status in statuses:
                    await status.ready(60)
                urls = [f"http://127.0.0.1:{port}" for port in ports]
                vault = KeyRing.load(directory / "vault.key")
                it = Guarded(house, bus, statuses[0], urls[0], key_file, vault, statuses, urls, processes, environments)
                for url in urls:
                    await eventually(lambda url=url: _ready(url), timeout=60, what="the gateway")
                yield it
        finally:
            for status in statuses:
                status.close()
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(10)


def _gateway(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "services.gateway"], cwd=ROOT, env=environment)


async def _ready(url: str) -> bool:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx2.HTTPError:
            return False
