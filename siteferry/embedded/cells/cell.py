"""One clone's cell: asleep it is a listening socket, awake it is a web server and a PHP-FPM inside of its walls."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from shared import turns
from shared.cells.isolation import Walls
from siteferry.embedded.cells.busy import Busy
from siteferry.embedded.cells.egress import egress
from siteferry.embedded.cells.helper import Helper
from siteferry.embedded.cells.logs import CellLog
from siteferry.embedded.cells.media import media
from siteferry.embedded.cells.origins import FETCHED
from siteferry.embedded.cells.recipe import walls, write_configuration
from siteferry.embedded.cells.sandbox import Account, cell_command, filter_file
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.cells.spawn import Process
from siteferry.embedded.cells.usage import MemoryGroups, entering
from siteferry.embedded.servers.base import make_directory

log = logging.getLogger(__name__)

BACKLOG = 511
QUICK_DEATH = 5.0
"""Seconds: a cell that ends sooner after its start did not work."""
TRIES = 3
"""Starts in a row that come to nothing before visitors are told."""
LONGEST_PAUSE = 30.0
STOP_SECONDS = 15.0
WEB, PHP, INFO, FILTER = 8, 9, 10, 11
"""File descriptors of a cell's first process."""
SORRY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
    b"Retry-After: 30\r\nSiteferry-Part: cell\r\nConnection: close\r\n\r\n"
    b"This clone does not start; siteferry.log says why.\n"
)


class State(StrEnum):
    """Where a cell is in its life."""

    ASLEEP = "asleep"
    WAITING = "waiting"
    """Somebody came, but as many cells are awake as may be, or its last start came to nothing."""
    AWAKE = "awake"
    STOPPING = "stopping"
    GONE = "gone"


