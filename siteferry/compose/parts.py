"""What a container runs that is no service of ours: prepared as on one machine, by the same code."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from pydantic_settings import SettingsConfigDict

from shared.secrets.settings import KeySettings
from shared.settings import Settings
from siteferry.compose import secrets
from siteferry.embedded.cells.options import CellOptions
from siteferry.embedded.keeper import keep
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers import Caddy, Cells, MariaDB, Server, edge_config
from siteferry.embedded.supervisor import Backoff, Supervisor, stop_by_signals
from siteferry.variables import Edge, NatsStore

STATE = Path("/var/lib/siteferry")
SECRETS = Path("/run/siteferry")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class NatsServers(NatsStore):
    """What compose.yaml and deploy/ say of NATS."""

    nats_cluster: bool = True
    """Three servers of NATS; else one."""

    @property
    def nodes(self) -> int:
        """How many servers there are."""
        return 3 if self.nats_cluster else 1


class Places(NatsServers):
    """What compose.yaml says of the whole."""

    model_config = SettingsConfigDict(env_prefix="SITEFERRY_", frozen=True, extra="ignore")

    bind: str = "127.0.0.1"
    """Address of the engine's machine at which the edge is published."""
    port: int = 8080
    """Port of that machine at which the edge is published."""
    buffer_pool: str = "256M"
    """Memory for the clones' tables."""


def init() -> None:
    """Make the secrets, once."""
    places = Places()
    secrets.make(SECRETS, nodes=places.nodes, max_store=places.max_store)


def keeper() -> None:
    """Look after streams and buckets, for ever."""
    places = NatsServers()
    settings = Settings(replicas=places.nodes)

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    asyncio.run(keep(settings, ack_wait=settings.ack_wait, limit=places.max_store, say=say))


def database() -> MariaDB:
    """The clones' database, whose password `init` made."""
    return MariaDB(
        STATE / "mariadb", buffer_pool=Places().buffer_pool, admin_password_file=SECRETS / "mariadb.password"
    )


def mariadb() -> None:
    """Become the clones' database server."""
    server = database()
    server.prepare()
    argv = server.argv()
    os.execve(argv[0], argv, server.env())  # noqa: S606 - no shell


def edge() -> None:
    """The web server, and the launcher of the cells it opens: both must see the same connections (ADR 32)."""
    places = Places()
    cells = Cells(
        STATE / "cells",
        STATE / "clones",
        required=CellOptions().required(loopback=places.bind in LOOPBACK),
        mariadb_socket=str(database().socket),
        edge_port=places.port,
        allow_private=False,  # private networks of a container are those of our own parts
        **CellOptions().values(),
    )

    def configure(caddy: Caddy) -> dict[str, object]:
        return edge_config(
            port=caddy.port,
            listen=[caddy.host],
            cells=cells.http,
            gateway="gateway:8081",
            status="status:8082",
            hosts=None if KeySettings().keys_needed else (),
            admin_socket=caddy.admin_socket,
            storage=caddy.storage,
            origins=Edge().origins,
        )

    caddy = Caddy(STATE / "caddy", configure, port=places.port, host="0.0.0.0", own_account=True)  # noqa: S104
    asyncio.run(_supervise([cells], [caddy]))


async def _supervise(*stages: list[Server]) -> None:
    log = MergedLog(Path("/dev/null"), sys.stderr)  # the engine keeps what we print
    supervisor = Supervisor(stages, log, backoff=Backoff())
    async with stop_by_signals(supervisor):
        await supervisor.run(lambda: log.say("ready"))
