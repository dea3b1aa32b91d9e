"""What compose.yaml's `init` makes: read by who needs it, understood by a real nats-server, kept by a second run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from shared.contract.rights import USERS
from siteferry.compose import accounts, secrets
from siteferry.compose.check import healthy
from siteferry.embedded.servers import Nats, free_port, running
from siteferry.embedded.servers.base import find_binary
from siteferry.embedded.servers.nats_config import MONITOR, Cluster, config

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away, in a container as here")
ROOT = Path(__file__).parents[2]


def made(folder: Path, *, nodes: int = 3) -> dict[str, bytes]:
    secrets.make(folder, nodes=nodes, max_store=10**9)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_keeps_everything(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert made(tmp_path) == first
    assert {f"nats/{user}" for user in USERS} <= set(first)


def test_each_secret_is_read_by_one_group(tmp_path: Path) -> None:
    made(tmp_path)
    groups = {str(path.relative_to(tmp_path)): path.stat() for path in tmp_path.rglob("*") if path.is_file()}
    assert {(facts.st_uid, oct(facts.st_mode & 0o777)) for facts in groups.values()} == {(0, "0o440")}
    assert groups["vault.key"].st_gid == accounts.SHARED
    assert groups["mariadb.password"].st_gid == accounts.MARIADB
    assert groups["nats/gateway"].st_gid == accounts.GATEWAY
    assert groups["nats-2.conf"].st_gid == accounts.NATS
    assert groups["nats/cloner"].st_gid == groups["nats/operator"].st_gid == 0


@pytest.mark.parametrize("nodes", [1, 3])
def test_nats_understands_its_configuration(tmp_path: Path, nodes: int) -> None:
    made(tmp_path, nodes=nodes)
    found = sorted(tmp_path.glob("*.conf"))
    assert [path.name for path in found] == [f"nats-{number}.conf" for number in range(1, nodes + 1)]
    for path in found:
        done = subprocess.run([find_binary("nats-server"), "-t", "--config", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("routes" in path.read_text()) == (nodes == 3)


def test_a_node_tells_its_health_on_loopback(tmp_path: Path) -> None:
    server = Nats(tmp_path / "nats")
    server.prepare()
    logins = {user: server.login(user) for user in USERS}
    text = config(
        name="nats-1",
        host="127.0.0.1",
        port=server.port,
        store=server.store,
        max_store=10**9,
        logins=logins,
        cluster=Cluster(["nats-1"], "routes:x"),
    )
    free = free_port()
    own = text.replace(f":{MONITOR}", f":{free}")
    server.prepare = lambda: None  # type: ignore[method-assign]  # the file below instead of its own
    server.config_file.write_text(own)
    with running(server):
        assert healthy(free, "/healthz?js-server-only=true")
    with pytest.raises(OSError, match="refused"):
        healthy(free, "/healthz")


def test_the_numbers_are_those_of_compose_and_dockerfile() -> None:
    compose, dockerfile = (ROOT / "compose.yaml").read_text(), (ROOT / "Dockerfile").read_text()
    users = dict(re.findall(r"^  (\S+):\n(?:    .*\n|\n|  #.*\n)*?    user: \"(\d+):\d+\"", compose, re.MULTILINE))
    assert users["gateway"] == str(accounts.GATEWAY)
    assert users["status"] == str(accounts.STATUS)
    assert users["restorer"] == str(accounts.RESTORER)
    assert users["keeper"] == str(accounts.KEEPER_ACCOUNT)
    assert users["mariadb"] == str(accounts.MARIADB)
    assert f"-o {accounts.NATS} -g {accounts.NATS}" in dockerfile
    assert f"-o {accounts.MARIADB} -g {accounts.MARIADB}" in dockerfile
    assert compose.count(f'group_add: ["{accounts.SHARED}"]') == 3
