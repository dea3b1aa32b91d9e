"""Three nats-servers clustered on loopback, each of which can be killed and started again."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from nats.js import JetStreamContext

from shared.contract.rights import KEEPER
from shared.settings import Settings
from siteferry.embedded.servers.base import make_directory, write_file
from siteferry.embedded.servers.nats import Nats
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import ServerProcess

NODES = 3
ROUTES = """
cluster {{
  name: "siteferry"
  listen: "127.0.0.1:{port}"
  routes: [{routes}]
}}
"""


class Node(Nats):
    """One server of the cluster; its keeper signs in with the same password on all of them."""

    def __init__(self, directory: Path, *, node: str, route_port: int, routes: list[int], password: str) -> None:
        super().__init__(directory)
        self.node = node
        self._password = password
        self._routes = ROUTES.format(
            port=route_port, routes=", ".join(f'"nats-route://127.0.0.1:{port}"' for port in routes)
        )

    def prepare(self) -> None:
        make_directory(self.token_file.parent, mode=0o700)
        write_file(self.token_file, f"{KEEPER}:{self._password}\n", mode=0o600)
        super().prepare()
        text = self.config_file.read_text().replace("server_name: siteferry", f"server_name: {self.node}")
        write_file(self.config_file, text + self._routes, mode=0o600)


class Cluster:
    """The nodes, by number. Stands in for `NatsHouse` where a test needs more than one server."""

    def __init__(self, directory: Path) -> None:
        ports = [free_port() for _ in range(NODES)]
        self.nodes = [
            Node(directory / f"nats{number}", node=f"n{number}", route_port=port, routes=ports, password="t" * 32)
            for number, port in enumerate(ports)
        ]
        self.processes = [ServerProcess(node) for node in self.nodes]
        for process in self.processes:
            process.wait_ready()

    def settings(self, **more: Any) -> Settings:
        urls = ",".join(node.url for node in self.nodes)
        return Settings(nats_url=urls, nats_token_file=self.nodes[0].token_file, replicas=NODES, **more)

    def environment(self) -> dict[str, str]:
        known = self.settings()
        return {
            "SITEFERRY_NATS_URL": known.nats_url,
            "SITEFERRY_NATS_TOKEN_FILE": str(known.nats_token_file),
            "SITEFERRY_REPLICAS": str(known.replicas),
        }

    def kill(self, number: int) -> None:
        self.processes[number].kill()

    def freeze(self, number: int) -> None:
        """Neither dead nor alive: its connections stay open and say nothing."""
        self.processes[number].popen.send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Go on, as if nothing had been."""
        self.processes[number].popen.send_signal(signal.SIGCONT)

    def start(self, number: int) -> None:
        """Start a node again, and wait until it has caught up as far as it says itself."""
        self.processes[number] = ServerProcess(self.nodes[number])
        self.processes[number].wait_ready()

    async def leader(self, js: JetStreamContext, stream: str) -> int:
        """The node that leads a stream now; waits out an election."""
        while True:
            cluster = (await js.stream_info(stream)).cluster
            if cluster is not None and cluster.leader:
                return int(cluster.leader.removeprefix("n"))
            await asyncio.sleep(0.1)

    def close(self) -> None:
        for process in self.processes:
            if process.alive():
                process.kill()
