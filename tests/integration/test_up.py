"""`siteferry up` as people run it: the real command, the real services."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from siteferry.embedded.instance import Instance, running_instance
from tests.integration.house import alive, eventually, members, place

CHILDREN = {"nats", "mariadb", "cells", "gateway", "cloner", "status", "caddy"}
COMMAND = [sys.executable, "-c", "from siteferry.cli import main; main()"]


@pytest.fixture
def state() -> Iterator[Path]:
    with place() as path:
        yield path / "state"


class Running:
    """`siteferry up --port 0` in a process of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.output = state.with_name("terminal")
        with self.output.open("wb") as terminal:
            self.process = subprocess.Popen(
                [*COMMAND, "--state", str(state), "up", "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )

    def wait_for(self, words: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return words in self.output.read_text()

        eventually(said, timeout=90, what=repr(words))

    @property
    def instance(self) -> Instance:
        found = running_instance(self.state)
        assert found is not None
        return found

    def get(self, path: str) -> httpx2.Response:
        host = self.instance.edge_url.partition("://")[2]
        url = f"http://127.0.0.1:{host.partition(':')[2]}{path}"
        return httpx2.get(url, headers={"Host": host}, trust_env=False)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def up(state: Path) -> Iterator[Running]:
    running = Running(state)
    try:
        running.wait_for("Siteferry is ready at http://localhost:")
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def listeners(pids: list[int]) -> set[str]:
    """Local addresses, in the kernel's hexadecimal, on which these processes listen."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(os.readlink(link))
            except OSError:
                continue
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in sockets:
                addresses.add(columns[1].partition(":")[0])
    return addresses


def test_up_runs_everything_repairs_it_and_continues(state: Path) -> None:
    with up(state) as running:
        pids = running.instance.pids
        assert set(pids) >= CHILDREN
        eventually(lambda: running.get("/readyz").status_code == 200, what="the gateway's readiness")
        assert running.get("/openapi.json").json()["info"]["title"]

        loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
        assert listeners(members(*pids.values())) == {loopback}

        second = subprocess.run(
            [*COMMAND, "--state", str(state), "up", "--port", "0"], capture_output=True, text=True, timeout=60
        )
        assert second.returncode == 3
        assert f"(pid {running.process.pid}) at {running.instance.edge_url}" in second.stderr

        os.kill(pids["cloner"], signal.SIGKILL)
        running.wait_for("cloner died (signal 9), starting again")
        running.wait_for("cloner is back")
        assert alive(running.instance.pids["cloner"])

        groups = list(running.instance.pids.values())
        assert running.stop() == 0
        assert not members(*groups)
        assert running_instance(state) is None

    key = (state / "vault.key").read_bytes()
    with up(state) as again:
        eventually(lambda: again.get("/readyz").status_code == 200, what="the gateway's readiness")
        assert set(again.instance.services) == set(again.instance.pids) - {"nats", "mariadb", "cells", "caddy"}
        for name, url in again.instance.services.items():
            eventually(lambda url=url: _reads_the_queue(url), what=f"the numbers of {name}")
        swept = subprocess.run(
            [*COMMAND, "--state", str(state), "sweep"], capture_output=True, text=True, timeout=60, check=True
        )
        assert swept.stderr.startswith("Nothing was left behind.")
    assert (state / "vault.key").read_bytes() == key
    assert_private(state)


def _reads_the_queue(url: str) -> bool:
    try:
        return "siteferry_queue_readable 1.0" in httpx2.get(f"{url}/metrics", trust_env=False).text
    except httpx2.ConnectError:
        return False


def assert_private(state: Path) -> None:
    """No secret of the installation is readable for others, and none is in the log or on the terminal."""
    files = ("vault.key", "nats/users/keeper", "mariadb/admin.password")
    for name in files:
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
    said = (state / "siteferry.log").read_text() + state.with_name("terminal").read_text()
    assert not [name for name in files if (state / name).read_text().strip() in said]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_without_api_keys_only_this_machine_gets_in(state: Path, host: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SITEFERRY_API_KEYS_FILE"}
    done = subprocess.run(
        [*COMMAND, "--state", str(state), "up", "--port", "0", "--host", host],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 1
    assert f"without API keys everybody who reaches {host} could do everything" in done.stderr
    assert "SITEFERRY_API_KEYS_FILE" in done.stderr
    assert not (state / "nats").exists(), "nothing was started"


def test_up_names_who_has_the_port(state: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--state", str(state), "up", "--port", str(port)], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert f"port {port} is in use by" in done.stderr
    assert f"(pid {os.getpid()}); choose another: siteferry up --port PORT" in done.stderr
