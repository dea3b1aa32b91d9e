"""A real gateway process on a real nats-server, for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from shared.settings import Settings
from siteferry.embedded.servers.nats import Nats
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import ServerProcess, start


@dataclass
class Gateway:
    """A running gateway, and what it runs on."""

    directory: Path
    nats: Nats
    nats_process: ServerProcess
    port: int
    popen: subprocess.Popen[bytes]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def settings(self) -> Settings:
        """What another service of the same installation is set up with."""
        return Settings(
            nats_url=self.nats.url, nats_token_file=self.nats.token_file, vault_key_file=self.directory / "vault.key"
        )

    @property
    def log(self) -> str:
        return (self.directory / "gateway.log").read_text()

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=10, trust_env=False, **options)

    def stop_nats(self) -> None:
        self.nats_process.stop()

    def start_nats(self) -> None:
        self.nats_process = start(self.nats)


@contextmanager
def running_nats(directory: Path) -> Iterator[tuple[Nats, ServerProcess]]:
    server = Nats(directory)
    process = start(server)
    try:
        yield server, process
    finally:
        process.stop()


def launch(
    directory: Path, nats: Nats, port: int, **settings: object
) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start `python -m services.gateway` without waiting for it."""
    environment = {
        **os.environ,
        "SITEFERRY_NATS_URL": nats.url,
        "SITEFERRY_NATS_TOKEN_FILE": str(nats.token_file),
        "SITEFERRY_VAULT_KEY_FILE": str(directory / "vault.key"),
        "SITEFERRY_GATEWAY_PORT": str(port),
        "SITEFERRY_EDGE_URL": f"http://localhost:{port}",
        **{f"SITEFERRY_{name.upper()}": str(value) for name, value in settings.items()},
    }
    with open(directory / "gateway.log", "ab") as log:
        popen = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    return popen, environment


def wait_ready(url: str, popen: subprocess.Popen[bytes], *, path: str = "/readyz", timeout: float = 90) -> None:
    """Until the gateway answers 200. Raises RuntimeError when it does not."""
    deadline = time.monotonic() + timeout
    with httpx2.Client(timeout=2, trust_env=False) as client:
        while time.monotonic() < deadline and popen.poll() is None:
            try:
                if client.get(url + path).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.05)
    raise RuntimeError(f"the gateway did not become ready, exit code {popen.poll()}")


@contextmanager
def running_gateway(**settings: object) -> Iterator[Gateway]:
    """nats-server and gateway, ready; both gone afterwards, with everything they wrote."""
    directory = Path(tempfile.mkdtemp(prefix="siteferry-"))
    gateway: Gateway | None = None
    try:
        nats = Nats(directory / "nats")
        nats_process = start(nats)
        port = free_port()
        popen, environment = launch(directory, nats, port, **settings)
        gateway = Gateway(directory, nats, nats_process, port, popen, environment)
        try:
            wait_ready(gateway.url, popen)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{gateway.log}") from None
        yield gateway
    finally:
        if gateway:
            end(gateway.popen)
            gateway.nats_process.stop()
        shutil.rmtree(directory, ignore_errors=True)


def end(popen: subprocess.Popen[bytes]) -> int:
    """Stop in order, by force after five seconds; the exit code."""
    popen.terminate()
    try:
        return popen.wait(5)
    except subprocess.TimeoutExpired:
        popen.kill()
        return popen.wait()


@contextmanager
def running_status(gateway: Gateway, port: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A real status service beside a gateway: it projects the streams into the buckets."""
    port = port or free_port()
    environment = gateway.environment | {"SITEFERRY_STATUS_PORT": str(port)}
    with open(gateway.directory / "status.log", "ab") as log:
        popen = subprocess.Popen(
            [sys.executable, "-m", "services.status"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_ready(f"http://127.0.0.1:{port}", popen)
        yield popen
    finally:
        end(popen)
