"""What `init` makes once and every container finds: logins, keys, and the configuration of NATS that names them.

Files belong to root and are read by one group each. What is there is kept; configuration is written anew every time, so
that a newer version's rights count.
"""

from __future__ import annotations

import os
from pathlib import Path

from shared.contract.rights import USERS
from shared.secrets.vault import KeyRing
from siteferry.compose import accounts
from siteferry.embedded.servers.base import make_directory, secret_file, write_file
from siteferry.embedded.servers.nats_config import CLIENTS, Cluster, config, login_in

STORE = Path("/var/lib/siteferry/nats")


def make(folder: Path, *, nodes: int, max_store: int) -> None:
    """Idempotent. `nodes`: 1 or 3 servers of NATS, called `nats-1` and so on; `max_store`: bytes of each."""
    make_directory(folder, mode=0o711)
    users = make_directory(folder / "nats", mode=0o711)
    logins = {user: login_in(users / user, user) for user in USERS}
    for user, account in accounts.OF_USER.items():
        _for_group(users / user, account)
    routes = login_in(users / "routes", "routes")
    _for_group(users / "routes", accounts.ROOT)
    names = [f"nats-{number}" for number in range(1, nodes + 1)]
    for name in names:
        text = config(
            name=name,
            host="0.0.0.0",  # noqa: S104 - of a container's own network
            port=CLIENTS,
            store=STORE,
            max_store=max_store,
            logins=logins,
            cluster=Cluster(names, routes),
        )
        write_file(folder / f"{name}.conf", text, mode=0o640)
        _for_group(folder / f"{name}.conf", accounts.NATS)
    KeyRing.load(folder / "vault.key")
    _for_group(folder / "vault.key", accounts.SHARED)
    secret_file(folder / "mariadb.password")
    _for_group(folder / "mariadb.password", accounts.MARIADB)


def _for_group(file: Path, group: int) -> None:
    os.chown(file, 0, group)
    file.chmod(0o440)
