"""What the doctor says of this machine, and of one that lacks something."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.cells import isolation as probe
from shared.cells.isolation import Isolation, Walls
from siteferry import doctor
from siteferry.doctor import Check, checks
from siteferry.embedded.instance import Instance, exclusive
from siteferry.embedded.servers import free_port
from siteferry.embedded.servers.base import running_as_root
from tests.integration.house import place


@pytest.fixture
def state() -> Iterator[Path]:
    with place() as path:
        yield path


def named(found: list[Check], name: str) -> Check:
    return next(check for check in found if check.name == name)


def test_a_machine_made_by_the_install_script_is_well(state: Path) -> None:
    found = checks(state, port=free_port())
    assert [check for check in found if not check.ok] == []
    assert {"Python", "nats-server", "Caddy", "MariaDB", "PHP-FPM", "PHP modules"} <= {check.name for check in found}
    assert not any(check.fix for check in found)


def test_a_busy_port_is_named_with_its_owner(state: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        check = named(checks(state, port=port), f"port {port}")
    assert not check.ok
    assert f"(pid {os.getpid()})" in check.detail
    assert "--port" in check.fix


def test_a_state_directory_others_can_not_enter_comes_with_its_cure(state: Path) -> None:
    if not running_as_root():
        pytest.skip("only root starts servers under other accounts")
    shut = state / "shut"
    shut.mkdir(mode=0o700)
    check = named(checks(shut / "state", port=free_port()), "state directory")
    assert (check.ok, check.fix) == (False, f"chmod o+x {shut}")


def test_a_state_directory_that_is_a_file(state: Path) -> None:
    (state / "file").write_text("")
    check = named(checks(state / "file" / "below", port=free_port()), "state directory")
    assert not check.ok
    assert check.fix


def test_programs_that_are_missing_or_too_old() -> None:
    missing = doctor.program("X", ("no-such-program-anywhere",), ("--version",), (1,), "get it")
    assert (missing.ok, missing.fix) == (False, "get it")
    old = doctor.program("PHP", ("php",), ("--version",), (99, 1), "get a new one")
    assert not old.ok
    assert "99.1 or newer is needed" in old.detail


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nats-server: v2.15.1", (2, 15, 1)),
        ("v2.11.7 h1:abc=", (2, 11, 7)),
        ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu", (10, 11, 19)),
        ("PHP 8.2.36 (fpm-fcgi) (built: May  1 2026 10:00:00)", (8, 2, 36)),
        ("PHP 8.5.0RC1 (cli)", (8, 5, 0)),
        ("setpriv from util-linux 2.38.1", (2, 38, 1)),
        ("no number here", ()),
    ],
)
def test_versions_are_found_in_what_programs_print(text: str, version: tuple[int, ...]) -> None:
    assert doctor.first_version(text) == version


class Readiness(http.server.BaseHTTPRequestHandler):
    """Stands where the edge would."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(b"NATS is away")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "ok"), [(200, True), (503, False), (None, False)])
def test_a_running_instance_is_asked(state: Path, status: int | None, ok: bool) -> None:
    handler = type("Handler", (Readiness,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        port = server.server_address[1] if status else free_port()
        try:
            with exclusive(state):
                url = f"http://localhost:{port}"
                Instance(os.getpid(), url, "nats://x", "token", "http://y", "socket").write(state)
                check = named(checks(state), "running instance")
        finally:
            server.shutdown()
            thread.join()
    assert check.ok is ok
    assert str(os.getpid()) in check.detail
    assert ("NATS is away" in check.detail) is (status == 503)


@pytest.mark.parametrize(
    ("found", "says", "advice"),
    [
        (Isolation(Walls.USER_NAMESPACE, 7), "full (cells: user-namespace; carriers: Landlock ABI 7)", ""),
        (Isolation(Walls.NONE, 2, "make some"), "no user namespaces: clones share the machine's", "make some"),
        (Isolation(Walls.ROOT, 0, "start it"), "no Landlock: what reads a source is not confined", "start it"),
    ],
)
def test_the_level_of_isolation_is_named_with_what_to_do(
    found: Isolation, says: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "isolation", lambda: found)
    monkeypatch.delenv("SITEFERRY_ISOLATION", raising=False)
    check = doctor.walls()
    assert (check.ok, check.fix) == (found.full, advice)
    assert says in check.detail
    monkeypatch.setenv("SITEFERRY_ISOLATION", "best")
    assert doctor.walls().ok


def test_a_kernel_without_landlock_is_noticed_and_comes_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "landlock", lambda: 0)
    known = {"/sys/kernel/security/lsm": "capability,yama,apparmor"}
    monkeypatch.setattr(probe, "_reads", lambda path: known.get(path, ""))
    found = probe.isolation.__wrapped__()
    assert not found.full
    assert "lsm=landlock,capability,yama,apparmor" in found.fix
    known.clear()
    assert "Linux 5.13" in probe.isolation.__wrapped__().fix
