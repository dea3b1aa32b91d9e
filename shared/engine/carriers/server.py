"""The fork-server: a process with everything loaded and nothing opened, of which carriers are forked in milliseconds.

`python -m shared.engine.carriers.server DESCRIPTOR PARENT MODULE…`: the control socket, the worker's process id, and
what to load. It has one thread, reads nothing but its worker's requests, and dies with its worker.
"""

from __future__ import annotations

import ctypes
import encodings
import gc
import importlib
import os
import pickle
import pkgutil
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import Any

from shared.engine.carriers import inside, landlock
from shared.engine.carriers.confine import Confinement, confine, die_with_parent, runtime
from shared.engine.carriers.inside import NO_MEMORY
from shared.engine.carriers.shelf import Shelf
from shared.log import to_worker
from shared.settings import Settings

REQUEST = 256 * 1024
"""Bytes of one message on the control socket."""
M_ARENA_MAX = -8
CHANNEL, FIRST_FOLDER, FOLDERS = 200, 300, 100
"""Descriptors a carrier has: its pipe and the shelf, and the folders Python is in."""
ARENAS = 2
"""Heaps malloc may keep for threads: each reserves 64 MB of addresses."""
COMMON = ("httpcore2", "httpx2", "h11", "idna", "certifi", "pymysql", "pydantic")
UNWANTED = ("__main__", "_trio", "_cli", "_main", "trio", "_v1", "mypy", "hypothesis")


@dataclass(frozen=True)
class Fork:
    """A request; with it come the carrier's end of its pipe and the shelf."""

    number: int
    limits: Confinement


@dataclass(frozen=True)
class Forked:
    """The answer; with it comes a pidfd. `error`: why there is no carrier."""

    number: int
    pid: int = 0
    error: str = ""


@dataclass(frozen=True)
class Ended:
    """A carrier is gone. `status` as of waitpid(2)."""

    number: int
    status: int


def main(argv: list[str]) -> None:
    """Serve until the worker is gone."""
    descriptor, parent = int(argv[0]), int(argv[1])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a worker that drains still needs it; it ends with the pipe
    control = socket.socket(fileno=descriptor)
    warm(argv[2:])
    closed = Settings().own.ports
    os.environ.clear()
    ports = landlock.ports_but(closed) if closed else None
    control.send(pickle.dumps("ready"))
    _Server(control, ports).serve()


def warm(modules: list[str]) -> None:
    """Load everything a carrier may come to need: it can not read our sources when they lie in somebody's home."""
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    for name in modules:
        loaded = importlib.import_module(name)
        if hasattr(loaded, "warm"):
            loaded.warm()
    for name in [*COMMON, *(f"encodings.{found.name}" for found in pkgutil.iter_modules(encodings.__path__))]:
        _load(name, deep=name in COMMON)
    runtime()
    _reach_by_descriptor()
    gc.collect()
    gc.freeze()  # what is there is shared with every carrier as long as nobody touches it


def _load(name: str, *, deep: bool) -> None:
    try:
        loaded = importlib.import_module(name)
    except Exception:  # for another system, or for something we do not have
        return
    for found in pkgutil.iter_modules(getattr(loaded, "__path__", [])) if deep else ():
        if not any(word in found.name for word in UNWANTED):
            _load(f"{name}.{found.name}", deep=True)


def _reach_by_descriptor() -> None:
    """Have what is loaded later be found through descriptors of Python's folders.

    The library itself loads late (`datetime.strptime` does). A carrier's account may not pass through the folders
    above, which can be somebody's home; a folder that is open already needs no passing.
    """
    places: dict[str, str] = {}
    for number, path in enumerate(dict.fromkeys(path for path in sys.path if os.path.isdir(path))):
        opened = os.open(path, os.O_PATH | os.O_DIRECTORY)
        os.dup2(opened, FIRST_FOLDER + number, inheritable=False)
        os.close(opened)
        places[path] = f"/proc/self/fd/{FIRST_FOLDER + number}"
    sys.path[:] = [places.get(path, path) for path in sys.path]
    nearest = sorted(places, key=len, reverse=True)
    for module in list(sys.modules.values()):
        paths = getattr(module, "__path__", None)
        if isinstance(paths, list):
            module.__path__ = [_through(path, nearest, places) for path in paths]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()


def _through(path: str, nearest: list[str], places: dict[str, str]) -> str:
    above = next((place for place in nearest if path.startswith(place + "/")), None)
    return path if above is None else places[above] + path[len(above) :]


class _Server:
    def __init__(self, control: socket.socket, ports: int | None) -> None:
        """`ports`: what carriers may connect to, as `landlock.ports_but` makes it."""
        self._control = control
        self._ports = ports
        self._numbers: dict[int, int] = {}
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Fork and reap until the control socket is closed."""
        while True:
            readable, _, _ = select.select([self._control.fileno(), self._wake], [], [])
            if self._wake in readable:
                os.read(self._wake, 4096)
                self._reap()
            if self._control.fileno() in readable:
                data, descriptors, _, _ = socket.recv_fds(self._control, REQUEST, 4)
                if not data:
                    return
                self._fork(pickle.loads(data), descriptors)  # noqa: S301  # from our own worker

    def _fork(self, request: Fork, descriptors: list[int]) -> None:
        channel, shelf = descriptors
        ours = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._say(Forked(request.number, error=f"fork: {error.strerror}"))
            return
        finally:
            if os.getpid() == ours:
                os.close(channel)
                os.close(shelf)
        if pid == 0:
            _carry(ours, request.limits, channel, shelf, self._ports)
        self._numbers[pid] = request.number
        pidfd = os.pidfd_open(pid)
        socket.send_fds(self._control, [pickle.dumps(Forked(request.number, pid))], [pidfd])
        os.close(pidfd)

    def _reap(self) -> None:
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._say(Ended(self._numbers.pop(pid), status))

    def _say(self, message: Any) -> None:
        self._control.send(pickle.dumps(message))


def _carry(parent: int, limits: Confinement, channel: int, shelf: int, ports: int | None) -> None:
    """In the child. Never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        channel, shelf, ports = _only(channel, shelf, ports)
        confine(limits, ports)
        die_with_parent(parent)
        os.dup2(0, 2)
        inside.main(socket.socket(fileno=channel), Shelf(shelf), to_worker)
    except EOFError:
        status = 0
    except MemoryError:
        status = NO_MEMORY
    except BaseException:
        os.write(2, f"a carrier ended: {traceback.format_exc()}".encode())
    finally:
        os._exit(status)


def _only(channel: int, shelf: int, ports: int | None) -> tuple[int, int, int | None]:
    """Keep these and the standard descriptors; close whatever else there is."""
    channel, shelf = os.dup2(channel, CHANNEL, inheritable=False), os.dup2(shelf, CHANNEL + 1, inheritable=False)
    ports = None if ports is None else os.dup2(ports, CHANNEL + 2, inheritable=False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.closerange(3, CHANNEL)
    os.closerange(CHANNEL + (2 if ports is None else 3), FIRST_FOLDER)
    os.closerange(FIRST_FOLDER + FOLDERS, os.sysconf("SC_OPEN_MAX"))
    return channel, shelf, ports


if __name__ == "__main__":
    # under its own name, so that what is pickled here is known by it there
    from shared.engine.carriers import server

    server.main(sys.argv[1:])
