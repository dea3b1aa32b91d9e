"""`compose.yaml` running on a real Docker engine, looked at as if it were `siteferry up` on this machine.

Volumes are directories of the engine's machine, which is this one: helpers that compare a clone with its source read
the same files and the same database as they do of a Siteferry without containers.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.e2e.product import Product
from tests.sites.farm import SourceFarm

ROOT = Path(__file__).parents[2]
IMAGES = ("siteferry", "siteferry-cells", "siteferry-mariadb")
SECONDS = 240
SIOCGIFADDR = 0x8915  # linux/sockios.h


def docker(*arguments: str, check: bool = True, env: dict[str, str] | None = None) -> str:
    """What the command prints. Raises AssertionError with its words when it fails."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, cwd=ROOT, env=env, timeout=SECONDS, check=False
    )
    assert not check or done.returncode == 0, (
        f"docker {' '.join(arguments)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    )
    return done.stdout.strip()


def missing() -> str:
    """Why there is nothing to test here, as a sentence; empty when there is."""
    if os.geteuid() != 0:
        return "only root sees the volumes of a Docker engine"
    if subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False).returncode:
        return "no Docker Compose"
    return images_missing()


def images_missing() -> str:
    """Why the product's images are not there, as a sentence; empty when they are."""
    if shutil.which("docker") is None:
        return "no Docker here"
    if subprocess.run(["docker", "version"], capture_output=True, timeout=30, check=False).returncode:
        return "no Docker engine answers"
    wanted = subprocess.run(["scripts/images.sh", "--sources"], capture_output=True, text=True, cwd=ROOT, check=True)
    label = '{{index .Config.Labels "siteferry.sources"}}'
    for image in IMAGES:
        if docker("image", "inspect", "--format", label, f"{image}:latest", check=False) != wanted.stdout.strip():
            return "the images are not built from these sources: make images"
    return ""


class Stack(Product):
    """One project of Compose, with names and volumes of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.project = f"siteferry-test-{os.getpid()}"
        self.first_up = 0.0
        """Seconds the first start took."""
        self.environment = {**os.environ, "SITEFERRY_PORT": str(self.port), "COMPOSE_PROJECT_NAME": self.project}

    def compose(self, *arguments: str, check: bool = True) -> str:
        """`docker compose …` of this project."""
        return docker("compose", *arguments, env=self.environment, check=check)

    def up(self) -> float:
        """`up --wait`; the seconds it took."""
        begun = time.monotonic()
        try:
            self.compose("up", "--detach", "--wait")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-8000:]}") from None
        return time.monotonic() - begun

    def down(self, *more: str) -> None:
        """`down`: no container, no network; volumes stay."""
        self.compose("down", "--timeout", "40", *more)

    def shell(self, script: str, directory: Path) -> None:
        """Commands of a person, in a directory with compose.yaml in it."""
        (directory / "compose.yaml").unlink(missing_ok=True)
        (directory / "compose.yaml").symlink_to(ROOT / "compose.yaml")
        command = ["bash", "-euc", script]
        done = subprocess.run(
            command, cwd=directory, env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"

    def look_inside(self) -> None:
        """Have `state` show what the volumes hold."""
        (self.state / "mariadb").mkdir(exist_ok=True)
        for name, place in (("clones", "clones"), ("mariadb-socket", "mariadb/run")):
            link = self.state / place
            link.unlink(missing_ok=True)
            link.symlink_to(self.volume(name))
        password = (self.volume("secrets") / "mariadb.password").read_text()
        (self.state / "mariadb" / "admin.password").write_text(password)

    def volume(self, name: str) -> Path:
        """Where the engine keeps a volume."""
        return Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{self.project}_{name}"))

    def containers(self) -> list[dict[str, Any]]:
        """What Compose says of them."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def log(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "200", check=False)


@contextmanager
def stack() -> Iterator[Stack]:
    """A project that is gone afterwards with its volumes."""
    directory = Path(tempfile.mkdtemp(prefix="siteferry-compose-"))
    running = Stack(directory)
    try:
        yield running
    finally:
        running.http.close()
        running.down("--volumes", "--remove-orphans")
        subprocess.run(["rm", "-rf", str(directory)], check=False)


class _Pass(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.server_address[1])) as site:
            back = threading.Thread(target=_pour, args=(site, self.request), daemon=True)
            back.start()
            _pour(self.request, site)
            back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Door(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def address_of(interface: str) -> str:
    """Its IPv4 address; the default bridge's is what `host-gateway` stands for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        asked = struct.pack("256s", interface.encode()[:15])
        return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), SIOCGIFADDR, asked)[20:24])


@contextmanager
def reachable(farm: SourceFarm) -> Iterator[None]:
    """Let containers come to the farm, which listens on loopback alone: through the engine's own bridge."""
    options = '{{index .Options "com.docker.network.bridge.name"}}'
    bridge = docker("network", "inspect", "bridge", "--format", options)
    with _Door((address_of(bridge), farm.port), _Pass) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        yield
        door.shutdown()
