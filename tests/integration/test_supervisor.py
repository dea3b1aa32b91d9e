"""The supervisor with real servers: deaths are repaired and told, stops are in order, nothing outlives it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from siteferry.embedded.instance import AlreadyRunning, Instance, clear_leftovers, exclusive, running_instance
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.supervisor import Backoff, Supervisor
from tests.integration.house import alive, eventually, members, place
from tests.integration.supervised import Worker
from tests.integration.test_servers import fetch

CHILDREN = {"nats", "mariadb", "php-fpm", "worker", "caddy"}


@pytest.fixture
def home() -> Iterator[Path]:
    with place() as path:
        yield path


class Supervised:
    """The supervisor in a process of its own."""

    def __init__(self, home: Path, *words: str) -> None:
        self.home = home
        self.output = home / "terminal"
        with self.output.open("wb") as terminal:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.supervised", str(home), *words],
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )

    def wait_for(self, words: str, *, times: int = 1) -> None:
        eventually(lambda: self.said().count(words) >= times, timeout=30, what=repr(words))

    def said(self) -> str:
        return self.output.read_text()

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "facts.json").read_text()))

    @property
    def pids(self) -> dict[str, int]:
        return dict(self.facts["pids"])

    def standing(self, name: str) -> dict[str, Any]:
        return dict(self.facts["standings"][name])

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)


@contextmanager
def supervised(home: Path, *words: str) -> Iterator[Supervised]:
    started = Supervised(home, *words)
    try:
        started.wait_for("all ready")
        yield started
    finally:
        started.end()


def test_a_killed_child_is_started_again_and_that_is_said(home: Path) -> None:
    with supervised(home) as house:
        before = house.pids
        assert set(before) == CHILDREN
        for name in ("worker", "nats", "caddy"):
            os.kill(before[name], signal.SIGKILL)
        for name in ("worker", "nats", "caddy"):
            house.wait_for(f"{name} died (signal 9), starting again in 0.1 s")
            house.wait_for(f"{name} is back")
            assert alive(house.pids[name])
            assert house.pids[name] != before[name]
        for times in (2, 3):  # it was ready each time: the pause does not grow
            os.kill(house.pids["worker"], signal.SIGKILL)
            house.wait_for("worker died (signal 9), starting again in 0.1 s", times=times)
            house.wait_for("worker is back", times=times)
        unharmed = ("mariadb", "php-fpm")
        assert [house.pids[name] for name in unharmed] == [before[name] for name in unharmed]


def test_one_that_ran_for_a_while_is_started_again_at_once(home: Path) -> None:
    with supervised(home, "steady") as house:
        time.sleep(1.2)
        for name in ("nats", "caddy"):
            os.kill(house.pids[name], signal.SIGKILL)
            house.wait_for(f"{name} died (signal 9), starting again at once")
            house.wait_for(f"{name} is back")


def test_only_one_that_never_gets_ready_waits_longer_each_time() -> None:
    backoff = Backoff(first=0.5, longest=30, steady_after=10)
    assert [backoff.pause(failures, None) for failures in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 30.0]
    assert [backoff.pause(0, seconds) for seconds in (0.1, 9.9, 10.0, 500.0)] == [0.5, 0.5, 0.0, 0.0]


def test_one_that_hangs_is_told_and_started_again(home: Path) -> None:
    with supervised(home, "impatient") as house:
        for name in ("mariadb", "caddy", "nats"):
            before = house.pids[name]
            os.kill(before, signal.SIGSTOP)
            house.wait_for(f"{name} does not answer")
            assert not house.standing(name)["ready"]
            house.wait_for(f"{name} did not answer for 3 s: killed")
            house.wait_for(f"{name} is back")
            assert house.pids[name] != before
            eventually(lambda name=name: house.standing(name)["ready"], what="the news")  # type: ignore[misc]
            assert house.standing(name)["starts"] == 2


def test_one_that_stood_still_for_a_moment_is_left_alone(home: Path) -> None:
    with supervised(home) as house:
        before = house.pids["caddy"]
        os.kill(before, signal.SIGSTOP)
        house.wait_for("caddy does not answer")
        os.kill(before, signal.SIGCONT)
        house.wait_for("caddy answers again")
        assert house.pids["caddy"] == before
        assert house.standing("caddy")["starts"] == 2, "who looked before must see that it was away"


class Replaced(Worker):
    """Its program, or room on the disk, may be away for a moment."""

    def command(self) -> list[str]:
        return [str(self.directory / "program"), "-u", "-c", self.code]

    def prepare(self) -> None:
        super().prepare()
        if (self.directory / "full").exists():
            raise OSError(errno.ENOSPC, "No space left on device")


async def test_one_that_can_not_be_started_for_a_while_is_started_again(home: Path) -> None:
    server, said = Replaced(home / "worker"), (home / "log").open("w+")
    server.directory.mkdir()
    program, full = server.directory / "program", server.directory / "full"
    program.symlink_to(sys.executable)
    log = MergedLog(home / "siteferry.log", said)
    supervisor = Supervisor([[server]], log, backoff=Backoff(0.05, 0.1, 600))
    running = asyncio.create_task(supervisor.run(lambda: None))

    def told(words: str) -> bool:
        return words in (home / "log").read_text()

    async def until(words: str) -> None:
        await asyncio.to_thread(eventually, lambda: told(words), timeout=20, what=words)

    try:
        await asyncio.to_thread(eventually, lambda: supervisor.pids, timeout=20, what="its start")
        program.unlink()
        full.touch()
        os.kill(supervisor.pids["worker"], signal.SIGKILL)
        await until("worker can not be prepared: [Errno 28]")
        await until("it could not be started: No such file or directory")
        full.unlink()
        program.symlink_to(sys.executable)
        await until("worker is back")
        assert alive(supervisor.pids["worker"])
    finally:
        supervisor.stop_requested.set()
        await running
        log.close()
        said.close()


def test_those_named_first_stop_first(home: Path) -> None:
    with supervised(home, "workers first") as house:
        os.kill(house.process.pid, signal.SIGINT)
        assert house.process.wait(30) == 0
    log = (home / "siteferry.log").read_text()
    moments = [log.index(words) for words in ("worker ends", "SIGTERM", "Shutdown complete")]
    assert moments == sorted(moments), "Caddy was stopped before the worker had drained"


def test_a_killed_master_leaves_no_workers_behind(home: Path) -> None:
    page = home / "sites" / "one" / "site"
    page.mkdir(parents=True)
    (page / "index.php").write_text("<?php echo getmypid();")
    for folder in (page, page.parent, page.parent.parent):
        folder.chmod(0o755)
    with supervised(home) as house:
        master = house.pids["php-fpm"]
        worker = int(fetch(house.facts["port"], "one.localhost", "/"))
        assert worker in members(master)
        os.kill(master, signal.SIGKILL)
        house.wait_for("php-fpm is back")
        assert not members(master)
        assert int(fetch(house.facts["port"], "one.localhost", "/")) in members(house.pids["php-fpm"])


def test_ctrl_c_stops_in_reverse_order_and_the_next_start_continues(home: Path) -> None:
    for _ in range(2):
        with supervised(home) as house:
            groups = house.pids.values()
            os.kill(house.process.pid, signal.SIGINT)
            assert house.process.wait(30) == 0
            assert not members(*groups)
    log = (home / "siteferry.log").read_text()
    last = log[log.rindex("all ready") :]
    # Caddy goes first, then the services, then what they stand on.
    moments = [last.index(words) for words in ("SIGTERM", "worker ends", "Shutdown complete", "all stopped")]
    assert moments == sorted(moments)
    assert "died" not in log


def test_a_deaf_child_is_killed_after_its_deadline(home: Path) -> None:
    with supervised(home, "stubborn") as house:
        groups = house.pids.values()
        os.kill(house.process.pid, signal.SIGTERM)
        assert house.process.wait(30) == 0
        assert "stubborn did not stop within 0.3 s: killed" in house.said()
        assert not members(*groups)


def test_a_second_ctrl_c_kills_at_once(home: Path) -> None:
    with supervised(home, "stubborn") as house:
        groups = house.pids.values()
        os.kill(house.process.pid, signal.SIGINT)
        house.wait_for("once more to stop at once")
        os.kill(house.process.pid, signal.SIGINT)
        assert house.process.wait(30) == 128 + signal.SIGINT
        eventually(lambda: not members(*groups), what="the end of all children")


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts_at_once(home: Path) -> None:
    with supervised(home, "stubborn") as house:
        groups = house.pids.values()
        os.kill(house.process.pid, signal.SIGKILL)
        house.process.wait(5)
        eventually(lambda: not members(*groups), what="the end of all children")
    with supervised(home) as again:
        assert set(again.pids) == CHILDREN


def test_one_supervisor_per_directory(home: Path) -> None:
    with supervised(home) as house:
        second = Supervised(home)
        assert second.process.wait(30) == 3
        assert alive(house.pids["nats"])


def test_something_that_does_not_start_stops_the_rest_and_says_why(home: Path) -> None:
    (home / "caddy").mkdir()
    (home / "caddy" / "caddy.json").mkdir()  # a directory where the configuration should go
    house = Supervised(home)
    assert house.process.wait(30) == 1
    assert "caddy.json" in house.said()
    assert "Shutdown complete" in (home / "siteferry.log").read_text()
    assert not members(*house.pids.values())


def instance(pids: dict[str, int]) -> Instance:
    return Instance(
        pid=os.getpid(),
        edge_url="http://localhost:8080",
        nats_url="nats://127.0.0.1:1",
        nats_token_file="token",
        nats_operator_file="/nowhere/operator",
        mariadb_socket="socket",
        pids=pids,
    )


def test_the_command_line_finds_a_running_instance_and_only_a_running_one(home: Path) -> None:
    assert running_instance(home) is None
    with exclusive(home):
        instance({}).write(home)
        assert running_instance(home) == instance({})
        assert (home / "run.json").stat().st_mode & 0o777 == 0o600
        with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}\) at http://localhost:8080"), exclusive(home):
            pass
    assert running_instance(home) is None


def test_leftovers_of_a_killed_instance_are_ended_and_strangers_spared(home: Path) -> None:
    ours = subprocess.Popen(["sleep", "600"], cwd=home, start_new_session=True)
    stranger = subprocess.Popen(["sleep", "600"], cwd="/", start_new_session=True)
    try:
        instance({"ours": ours.pid, "reused number": stranger.pid}).write(home)
        assert clear_leftovers(home, patience=0.1) == ["ours"]
        assert ours.wait(5) == -signal.SIGKILL
        assert alive(stranger.pid)
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


class Terminal:
    """A stream that is or is not a terminal."""

    def __init__(self, *, tty: bool) -> None:
        self.text, self._tty = "", tty

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self._tty


def logged(home: Path, terminal: Terminal, *, size: int = 10000) -> MergedLog:
    return MergedLog(home / "siteferry.log", terminal, size=size)  # type: ignore[arg-type]


def test_colours_only_where_they_are_wanted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    seen = {}
    for label, tty, no_colour in (("terminal", True, ""), ("pipe", False, ""), ("refused", True, "1")):
        monkeypatch.setenv("NO_COLOR", no_colour)
        terminal = Terminal(tty=tty)
        log = logged(home, terminal)
        log.write("gateway", "\x1b[31mred\x1b[0m words")
        log.close()
        seen[label] = terminal.text
    assert seen["terminal"].endswith("m red words\n"), "a label of ours in colour, a child's words without"
    assert "\x1b[31m" not in seen["terminal"]
    assert seen["pipe"] == seen["refused"] == "gateway  | red words\n"
    assert "\x1b" not in (home / "siteferry.log").read_text()


def test_the_log_file_has_everything_and_is_rotated(home: Path) -> None:
    terminal = Terminal(tty=False)
    log = logged(home, terminal, size=2000)
    for number in range(200):
        log.write("mariadb", f"line {number}", show=number == 7)
    log.close()
    assert terminal.text == "mariadb  | line 7\n"
    files = sorted(home.glob("siteferry.log*"))
    assert len(files) == 4
    assert all(path.stat().st_size <= 2000 and path.stat().st_mode & 0o077 == 0 for path in files)
    assert "line 199" in (home / "siteferry.log").read_text()
