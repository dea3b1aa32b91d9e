"""The whole front of the product on one origin: Caddy, gateway, status, nats-server. Only the cloner is played."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, async_playwright

from shared.bus.connection import Bus
from shared.secrets.vault import KeyRing
from shared.web import origin_names
from siteferry.embedded.servers.caddy import Caddy
from siteferry.embedded.servers.caddy_config import edge_config
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import running
from tests.live.stack import ROOT, NatsHouse, StatusProcess, eventually, nats_house

BROWSERS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
"""The first draws no window that nobody sees, and takes two fifths of the second's processor time."""
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Stage:
    """What a test of the dashboard works with."""

    def __init__(self, url: str, house: NatsHouse, bus: Bus, keys: KeyRing, status_settings: dict[str, str]) -> None:
        self.url = url
        self.house = house
        self.bus = bus
        self.keys = keys
        self._status_settings = status_settings
        self.status = self.start_status(port=0)

    def start_status(self, *, port: int) -> StatusProcess:
        self.status = StatusProcess(self.house, port=port or int(self._status_settings["port"]), **self._more())
        return self.status

    def _more(self) -> dict[str, Any]:
        return {name: value for name, value in self._status_settings.items() if name != "port"}


@asynccontextmanager
async def stage(**settings: str) -> AsyncIterator[Stage]:
    """`settings` go to gateway and status."""
    directory = Path(tempfile.mkdtemp(prefix="siteferry-", dir="/tmp"))
    directory.chmod(0o711)
    (directory / "clones").mkdir()
    gateway_port, status_port, key_file = free_port(), free_port(), directory / "vault.key"
    caddy = Caddy(
        directory / "caddy",
        lambda server: edge_config(
            port=server.port,
            cells=directory / "clones",
            gateway=f"127.0.0.1:{gateway_port}",
            status=f"127.0.0.1:{status_port}",
            storage=server.storage,
            origins=origin_names(settings.get("allowed_origins", "")),
        ),
    )
    try:
        with nats_house() as house, running(caddy):
            keys = KeyRing.load(key_file)
            environment = {
                **os.environ,
                **house.environment(),
                "SITEFERRY_GATEWAY_PORT": str(gateway_port),
                "SITEFERRY_VAULT_KEY_FILE": str(key_file),
                "SITEFERRY_EDGE_URL": caddy.url,
                **{f"SITEFERRY_{name.upper()}": value for name, value in settings.items()},
            }
            gateway = subprocess.Popen([sys.executable, "-m", "services.gateway"], cwd=ROOT, env=environment)
            async with house.bus() as bus:
                shared = {"edge_url": caddy.url, "vault_key_file": str(key_file), **settings}
                it = Stage(caddy.url, house, bus, keys, {"port": str(status_port), **shared})
                try:
                    await it.status.ready(120)
                    await _answers(f"http://127.0.0.1:{gateway_port}/readyz")
                    yield it
                finally:
                    it.status.close()
                    gateway.terminate()
                    gateway.wait(10)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def chromium(*options: str) -> AsyncIterator[Browser]:
    """Debian's Chromium without a window. Where there is none, the test is skipped."""
    found = next((path for path in BROWSERS if Path(path).exists()), None)
    if found is None:
        pytest.skip("no Chromium of Debian's here")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=[*CHROMIUM, *options])
        try:
            yield browser
        finally:
            await browser.close()


async def _answers(url: str) -> None:
    async with httpx2.AsyncClient(timeout=2) as client:

        async def ok() -> bool:
            try:
                return (await client.get(url)).status_code == 200
            except httpx2.HTTPError:
                return False

        await eventually(ok, timeout=120, what=url)
