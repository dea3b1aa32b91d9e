"""Carriers for tests, and what tests have them do: well-behaved work, and what a hostile site might bring them to."""

from __future__ import annotations

import atexit
import os
import re
import socket
import time
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from services.cloner.app import CARRIED
from shared.contract.jobs import Note
from shared.engine.carriers import messages
from shared.engine.carriers.pool import Carriers, CarrierSettings
from shared.engine.carriers.surface import StepContext
from shared.engine.carriers.watch import Deadlines
from shared.wordpress.errors import SourceUnreachable
from shared.wordpress.http import site_client

IPPROTO_MPTCP = 262
SHORT = Deadlines(stall=1.5, job=3600)


@cache
def carriers(deadlines: Deadlines | None = None, memory: int = 512 << 20) -> Carriers:
    """A pool for this test process; there until it ends."""
    made = Carriers((*CARRIED, __name__), CarrierSettings(memory, deadlines or Deadlines()))
    atexit.register(made.close)
    return made


class Bench:
    """What calls of these tests are about."""

    def __init__(self, context: StepContext) -> None:
        self.context = context


def count(bench: Bench, upto: int, pause: float = 0.0) -> int:
    """Count in the job's memory, durable after each number, from where it was."""
    context = bench.context
    for number in range(context.state.get("number", 0), upto):
        context.state["number"] = number + 1
        context.report(done=number + 1, total=upto, unit="rows", message=f"at {number + 1}")
        context.save()
        time.sleep(pause)
    return int(context.state["number"])


def note(bench: Bench) -> None:
    bench.context.note(Note(code="seen", message="line\nline \x1b]0;title\x07", count=2, samples=["\udce4", "b" * 900]))


def keep(bench: Bench, text: str) -> None:
    bench.context.shelf.put(text.encode())


def kept(bench: Bench) -> str | None:
    found = bench.context.shelf.get()
    return None if found is None else found.decode()


def fail(_bench: Bench) -> None:
    raise SourceUnreachable("The source is away.", retry_after=7, status=503)


def surprise(_bench: Bench) -> None:
    raise OSError("nobody foresaw this: hunter22")


def misread(_bench: Bench) -> None:
    raise KeyError("no such thing: hunter22")


def who(_bench: Any) -> dict[str, Any]:
    """Everything this process is and can reach."""
    return {
        "uid": os.getuid(),
        "groups": os.getgroups(),
        "environment": dict(os.environ),
        "descriptors": sorted(number for number in range(256) if _is_open(number)),
    }


def tries(_bench: Any, paths: list[str], folder: str | None = None) -> dict[str, str]:
    """What happens when a carrier tries to leave its place."""
    doors: dict[str, Any] = {f"read {path}": lambda path=path: Path(path).read_bytes() for path in paths}
    doors |= {f"list {path}": lambda path=path: os.listdir(path) for path in ("/", "/root", "/proc", "/tmp")}
    doors |= {
        "write /tmp": lambda: Path("/tmp/siteferry-was-here").write_text("x"),
        "fork": os.fork,
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "listen": _listen,
        "raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "become root": lambda: os.setuid(0),
        "signal": lambda: os.kill(os.getppid(), 9),
        "other's memory": lambda: Path(f"/proc/{os.getppid()}/mem").read_bytes(),
        "other's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "more memory": lambda: bytearray(2 << 30),
    }
    if folder is not None:
        doors |= {
            "device": lambda: os.mknod(f"{folder}/null", 0o600 | 0o020000, os.makedev(1, 3)),
            "pipe": lambda: os.mkfifo(f"{folder}/pipe"),
            "climb": lambda: Path(f"{folder}/../climbed").write_text("x"),
        }
    return {name: _tried(door) for name, door in doors.items()}


def connect(_bench: Any, port: int) -> dict[str, str]:
    """Every way to a port of this machine's loopback."""
    return {
        "TCP": _connected(lambda: socket.create_connection(("127.0.0.1", port), 5)),
        "TCP over IPv6's form": _connected(lambda: _dialled(socket.AF_INET6, 0, ("::ffff:127.0.0.1", port))),
        "MPTCP": _connected(lambda: _dialled(socket.AF_INET, IPPROTO_MPTCP, ("127.0.0.1", port))),
        "with the first bytes": _connected(lambda: _sent_at_once(port)),
        "as to a site": _connected(lambda: site_client().get(f"http://127.0.0.1:{port}/", timeout=5)),
        "as to a site by its name": _connected(lambda: site_client().get(f"http://a.localhost:{port}/", timeout=5)),
    }


def _dialled(family: int, protocol: int, address: tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
        sock.settimeout(5)
        sock.connect(address)


def _sent_at_once(port: int) -> None:
    with socket.socket() as sock:
        sock.settimeout(5)
        sock.sendto(b"GET / HTTP/1.0\r\n\r\n", socket.MSG_FASTOPEN, ("127.0.0.1", port))
        assert sock.recv(1)


def _connected(way: Any) -> str:
    try:
        way()
    except Exception as error:
        return type(error).__name__
    return "open"


def write(_bench: Any, path: str) -> int:
    Path(path).write_text("mine")
    return os.stat(path).st_uid


def eat(_bench: Any) -> None:
    """Use memory up, in large pieces and in small ones."""
    held: list[Any] = []
    while True:
        held.append([object() for _ in range(100_000)])


def load_late(_bench: Any) -> str:
    """What Python loads only when it is used: a module in C that asks for one in Python, and a module of a package."""
    import xml.dom.minidom

    return str(datetime.strptime("2026-11-29", "%Y-%m-%d").date()) + xml.dom.minidom.__name__


def spin(_bench: Any) -> None:
    while True:
        pass


def backtrack(_bench: Any) -> None:
    """A regular expression that holds the interpreter for ever: no thread of this process runs meanwhile."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def chatter(bench: Bench) -> None:
    """Say all the while that something happens, and never that anything is new."""
    cursor = 0
    while True:
        cursor += 1
        bench.context.state["cursor"] = cursor
        bench.context.report(done=5, message=f"still at it {cursor}")
        bench.context.save()
        time.sleep(0.05)


def abort(_bench: Any) -> None:
    os.abort()


def leave(_bench: Any) -> None:
    os._exit(3)


def sleep_well(bench: Bench, seconds: float) -> None:
    bench.context.token.sleep(seconds)


def say(bench: Bench, body: bytes, times: int = 1) -> None:
    """Send the worker what no carrier of ours would."""
    wire = bench.context._wire  # type: ignore[attr-defined]
    for _ in range(times):
        wire._channel.sendall(messages.LENGTH.pack(len(body)) + body)
    time.sleep(30)


def say_raw(bench: Bench, data: bytes) -> None:
    bench.context._wire._channel.sendall(data)  # type: ignore[attr-defined]
    time.sleep(30)


def change(bench: Bench, name: str, value: Any) -> None:
    bench.context.state[name] = value
    bench.context.save()


def remembered(bench: Bench) -> dict[str, Any]:
    return dict(bench.context.state)


def _listen() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _tried(door: Any) -> str:
    try:
        door()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "open"
