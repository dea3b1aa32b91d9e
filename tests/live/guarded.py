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
    replicas: list[StatusProcess] = field(default_factory=list)

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
async def guarded(*, keys: bool = True, **settings: Any) -> AsyncIterator[Guarded]:
    """`settings` go to both services."""
    with TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name, nats_house() as house:
        directory = Path(name)
        key_file, port = directory / "keys", free_port()
        write_keys(key_file, *KEYS)
        both = {"vault_key_file": str(directory / "vault.key"), **settings}
        if keys:
            both["api_keys_file"] = str(key_file)
        environment = {
            **os.environ,
            **house.environment(),
            "SITEFERRY_GATEWAY_PORT": str(port),
            **{f"SITEFERRY_{name.upper()}": str(value) for name, value in both.items()},
        }
        gateway = subprocess.Popen([sys.executable, "-m", "services.gateway"], cwd=ROOT, env=environment)
        statuses = [StatusProcess(house, **both) for _ in range(2)]
        try:
            async with house.bus() as bus:
                for status in statuses:
                    await status.ready(60)
                it = Guarded(house, bus, statuses[0], f"http://127.0.0.1:{port}", key_file, statuses)
                await eventually(lambda: _ready(it), timeout=60, what="the gateway")
                yield it
        finally:
            for status in statuses:
                status.close()
            gateway.terminate()
            gateway.wait(10)


async def _ready(it: Guarded) -> bool:
    async with it.client() as client:
        try:
            return (await client.get("/readyz")).status_code == 200
        except httpx2.HTTPError:
            return False
