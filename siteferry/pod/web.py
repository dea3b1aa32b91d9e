"""The part of a Pod that runs the site: nginx and PHP-FPM as in a cell of one machine, and the agent's scripts.

The Pod is the wall here: a container of its own without secrets, rights or network. Everything of the site's PHP runs
in it, also what the cloner asks for; so whatever it answers may be the site's word.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.cells import pod_layout
from shared.cells.isolation import Walls
from shared.lifecycle import stop_on_signals
from siteferry.embedded.cells.agents import Agents
from siteferry.embedded.cells.conversation import converse
from siteferry.embedded.cells.logs import CellLog
from siteferry.embedded.cells.recipe import write_configuration, write_runtime
from siteferry.embedded.cells.sandbox import Account, cell_command
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.cells.spawn import Process, reserve_low_numbers
from siteferry.embedded.cells.usage import MemoryGroups
from siteferry.embedded.servers.base import find_binary, make_directory
from siteferry.embedded.servers.phpfpm import BINARIES
from siteferry.pod.place import Place

WEB, PHP = 8, 9
BACKLOG = 511
MAX_SECONDS = 600.0


def settings_of(place: Place) -> CellSettings:
    """The one cell of this Pod."""
    fpm = os.path.realpath(find_binary(*BINARIES))
    return CellSettings(
        clones=str(pod_layout.CLONES),
        base=str(pod_layout.CELL),
        nginx=find_binary("nginx"),
        php_fpm=fpm,
        php_cli=os.path.realpath(find_binary(Path(fpm).name.replace("-fpm", ""), "php")),
        bwrap="",
        mariadb_socket=str(pod_layout.DATABASE_SOCKET),
        listen=f"{place.bracketed}:{pod_layout.WEB_PORT}",
        walls=Walls.NONE.value,
    )


class Web:
    """Both servers, and whoever runs the agent's scripts beside them."""

    def __init__(self, place: Place) -> None:
        self._place, self._settings = place, settings_of(place)
        self._account = Account(os.geteuid(), os.getegid())
        self._agents = Agents(self._settings, MemoryGroups())
        self._ended = asyncio.Event()
        self.code = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until a signal comes or one of the servers ends."""
        place, settings = self._place, self._settings
        write_runtime(settings)
        directory = write_configuration(settings, place.clone_id, self._account.gid, plain=True)
        make_directory(directory / "web", mode=0o700)
        cell_log = CellLog(directory / "log", self._account, place.clone_id)
        pod_layout.CONTROL.unlink(missing_ok=True)
        scripts = await asyncio.start_unix_server(self._converse, pod_layout.CONTROL, limit=1 << 20)
        os.chmod(pod_layout.CONTROL, 0o600)
        servers = self._start(directory, cell_log)
        waiting = [asyncio.create_task(event.wait()) for event in (stop, self._ended)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        scripts.close()
        if not self._ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(servers.pid, signal.SIGQUIT)  # requests that run are answered
            await self._ended.wait()

    def _start(self, directory: Path, cell_log: CellLog) -> Process:
        web = socket.create_server(
            (self._place.pod_ip, pod_layout.WEB_PORT),
            family=socket.AF_INET6 if ":" in self._place.pod_ip else socket.AF_INET,
            backlog=BACKLOG,
        )
        web.setblocking(False)
        path = directory / "php.sock"
        path.unlink(missing_ok=True)
        php = socket.socket(socket.AF_UNIX)
        php.bind(str(path))
        os.chmod(path, 0o600)
        php.listen(BACKLOG)
        null = os.open(os.devnull, os.O_RDWR)
        files = {0: null, 1: null, 2: cell_log.descriptor, WEB: web.fileno(), PHP: php.fileno()}
        command = cell_command(self._settings, self._place.clone_id, self._account, read_only=False, filtered=None)
        try:
            return Process.start(command, files=files, ended=self._over)
        finally:
            web.close()
            php.close()
            os.close(null)

    def _over(self, code: int) -> None:
        self.code = code
        self._ended.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As the launcher of one machine does, for one clone."""
        await converse(reader, writer, self._call)

    async def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        seconds = min(MAX_SECONDS, float(request["seconds"]))
        name, values = str(request["call"]), dict(request["input"])
        return {"output": await self._agents.call(self._place.clone_id, self._account, name, values, seconds)}


async def _run() -> int:
    web = Web(Place())
    async with stop_on_signals() as stop:
        await web.run(stop)
    return web.code


def main() -> None:
    """Serve the site."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    reserve_low_numbers()
    sys.exit(asyncio.run(_run()) and 1)
