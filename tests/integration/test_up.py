"""`siteferry up` as people run it: the real command, the real services."""

from __future__ import annotations

import json
import os
import pty
import re
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

    def __init__(self, state: Path, *options: str, terminal: int | None = None, **settings: str) -> None:
        """`terminal`: what stderr is, instead of the file `output`."""
        self.state = state
        self.output = state.with_name("terminal")
        self.kept = state / "siteferry.log"
        self._before = len(self.kept.read_text()) if self.kept.exists() else 0
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [*COMMAND, "--state", str(state), "up", "--port", "0", *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file if terminal is None else terminal,
                env=os.environ | {f"SITEFERRY_{name.upper()}": value for name, value in settings.items()},
            )

    def wait_for(self, words: str) -> None:
        def said() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return words in self.log()

        eventually(said, timeout=90, what=repr(words))

    def log(self) -> str:
        """What was shown where that is no terminal, and what is kept."""
        kept = self.kept.read_text() if self.kept.exists() else ""
        return self.output.read_text() + kept[self._before :]

    @property
    def instance(self) -> Instance:
        found = running_instance(self.state)
        assert found is not None
        return found

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        host = self.instance.edge_url.partition("://")[2]
        url = f"http://127.0.0.1:{host.partition(':')[2]}{path}"
        return httpx2.get(url, headers={"Host": host} | (headers or {}), trust_env=False)

    def post(self, path: str, body: dict[str, str]) -> httpx2.Response:
        host = self.instance.edge_url.partition("://")[2]
        url = f"http://127.0.0.1:{host.partition(':')[2]}{path}"
        return httpx2.post(url, json=body, headers={"Host": host}, trust_env=False)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def up(state: Path, *options: str, terminal: int | None = None, **settings: str) -> Iterator[Running]:
    running = Running(state, *options, terminal=terminal, **settings)
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
        eventually(lambda: _workers(again) == ["clone", "restore"], what="what the workers say of themselves")
        swept = subprocess.run(
            [*COMMAND, "--state", str(state), "sweep"], capture_output=True, text=True, timeout=60, check=True
        )
        assert swept.stderr.startswith("Nothing was left behind.")
    assert (state / "vault.key").read_bytes() == key
    assert_private(state)


def _workers(running: Running) -> list[str]:
    """Of whom something is known now; of the run before nothing."""
    found = running.get("/workers").json()["workers"]
    assert all(each["slots"] and (each["free_bytes"] is not None) == (each["type"] == "clone") for each in found)
    return [each["type"] for each in found]


def _reads_the_queue(url: str) -> bool:
    try:
        return "siteferry_queue_readable 1.0" in httpx2.get(f"{url}/metrics", trust_env=False).text
    except httpx2.ConnectError:
        return False


def assert_private(state: Path) -> None:
    """No secret of the installation is readable for others, and none is in the log or on the terminal."""
    files = ("vault.key", "nats/users/keeper", "mariadb/admin.password", "first-key")
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
        env=environment | {"SITEFERRY_REQUIRE_KEYS": "false"},
    )
    assert done.returncode == 1
    assert f"without API keys everybody who reaches {host} could do everything" in done.stderr
    assert "SITEFERRY_REQUIRE_KEYS" in done.stderr
    assert not (state / "nats").exists(), "nothing was started"


@pytest.mark.parametrize(
    ("said", "wrong"),
    [({"REQUIRE_KEYS": "perhaps"}, "REQUIRE_KEYS"), ({"ALLOW_PRIVATE_SOURCES": "perhaps"}, "ALLOW_PRIVATE_SOURCES")],
)
def test_what_can_not_be_read_is_said_before_anything_starts(state: Path, said: dict[str, str], wrong: str) -> None:
    done = subprocess.run(
        [*COMMAND, "--state", str(state), "up", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {f"SITEFERRY_{name}": value for name, value in said.items()},
    )
    assert done.returncode == 1
    assert f"SITEFERRY_{wrong} can not be used" in done.stderr
    assert not (state / "nats").exists(), "nothing was started"


def test_the_audit_log_leaves_room_for_jobs(state: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--state", str(state), "up", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"SITEFERRY_NATS_STORE_GB": "1", "SITEFERRY_AUDIT_MB": "501"},
    )
    assert done.returncode == 1
    assert "SITEFERRY_AUDIT_MB=501 is more than half of the store" in done.stderr


LEFT = f"sfk_{'0' * 20}_{'x' * 43}"


def siteferry(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--state", str(state), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_first_key_opens_everything_until_it_is_revoked_and_never_comes_again(state: Path) -> None:
    state.mkdir(exist_ok=True)
    (state / "first-key").write_text(f"{LEFT}\n")  # by one who was killed before the bucket had it
    screen, terminal = pty.openpty()
    with up(state, "--quiet", terminal=terminal, require_keys="true") as running:  # nobody reads the screen meanwhile
        os.close(terminal)
        secret = (state / "first-key").read_text().strip()
        assert stat.S_IMODE((state / "first-key").stat().st_mode) == 0o600
        if os.geteuid() == 0:
            nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "cat"]
            assert subprocess.run([*nobody, str(state / "first-key")], capture_output=True).returncode == 1
        assert secret != LEFT
        for headers in ({}, {"Authorization": f"Bearer {LEFT}"}):
            assert running.get("/jobs", headers).status_code == 401
        assert siteferry(state, "jobs").returncode == 0, "this machine's commands find it"
        [key] = json.loads(siteferry(state, "keys", "list", "--json").stdout)["keys"]
        assert (key["name"], key["tenant"], key["operator"]) == ("first key", "local", True)
        assert secret.split("_")[1] in key["id"]
        made = json.loads(siteferry(state, "audit", "--json", "--action", "key.create").stdout)["records"]
        assert [each["objects"] for each in made] == [[key["id"]]]

        shown = ""
        while not (printed := re.search(r"#/enter/(sfl_\S+)\r", shown)):
            shown += os.read(screen, 1 << 20).decode()
        asked = siteferry(state, "keys", "link").stdout.rpartition("/")[2].strip()
        assert printed[1] not in running.log(), "what opens something is not kept"
        assert secret not in shown + running.log()
        for link in (printed[1], asked):
            for status in (200, 401):
                assert running.post("/session", {"link": link}).status_code == status

        assert siteferry(state, "keys", "revoke", key["id"]).returncode == 0
        eventually(lambda: siteferry(state, "jobs").returncode == 3, what="the end of the key")
        assert running.stop() == 0
    os.close(screen)

    with up(state, "--host", "127.0.0.2") as again:  # no loopback as far as `up` knows
        again.wait_for("every call needs an API key")
        url = again.instance.edge_url.replace("localhost", "127.0.0.2")
        for headers in ({}, {"Authorization": f"Bearer {secret}"}):
            assert httpx2.get(f"{url}/jobs", headers=headers, trust_env=False).status_code == 401
        assert httpx2.get(url, trust_env=False).status_code == 200, "the dashboard, under a name that is not localhost"
        assert "the first API key is in" not in again.output.read_text()
    assert (state / "first-key").read_text().strip() == secret, "no other one was made"


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
