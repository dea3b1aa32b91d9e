"""The configuration of nats-server as text: alone on a machine, or one node of three."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.contract.rights import USERS, rights
from siteferry.embedded.servers.base import write_file

CLIENTS, ROUTES, MONITOR = 4222, 6222, 8222
"""Ports where a node has a network of its own."""

CONFIG = """\
server_name: {name}
host: "{host}"
port: {port}
max_payload: 1MB
max_connections: 1000
write_deadline: "10s"
authorization {{
  timeout: 5
  users: {users}
}}
jetstream {{
  store_dir: "{store}"
  sync_interval: always   # an acknowledged message survives a power cut
  max_memory_store: 64MB
  max_file_store: {max_store}
}}
"""
NODE = """\
http: "{host}:{port}"
"""
CLUSTER = """\
cluster {{
  name: siteferry
  listen: "0.0.0.0:{port}"
  authorization {{ user: {user}, password: {password}, timeout: 5 }}
  routes: {routes}
}}
"""


@dataclass(frozen=True)
class Cluster:
    """What the nodes of one cluster share."""

    nodes: Sequence[str]
    """Names of all their servers, which are host names too unless there is a `domain`."""
    login: str
    """`user:password` by which they know one another."""
    domain: str = ""
    """What follows a server's name in its host name."""
    monitor: str = "127.0.0.1"
    """Address at which a node tells its health, to whoever reaches it: names of users, streams and consumers, too."""


def config(
    *, name: str, host: str, port: int, store: Path, max_store: int, logins: Mapping[str, str], cluster: Cluster | None
) -> str:
    """`logins`: `user:password` of each of `shared.contract.rights.USERS`; `max_store`: bytes. A node of a cluster (of
    one, too) tells its health at port MONITOR."""
    users = json.dumps([_user(user, logins[user]) for user in USERS], indent=1)
    text = CONFIG.format(name=name, host=host, port=port, users=users, store=store, max_store=max_store)
    if cluster is None:
        return text
    text += NODE.format(host=cluster.monitor, port=MONITOR)
    if len(cluster.nodes) == 1:
        return text
    user, _, password = cluster.login.partition(":")
    others = [f"{node}{cluster.domain}:{ROUTES}" for node in cluster.nodes if node != name]
    routes = json.dumps([f"nats://{user}:{password}@{other}" for other in others])
    return text + CLUSTER.format(port=ROUTES, user=user, password=password, routes=routes)


def _user(user: str, login: str) -> dict[str, object]:
    name, _, password = login.partition(":")
    may = rights(user)
    heard = {"allow": list(may.subscribe), "deny": list(may.not_heard)}
    permissions: dict[str, object] = {"publish": list(may.publish), "subscribe": heard}
    if may.answers:
        permissions["allow_responses"] = {"max": 1, "expires": "15m"}
    return {"user": name, "password": password, "permissions": permissions}


def login_in(file: Path, user: str) -> str:
    """`user:password` as the file holds it, made on first use."""
    if not file.exists():
        write_file(file, f"{user}:{secrets.token_hex(24)}\n", mode=0o600)
    return file.read_text().strip()
