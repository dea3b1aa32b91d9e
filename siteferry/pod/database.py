"""The clone's own MariaDB: a socket for its PHP, TLS for the cloner that fills it, one user who knows one database."""

from __future__ import annotations

import os

from services.cloner.drivers.database import making
from shared.cells import pod_layout
from shared.cells.names import database_name
from siteferry.embedded.servers import MariaDB
from siteferry.pod.place import Place, secret

NETWORK = """\
bind_address = {address}
port = {port}
ssl_cert = {secrets}/{certificate}
ssl_key = {secrets}/{key}"""


def server(place: Place) -> MariaDB:
    """The server, with the clone's database and user in it."""
    network = NETWORK.format(
        address=place.pod_ip,
        port=pod_layout.DATABASE_PORT,
        secrets=pod_layout.SECRETS,
        certificate=pod_layout.CERTIFICATE,
        key=pod_layout.KEY,
    )
    return MariaDB(
        pod_layout.DATA / "server",
        buffer_pool=place.buffer_pool,
        log_size="48M",
        listening=pod_layout.DATABASE_SOCKET,
        network=network,
        first=making(database_name(place.clone_id), secret(pod_layout.PASSWORD), network=True),
    )


def main() -> None:
    """Become the database server."""
    made = server(Place())
    made.prepare()
    argv = made.argv()
    os.execve(argv[0], argv, made.env())  # noqa: S606 - no shell
