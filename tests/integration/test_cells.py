"""Cells as wholes: they sleep, wake, end, keep to their limits, and call only whom they may."""

from __future__ import annotations

import ctypes
import http.server
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from shared import system_calls
from shared.cells.client import AgentFailed, CellsAway, CellsClient
from shared.cells.isolation import isolation
from shared.cells.names import database_name
from siteferry.embedded.cells.egress import Rules
from siteferry.embedded.cells.leftovers import end_leftovers
from siteferry.embedded.cells.usage import sockets_below
from siteferry.embedded.servers import Cells, MariaDB, ServerProcess, running, start
from siteferry.embedded.servers.caddy import UnixConnection
from tests.integration.cells import give, make_clone
from tests.integration.house import alive, eventually, place

pytestmark = pytest.mark.skipif(not isolation().cells, reason="this machine builds no walls")


class Yard:
    """A launcher and clones, asked at their sockets as the edge asks them."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home, self.clones = home, home / "clones"
        self.clones.mkdir(mode=0o711, exist_ok=True)
        self.server = Cells(home / "cells", self.clones, **settings)
        self.client = CellsClient(self.server.control)
        self.process: ServerProcess | None = None

    def start(self) -> None:
        self.process = start(self.server)

    def add(self, number: int = 1, **more: Any) -> str:
        # No other process that runs tests may know it: its account has limits, its processes are found by its name.
        clone = f"clone-{os.getpid() % 10**10:010d}{number:06d}"
        make_clone(self.clones / clone, **more)
        if self.process:
            self.client.ensure(clone)
        return clone

    def get(self, clone: str, path: str = "/", *, timeout: float = 30) -> tuple[int, str]:
        connection = UnixConnection(self.server.http / clone / "web.sock", timeout=timeout)
        with closing(connection):
            connection.request("GET", path, headers={"Host": f"{clone}.localhost", "Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def run(self, clone: str, code: str, *, timeout: float = 30) -> Any:
        """What PHP inside of the clone answers, as JSON."""
        name = f"run{threading.get_ident()}.php"
        script = self.clones / clone / "site" / name
        script.write_text(f"<?php echo json_encode((function () {{ {code} }})());")
        give(script, clone)
        status, text = self.get(clone, f"/{name}", timeout=timeout)
        assert status == 200, text
        return json.loads(text)

    def state(self, clone: str) -> str:
        return str(self.client.status()["cells"][clone]["state"])

    def pids(self, clone: str) -> set[int]:
        """Every process of a cell, found by its command or its parent."""
        found = {pid for pid, words in commands() if clone in words and "bwrap" in words}
        return found | {child for pid in found for child in descendants(pid)}


def commands() -> list[tuple[int, str]]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found.append((int(process.name), (process / "cmdline").read_bytes().decode(errors="replace")))
            except OSError:
                continue
    return found


def descendants(pid: int) -> set[int]:
    try:
        children = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()
    return children | {lower for child in children for lower in descendants(child)}


@pytest.fixture
def yard(request: pytest.FixtureRequest) -> Iterator[Yard]:
    settings = getattr(request, "param", {})
    with place() as home:
        made = Yard(home, **settings)
        made.start()
        try:
            yield made
        finally:
            assert made.process
            made.process.stop()


@pytest.mark.parametrize("yard", [{"idle_seconds": 1.0}], indirect=True)
def test_a_cell_sleeps_when_nobody_comes_and_wakes_when_somebody_does(yard: Yard) -> None:
    clone = yard.add()
    assert yard.state(clone) == "asleep"
    assert not yard.pids(clone)
    assert yard.get(clone) == (200, "front /")
    assert yard.state(clone) == "awake"
    pids = yard.pids(clone)
    assert pids
    eventually(lambda: yard.state(clone) == "asleep", timeout=40, what="sleep")
    assert not any(alive(pid) for pid in pids)
    assert yard.get(clone) == (200, "front /")


@pytest.mark.parametrize("yard", [{"idle_seconds": 1.0}], indirect=True)
def test_a_request_that_takes_long_keeps_its_cell_awake(yard: Yard) -> None:
    clone = yard.add()
    assert yard.run(clone, "sleep(14); return 1;", timeout=60) == 1


def test_putting_to_sleep_loses_no_request(yard: Yard) -> None:
    """Running ones are answered, those that come meanwhile wait for the next start."""
    clone = yard.add()
    with ThreadPoolExecutor(8) as pool:
        slow = pool.submit(yard.run, clone, "sleep(2); return 'done';")
        eventually(lambda: yard.state(clone) == "awake", what="waking")
        answers = []
        for _ in range(10):
            yard.client.sleep(clone)
            answers += [pool.submit(yard.get, clone) for _ in range(4)]
            time.sleep(0.3)
        assert slow.result() == "done"
        assert {answer.result() for answer in answers} == {(200, "front /")}


def test_a_cell_that_is_killed_starts_again_with_the_next_request(yard: Yard) -> None:
    clone = yard.add()
    yard.get(clone)
    for pid in yard.pids(clone):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not yard.pids(clone), what="their end")
    assert yard.get(clone) == (200, "front /")


def test_cells_end_with_their_launcher_and_are_found_by_the_next(yard: Yard) -> None:
    clone = yard.add()
    yard.get(clone)
    pids = yard.pids(clone)
    assert yard.process
    os.kill(yard.process.pid, signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in pids), what="the end of the cells")
    yard.process.kill()
    yard.start()
    assert yard.get(clone) == (200, "front /")


PIDFD_GETFD = 438
"""Its number, the same on every architecture."""


def listener_of(pid: int, path: Path) -> int:
    """A descriptor of ours for the socket at `path` that another process listens at."""
    (inode,) = sockets_below(str(path.parent))
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(entry) == f"socket:[{inode}]":
            process = os.pidfd_open(pid)
            try:
                return ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, int(entry.name), 0)
            finally:
                os.close(process)
    raise AssertionError(f"{pid} does not listen at {path}")


def test_what_outlives_a_killed_launcher_ends_with_the_next_ones_start(yard: Yard) -> None:
    clone = yard.add()
    assert yard.process
    path = yard.server.http / clone / "web.sock"
    descriptor = listener_of(yard.process.pid, path)
    assert descriptor >= 0
    cell = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])  # made in the moment its launcher died
    os.close(descriptor)
    os.kill(yard.process.pid, signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(path))
            os.kill(yard.process.pid, signal.SIGKILL)
            yard.process.kill()
            yard.start()
            assert cell.wait(10) == -signal.SIGKILL
            visitor.settimeout(10)
            with suppress(ConnectionError):
                assert visitor.recv(1) == b"", "who came to the dead one is told, and does not wait for ever"
        assert yard.get(clone) == (200, "front /")
    finally:
        cell.kill()
        cell.wait()


def test_only_holders_of_these_sockets_are_ended(tmp_path: Path) -> None:
    ours, others = tmp_path / "c", tmp_path / "clones"
    children = []
    for folder in (ours, others):
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "web.sock"))
            listener.listen()
            (folder / "web.sock").unlink()
            children.append(subprocess.Popen(["sleep", "60"], pass_fds=[listener.fileno()]))
    left, other = children
    try:
        assert end_leftovers(str(ours)) == {left.pid}
        assert left.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_nothing_of_a_forgotten_clone_runs(yard: Yard) -> None:
    clone = yard.add()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(yard.run, clone, "ignore_user_abort(true); sleep(100); return 1;")
        eventually(lambda: yard.state(clone) == "awake" and len(yard.pids(clone)) > 4, what="waking")
        pids = yard.pids(clone)
        yard.client.forget(clone)
        assert not any(alive(pid) for pid in pids)
        assert hanging.exception() is not None
    assert not (yard.server.http / clone).exists()
    yard.client.forget(clone)


def test_a_hundred_sleeping_clones_cost_next_to_nothing(yard: Yard) -> None:
    assert yard.process
    before = memory(yard.process.pid)
    clones = [yard.add(number) for number in range(100)]
    for clone in clones[:3]:
        yard.get(clone)
        yard.client.sleep(clone)
    eventually(lambda: all(yard.state(clone) == "asleep" for clone in clones), what="sleep")
    each = (memory(yard.process.pid) - before) / 100
    assert not any(yard.pids(clone) for clone in clones)
    assert each < 1 << 20, f"{each / 1024:.0f} kB each"


def memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def test_twenty_wake_quickly_and_are_awake_together(yard: Yard) -> None:
    clones = [yard.add(number) for number in range(20)]
    seconds = []
    for clone in clones:
        began = time.monotonic()
        assert yard.get(clone) == (200, "front /")
        seconds.append(time.monotonic() - began)
    assert {yard.state(clone) for clone in clones} == {"awake"}
    assert statistics.median(seconds) < 5.0, seconds  # the benchmark clone-page says how quick on a quiet machine
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(yard.get, clones)) == {(200, "front /")}


@pytest.mark.parametrize("yard", [{"awake": 2}], indirect=True)
def test_more_than_may_be_awake_take_turns(yard: Yard) -> None:
    clones = [yard.add(number) for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(yard.get, clones)) == {(200, "front /")}
    states = [yard.state(clone) for clone in clones]
    assert states.count("awake") <= 2


@pytest.mark.parametrize("yard", [{"children": 3}], indirect=True)
def test_sleeping_requests_fill_their_own_clone_only(yard: Yard) -> None:
    one, other = yard.add(1), yard.add(2)
    yard.get(other)
    with ThreadPoolExecutor(26) as pool:
        hanging = [pool.submit(yard.run, one, "sleep(8); return 1;", timeout=120) for _ in range(26)]
        time.sleep(1)
        began = time.monotonic()
        assert yard.get(other) == (200, "front /")
        assert time.monotonic() - began < 6
        yard.client.forget(one)
        for each in hanging:
            each.exception()


@pytest.mark.parametrize("yard", [{"memory": 160 << 20, "php_values": {"memory_limit": "-1"}}], indirect=True)
def test_memory_of_a_cell_is_bounded(yard: Yard) -> None:
    if not yard.client.status()["memory_limited"]:
        pytest.skip("control groups can not be used here")
    clone, other = yard.add(1), yard.add(2)
    yard.get(other)
    with pytest.raises((AssertionError, OSError)):
        yard.run(clone, "$a = []; while (true) { $a[] = str_repeat('x', 1 << 20); } return 1;")
    assert yard.get(other) == (200, "front /")
    assert eventually(lambda: yard.get(clone) == (200, "front /"), timeout=30)


@pytest.mark.parametrize("yard", [{"file_bytes": 4 << 20}], indirect=True)
def test_a_file_can_only_grow_so_far(yard: Yard) -> None:
    clone = yard.add()
    code = (
        "for ($i = 0; $i < 16; $i++) { @file_put_contents(__DIR__ . '/big', str_repeat('x', 1 << 20), FILE_APPEND); }"
    )
    try:
        yard.run(clone, f"{code} return 1;")
    except (AssertionError, OSError):
        pass  # the signal ended the worker
    assert (yard.clones / clone / "site" / "big").stat().st_size <= 4 << 20


@pytest.mark.parametrize("yard", [{"max_bytes": 2 << 20}], indirect=True)
def test_a_clone_that_holds_too_much_can_not_write_any_more(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = yard.add()
    write = "return @file_put_contents(__DIR__ . '/more', 'x') !== false;"
    assert yard.run(clone, write) is True
    big = yard.clones / clone / "site" / "big"
    big.write_bytes(b"x" * (4 << 20))
    give(big, clone)
    eventually(lambda: yard.client.status()["cells"][clone]["full"], timeout=90, what="the measure")
    assert yard.get(clone) == (200, "front /"), "it can be looked at"
    # another name, as scripts can not be written any more either
    script = yard.clones / clone / "site" / "write.php"
    script.write_text("<?php echo json_encode(@file_put_contents(__DIR__ . '/again', 'x'));")
    give(script, clone)
    assert yard.get(clone, "/write.php") == (200, "false")


def test_a_clones_database_counts_too_and_is_cut_off_when_it_alone_is_too_much() -> None:
    with place() as home, running(MariaDB(home / "mariadb")) as mariadb:
        data = str(mariadb.data)
        yard = Yard(home, max_bytes=24 << 20, mariadb_socket=str(mariadb.socket), mariadb_data=data)
        yard.start()
        try:
            clone = yard.add()
            admin = pymysql.connect(
                unix_socket=str(mariadb.socket),
                user=mariadb.admin_user,
                password=mariadb.admin_password_file.read_text().strip(),
                autocommit=True,
            )
            with admin, admin.cursor() as cursor:
                name = database_name(clone)
                cursor.execute(f"CREATE DATABASE {name}")
                cursor.execute(f"CREATE USER {name}@localhost IDENTIFIED BY 'p'")
                cursor.execute(f"GRANT ALL ON {name}.* TO {name}@localhost")
                connects = f"mysqli_report(0); $m = @new mysqli('localhost', '{name}', 'p', '{name}', 0,"
                connects += f" '{mariadb.socket}'); return $m->connect_errno;"
                assert yard.run(clone, connects) == 0
                big = yard.clones / clone / "site" / "big"
                big.write_bytes(b"x" * (12 << 20))
                give(big, clone)
                cursor.execute(f"CREATE TABLE {name}.t (a LONGBLOB) ENGINE=InnoDB")
                cursor.execute(f"INSERT INTO {name}.t SELECT REPEAT('x', 12 << 20)")
                ask = yard.clones / clone / "site" / "ask.php"
                ask.write_text(f"<?php echo json_encode((function () {{{connects}}})());")
                give(ask, clone)
                eventually(lambda: state(yard, clone)["full"], timeout=120, what="files and database together")
                assert not state(yard, clone)["cut_off"]
                eventually(lambda: asked(yard, clone, "/ask.php") == (200, "0"), timeout=30, what="its database, still")
                cursor.execute(f"INSERT INTO {name}.t SELECT REPEAT('x', 14 << 20)")
                eventually(lambda: state(yard, clone)["cut_off"], timeout=120, what="the database alone")
                eventually(lambda: asked(yard, clone, "/ask.php") == (200, "2002"), timeout=30, what="its socket gone")
                cursor.execute(f"DROP TABLE {name}.t")
                eventually(lambda: not state(yard, clone)["full"], timeout=120, what="room again")
                eventually(lambda: asked(yard, clone, "/ask.php") == (200, "0"), timeout=30, what="its database again")
        finally:
            assert yard.process
            yard.process.stop()


def asked(yard: Yard, clone: str, path: str) -> tuple[int, str] | None:
    """What the clone answers; None when its cell is being changed for another one just then."""
    try:
        return yard.get(clone, path)
    except ConnectionError:
        return None


def state(yard: Yard, clone: str) -> dict[str, Any]:
    """What the launcher says of a clone."""
    found: dict[str, Any] = yard.client.status()["cells"][clone]
    return found


def test_processes_of_a_clone_stand_behind_jobs(yard: Yard) -> None:
    clone = yard.add()
    assert yard.get(clone) == (200, "front /")
    assert yard.process
    behind = {os.getpriority(os.PRIO_PROCESS, pid) for pid in yard.pids(clone)}
    assert behind == {os.getpriority(os.PRIO_PROCESS, yard.process.pid) + 5}


def test_an_import_does_not_switch_the_guard_off(yard: Yard) -> None:
    """Neither with a wp-config.php of its own, nor by writing to ours."""
    clone = yard.add()
    guard = yard.clones / clone / "guard"
    (guard / "constants.php").write_text("<?php\ndefine('DB_NAME', 'ours');\n")
    site = yard.clones / clone / "site"
    (site / "wp-config.php").write_text("<?php @define('DB_NAME', 'theirs');")
    give(site / "wp-config.php", clone)
    said = yard.run(clone, "require __DIR__ . '/wp-config.php'; return [DB_NAME, defined('SITEFERRY_CLONE')];")
    assert said == ["ours", True]
    for name in ("guard.php", "prepend.php", "config.php", "constants.php", "cell.json"):
        for code in (
            "return @file_put_contents('%s', 'x');",
            "return @unlink('%s');",
            "return @rename('%s', '/tmp/x');",
        ):
            assert yard.run(clone, code % (guard / name)) is False, (name, code)
    assert yard.run(clone, f"return @rename('{guard}', '{guard}2');") is False


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def outside() -> Iterator[int]:
    with ExitStack() as stack:
        server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield server.server_address[1]


CURL = "$c = curl_init('{url}'); curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 20{more}]); "
CURL += "return curl_exec($c);"


def call(yard: Yard, clone: str, url: str, more: str = "") -> Any:
    return yard.run(clone, CURL.format(url=url, more=more))


def test_only_allowed_hosts_are_called_through_the_proxy(yard: Yard, outside: int) -> None:
    clone = yard.add(1, allow_http=["shop.localhost"])
    other = yard.add(2)
    assert call(yard, clone, f"http://shop.localhost:{outside}/") == "outside"
    for url in (f"http://127.0.0.1:{outside}/", f"http://localhost:{outside}/", f"http://other.localhost:{outside}/"):
        assert call(yard, clone, url) is False, url
    assert call(yard, other, f"http://shop.localhost:{outside}/") is False, "its own list counts"
    for more in (", CURLOPT_PROXY => ''", ", CURLOPT_NOPROXY => '*'"):
        assert call(yard, clone, f"http://shop.localhost:{outside}/", more) is False, "there is no other way"


def test_a_clone_calls_itself_and_not_its_neighbour(yard: Yard) -> None:
    clone, other = yard.add(1), yard.add(2)
    assert call(yard, clone, f"http://{clone}.localhost:8080/x") == "front /x"
    assert call(yard, clone, f"http://{other}.localhost:8080/x") is False


def test_our_own_ports_are_not_called_whatever_was_allowed(outside: int) -> None:
    with place() as home:
        yard = Yard(home, refused_ports=[outside])
        yard.start()
        try:
            clone = yard.add(1, allow_http=["shop.localhost", "127.0.0.1"])
            for host in ("shop.localhost", "127.0.0.1"):
                assert call(yard, clone, f"http://{host}:{outside}/") is False, host
        finally:
            assert yard.process
            yard.process.stop()


def test_our_own_ports_are_known_under_every_address_of_this_machine() -> None:
    rules = Rules("x", "x", frozenset(), True, frozenset({4222}))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing
        outward = route.getsockname()[0]
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", outward):
        assert rules.refuses(address, 4222), address
        assert not rules.refuses(address, 4223) or address == "::127.0.0.1", address
    assert not rules.refuses("192.0.43.8", 4222)


def test_the_proxy_has_given_up_all_but_its_socket(yard: Yard, outside: int) -> None:
    clone = yard.add(1, allow_http=["shop.localhost"])
    assert call(yard, clone, f"http://shop.localhost:{outside}/") == "outside"
    assert yard.process
    launcher = yard.process.pid
    proxies = [
        said
        for path in Path("/proc").glob("[0-9]*/status")
        if f"\nPPid:\t{launcher}\n" in (said := _status(path)) and said.startswith("Name:\tpython")
    ]
    assert len(proxies) == 1
    assert "\nNoNewPrivs:\t1\n" in proxies[0]
    assert ("\nSeccomp:\t2\n" in proxies[0]) == system_calls.known()
    if os.geteuid() == 0:
        assert "\nUid:\t0\t" not in proxies[0]


def _status(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("yard", [{"allow_private": False}], indirect=True)
def test_private_addresses_are_refused_where_sources_may_not_be_private(yard: Yard, outside: int) -> None:
    clone = yard.add(1, allow_http=[f"shop.localhost:{outside}", "127.0.0.1", "169.254.169.254"])
    for host in (f"shop.localhost:{outside}", "127.0.0.1:80", "169.254.169.254"):
        assert call(yard, clone, f"http://{host}/") is False, host


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"",
        b"\x04\x01",
        b"\x05\x01\x02",
        b"\x05\xff" + b"\x00" * 255,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x05\x01\x00\x05\x02\x00\x01",
    ],
)
def test_the_proxy_hangs_up_on_what_it_does_not_know(yard: Yard, bytes_sent: bytes) -> None:
    clone = yard.add(1, allow_http=["shop.localhost"])
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(20)
        stream.connect(str(yard.server.base / "c" / clone / "egress.sock"))
        stream.sendall(bytes_sent)
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(4096):
            pass
    assert call(yard, clone, f"http://{clone}.localhost/x") == "front /x"


def test_what_is_compiled_for_the_administrator_is_there_for_the_first_page(yard: Yard) -> None:
    clone = yard.add()
    site, cache = yard.clones / clone / "site", yard.clones / clone / "cache"
    core = site / "core.php"
    files = {
        core: "<?php const CORE = 'core';",
        site / "wp-load.php": "<?php require __DIR__ . '/core.php'; exit(json_encode(array('user_id' => 7)));",
        site / "index.php": "<?php require __DIR__ . '/core.php'; echo CORE;",
    }
    for path, text in files.items():
        path.write_text(text)
        give(path, clone)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    wanted = {"wordpress": str(site), "host": "x"}
    assert yard.client.agent(clone, "mail", {"box": "/nowhere", "messages": 1, "bytes": 1}) == {"mails": []}
    assert not any(cache.iterdir())
    assert yard.client.agent(clone, "administrator", wanted) == {"user_id": 7}
    (compiled,) = cache.rglob("core.php.bin")
    before = compiled.stat()
    assert yard.get(clone) == (200, "core")
    assert [path.stat().st_ino for path in cache.rglob("core.php.bin")] == [before.st_ino]
    assert compiled.stat().st_mtime_ns == before.st_mtime_ns
    assert any(cache.rglob("index.php.bin"))  # PHP-FPM keeps there what it had to compile
    core.write_text("<?php const CORE = 'edited';")
    assert yard.get(clone) == (200, "edited")
    shutil.rmtree(cache)
    assert yard.client.agent(clone, "administrator", wanted) == {"user_id": 7}


def test_only_we_talk_to_the_launcher(yard: Yard) -> None:
    clone = yard.add()
    with pytest.raises(AgentFailed, match="not a clone id"):
        yard.client.ensure("../../etc")
    with pytest.raises(AgentFailed, match="knows no"):
        yard.client.agent(clone, "../guard", {})
    assert yard.server.control.stat().st_mode & 0o777 == 0o600


def test_a_launcher_that_is_away_is_a_temporary_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cells.client.CONNECT_SECONDS", 0.2)
    with pytest.raises(CellsAway):
        CellsClient(tmp_path / "none.sock").status()
