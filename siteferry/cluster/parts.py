"""What a container of the cluster becomes that is no service of ours: prepared as on one machine, by the same code."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from shared.contract.rights import USERS
from siteferry.cluster.secrets import LOGIN, ROUTES
from siteferry.compose.parts import SECRETS, STATE, NatsServers
from siteferry.embedded.servers import Caddy, edge_config
from siteferry.embedded.servers.base import write_file
from siteferry.embedded.servers.nats_config import CLIENTS, Cluster, config
from siteferry.variables import Edge

TEMPORARY = Path("/tmp")  # noqa: S108 - of this container alone
EDGE_PORT = 8080
SET = "nats"
"""Name of the StatefulSet, and of the Service that gives each of its Pods a name."""


class ClusterPlaces(NatsServers):
    """What deploy/ says of the whole."""

    edge_url: str = "http://localhost:8080"
    nats_monitor: str = "127.0.0.1"
    """Address at which a server of NATS tells its health: loopback; `0.0.0.0` for KEDA to read it."""


def nats() -> None:
    """Become one server of NATS; which one, the Pod's name says."""
    places = ClusterPlaces()
    text = nats_config(places, name=socket.gethostname(), logins=SECRETS / "users", store=STATE / "nats")
    file = TEMPORARY / "nats.conf"
    write_file(file, text, mode=0o600)
    os.execvp("nats-server", ["nats-server", "--config", str(file)])  # noqa: S606 - no shell


def nats_config(places: ClusterPlaces, *, name: str, logins: Path, store: Path) -> str:
    """Its configuration, written anew at every start, so that a newer version's rights count. `logins`: a folder for
    each user, with the Secret in it. Raises OSError when one is not there."""

    def login(user: str) -> str:
        return (logins / user / LOGIN).read_text().strip()

    servers = [f"{SET}-{number}" for number in range(places.nodes)]
    return config(
        name=name,
        host="0.0.0.0",  # noqa: S104 - of the Pod
        port=CLIENTS,
        store=store,
        max_store=places.max_store,
        logins={user: login(user) for user in USERS},
        cluster=Cluster(servers, login(ROUTES), domain=f".{SET}", monitor=places.nats_monitor),
    )


def edge() -> None:
    """Become the web server that gives gateway and status one origin; clones have addresses of their own."""
    host = urlsplit(ClusterPlaces().edge_url).hostname or "localhost"

    def configure(caddy: Caddy) -> dict[str, object]:
        return edge_config(
            port=caddy.port,
            listen=[caddy.host],
            cells=caddy.directory / "none",
            gateway="gateway:8081",
            status="status:8082",
            hosts=[host],
            admin_socket=caddy.admin_socket,
            storage=caddy.storage,
            origins=Edge().origins,
        )

    own = TEMPORARY / "caddy"  # not a volume itself: that would be root's, and Caddy wants one of its own
    caddy = Caddy(own, configure, port=EDGE_PORT, host="0.0.0.0")  # noqa: S104 - of the Pod
    caddy.prepare()
    argv = caddy.argv()
    os.execve(argv[0], argv, caddy.env())  # noqa: S606 - no shell
