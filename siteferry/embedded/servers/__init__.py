"""The servers Siteferry brings along, each a child process with its own directory, settings and sockets.

A server can be used alone and synchronously, which is how tests and the demo use it:

    with running(MariaDB(directory)) as database:
        connect(unix_socket=database.socket, user=database.admin_user, password=database.admin_password)

`siteferry up` runs the same objects under `siteferry.embedded.supervisor`.
"""

from siteferry.embedded.servers.base import Server, ServerError
from siteferry.embedded.servers.caddy import Caddy
from siteferry.embedded.servers.caddy_config import BasicAuth, FarmSite, edge_config, farm_config
from siteferry.embedded.servers.cells import Cells
from siteferry.embedded.servers.mariadb import MariaDB
from siteferry.embedded.servers.nats import Nats
from siteferry.embedded.servers.phpfpm import PhpFpm
from siteferry.embedded.servers.ports import free_port
from siteferry.embedded.servers.process import ServerProcess, running, start

__all__ = [
    "BasicAuth",
    "Caddy",
    "Cells",
    "FarmSite",
    "MariaDB",
    "Nats",
    "PhpFpm",
    "Server",
    "ServerError",
    "ServerProcess",
    "edge_config",
    "farm_config",
    "free_port",
    "running",
    "start",
]