class Cell:
    """Holds the sockets of one clone for as long as it is there. Everything happens in the launcher's one thread."""

    def __init__(
        self, settings: CellSettings, clone_id: str, *, groups: MemoryGroups, admit: Callable[[Cell], bool]
    ) -> None:
        """`admit` says whether it may wake now. Raises OSError when the clone has no files."""
        self.settings, self.clone_id = settings, clone_id
        self.clone = Path(settings.clones) / clone_id
        self.account = Account.of(self.clone)
        self.state = State.ASLEEP
        self.seen = self.woken = 0.0
        self.full = False
        """Whether it holds more bytes than it may."""
        self.cut_off = False
        """Whether its database alone does."""
        self.files_bytes = 0
        """Bytes of its files when they were last counted."""
        self.database_bytes = 0
        self.directory = write_configuration(settings, clone_id, self.account.gid, plain=self._plain)
        self.path = str(settings.web_socket(clone_id))
        make_directory(Path(self.path).parent, mode=0o755)  # the edge opens it to see whether the clone is there
        self._web = _listen(self.path, mode=0o666)
        self._log = CellLog(self.directory / "log", self.account, clone_id)
        self._busy = Busy()
        self.fetched_bytes = 0
        """Those of them that were fetched from the source."""
        self._helpers: list[Helper] = [egress(settings, clone_id, self.account, self.directory)]
        fetching = media(settings, clone_id, self.account, self.directory, others=self._others)
        if fetching:
            _own_folder(self.clone / FETCHED, self.account)
            self._helpers.append(fetching)
        self._groups, self._admit = groups, admit
        self._process: Process | None = None
        self._init: int | None = None
        self._failures = 0
        self._gone = asyncio.Event()
        self._watch()

    @property
    def awake(self) -> bool:
        """Whether there are processes of it."""
        return self._process is not None

    def wake(self) -> None:
        """Start it, unless it is awake."""
        if self.state not in {State.ASLEEP, State.WAITING}:
            return
        self._unwatch()
        try:
            self._start()
        except OSError as error:
            log.error("%s can not be started: %s", self.clone_id, error)
            self._again()

    def sleep(self) -> None:
        """Stop it in order: requests that run are answered, those that come wait for the next start."""
        if self.state is not State.AWAKE:
            return
        self.state = State.STOPPING
        if self._init is None:
            self._kill()
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._init, signal.SIGQUIT)
        asyncio.get_running_loop().call_later(STOP_SECONDS, self._kill_if_stopping, self._process)

    async def end(self) -> None:
        """End everything of it at once and give up its sockets."""
        self._unwatch()
        self.state = State.GONE
        if self._process:
            self._kill()
            await self._gone.wait()
        for helper in self._helpers:
            await helper.close()
        self._web.close()
        self._log.close()
        with suppress(FileNotFoundError):
            os.unlink(self.path)
            os.rmdir(os.path.dirname(self.path))

    def weigh(self, database: int) -> None:
        """Say how many bytes its database has, beside its files; a change of what that allows it counts from the next
        start, which comes at once."""
        most, self.database_bytes = self.settings.max_bytes, database
        now = (self.files_bytes + database > most, database > most)
        if now != (self.full, self.cut_off):
            if any(now):
                held = f"{self.files_bytes} bytes in files and {database} in its database"
                what = "has no database any more" if now[1] else "can not write files any more"
                log.warning("%s holds %s, more than it may: it %s", self.clone_id, held, what)
            self.full, self.cut_off = now
            self.sleep()

    def take_turns(self) -> None:
        """Stand behind others while it keeps a processor busy; to be called every few seconds."""
        if self._process:
            self._busy.look(self.clone_id, self._process.pid)

    def _others(self) -> int | None:
        """Bytes of the clone but for what was fetched; None when it holds more than it may."""
        return None if self.full else self.files_bytes - self.fetched_bytes + self.database_bytes

    @property
    def _plain(self) -> bool:
        return walls(self.settings) is Walls.NONE

    def _watch(self) -> None:
        self.state = State.ASLEEP
        asyncio.get_running_loop().add_reader(self._web, self._somebody_came)

    def _unwatch(self) -> None:
        asyncio.get_running_loop().remove_reader(self._web)

    def _somebody_came(self) -> None:
        self._unwatch()
        self.state = State.WAITING
        if self._admit(self):
            self.wake()

    def _start(self) -> None:
        # Whoever the files belong to now: a clone may have been made anew.
        self.account = Account.of(self.clone)
        write_configuration(self.settings, self.clone_id, self.account.gid, plain=self._plain)
        for name in ("cache", "web") if self._plain else ("cache",):
            _own_folder((self.directory if name == "web" else self.clone) / name, self.account)
        limits = {"memory": self.settings.memory, "processes": self.settings.processes}
        prefix = entering(self._groups.enter(self.clone_id, **limits))
        php = _listen(str(self.directory / "php.sock"), mode=0o600, owner=self.account)
        # PHP-FPM's children wait in accept: one that is told EAGAIN instead ends, and its master forks without end.
        php.setblocking(True)
        report, theirs = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        files = {0: null, 1: null, 2: self._log.descriptor, WEB: self._web.fileno(), PHP: php.fileno(), INFO: theirs}
        try:
            with filter_file(self.settings) as filtered:
                number = None if filtered is None else FILTER
                files |= {} if filtered is None else {FILTER: filtered}
                command = cell_command(
                    self.settings,
                    self.clone_id,
                    self.account,
                    read_only=self.full,
                    filtered=number,
                    database=not self.cut_off,
                )
                command = [*prefix, *turns.behind(turns.WORK), *command]
                self._process = Process.start(command, files=files, ended=self._ended)
        except BaseException:
            os.close(report)
            raise
        finally:
            php.close()
            os.close(theirs)
            os.close(null)
        self._busy = Busy()
        self.state, self.woken = State.AWAKE, time.monotonic()
        self.seen = self.woken
        if self._plain:
            os.close(report)
            self._init = os.pidfd_open(self._process.pid)
        else:
            os.set_blocking(report, False)
            asyncio.get_running_loop().add_reader(report, self._reported, report, bytearray())

    def _reported(self, report: int, said: bytearray) -> None:
        """bubblewrap says, in pieces, which process is the cell's first one."""
        data = os.read(report, 4096)
        said += data
        with suppress(ValueError, KeyError, OSError):
            first = int(json.loads(said)["child-pid"])
            if self._process and self._init is None:
                self._init = os.pidfd_open(first)
                turns.put([first], turns.WORK)
        if not data:
            asyncio.get_running_loop().remove_reader(report)
            os.close(report)

    def _ended(self, code: int) -> None:
        """bubblewrap is gone; the cell is when its first process is, which the kernel lets go last."""
        if self._init is None:
            self._over(code)
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._init, signal.SIGKILL)
        asyncio.get_running_loop().add_reader(self._init, self._first_ended, code)

    def _first_ended(self, code: int) -> None:
        assert self._init is not None
        asyncio.get_running_loop().remove_reader(self._init)
        os.close(self._init)
        self._init = None
        self._over(code)

    def _over(self, code: int) -> None:
        lived = time.monotonic() - self.woken
        wanted = self.state is not State.AWAKE
        self._process = None
        self._groups.leave(self.clone_id)
        if self.state is State.GONE:
            self._gone.set()
            return
        if wanted or lived > QUICK_DEATH:
            if not wanted:
                log.warning("%s ended by itself (%s)", self.clone_id, code)
            self._failures = 0
            self._watch()
        else:
            log.warning("%s did not start (%s)", self.clone_id, code)
            self._again()

    def _again(self) -> None:
        """After a start that came to nothing: wait longer each time; visitors are told when it stays so."""
        self._failures += 1
        self.state = State.WAITING
        pause = min(LONGEST_PAUSE, 0.2 * 3.0 ** (self._failures - 1))
        if self._failures >= TRIES:
            _apologise(self._web)
        asyncio.get_running_loop().call_later(pause, self._watch_again)

    def _watch_again(self) -> None:
        if self.state is State.WAITING:
            self._watch()

    def _kill(self) -> None:
        if self.state is State.AWAKE:
            self.state = State.STOPPING
        if self._process:
            self._process.kill()

    def _kill_if_stopping(self, process: Process | None) -> None:
        if process is not None and process is self._process and self.state is State.STOPPING:
            log.warning("%s did not stop within %g s: killed", self.clone_id, STOP_SECONDS)
            process.kill()


def _listen(path: str, *, mode: int, owner: Account | None = None) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        os.chmod(path, mode)
        if owner and os.geteuid() == 0:
            os.chown(path, owner.uid, owner.gid)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _own_folder(path: Path, account: Account) -> None:
    """A folder of the clone's, in a directory only we can write to."""
    path.mkdir(mode=0o700, exist_ok=True)
    facts = os.lstat(path)
    if os.geteuid() == 0 and stat.S_ISDIR(facts.st_mode) and facts.st_uid != account.uid:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _apologise(listener: socket.socket) -> None:
    for _ in range(BACKLOG):
        try:
            visitor, _ = listener.accept()
        except OSError:
            return
        with visitor, suppress(OSError):
            visitor.setblocking(False)
            visitor.send(SORRY)
            visitor.shutdown(socket.SHUT_WR)
            visitor.recv(65536)
