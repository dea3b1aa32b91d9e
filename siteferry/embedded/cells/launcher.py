"""The launcher itself: finds the clones, lets cells wake and makes them sleep, answers the cloner."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.cells.names import database_name
from shared.ids import is_job_id
from siteferry.embedded.cells.agents import Agents
from siteferry.embedded.cells.cell import Cell, State
from siteferry.embedded.cells.conversation import converse
from siteferry.embedded.cells.leftovers import end_leftovers
from siteferry.embedded.cells.origins import FETCHED
from siteferry.embedded.cells.recipe import write_runtime
from siteferry.embedded.cells.sandbox import WRITABLE, Account, as_account
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.cells.spawn import reserve_low_numbers
from siteferry.embedded.cells.usage import MemoryGroups, connections, database_bytes
from siteferry.embedded.servers.base import make_directory

log = logging.getLogger("cells")

TICK = 5.0
"""Seconds between two looks at who is connected; the edge keeps its connections longer than this."""
MEASURE_EVERY = 60.0
MAX_REQUEST = 262_144
MAX_SECONDS = 600.0


class Launcher:
    """All cells of one machine."""

    def __init__(self, settings: CellSettings) -> None:
        self.settings = settings
        self.cells: dict[str, Cell] = {}
        self._groups = MemoryGroups()
        self._agents = Agents(settings, self._groups)
        self._queue: list[Cell] = []
        self._measuring: set[str] = set()
        self._measured: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until a signal comes; then every cell is stopped."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._prepare()
        self._find_clones()
        server = await asyncio.start_unix_server(self._converse, str(self.settings.control), limit=MAX_REQUEST)
        os.chmod(self.settings.control, 0o600)
        log.info("ready, %d clones, %s", len(self.cells), self.settings.walls)
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TICK)
                self._tick()
        finally:
            server.close()
            await asyncio.gather(*(cell.end() for cell in self.cells.values()))

    def _find_clones(self) -> None:
        for clone in sorted(Path(self.settings.clones).iterdir()):
            if is_job_id(clone.name) and (clone / "wp-config.php").exists():
                self._try_ensure(clone.name)

    def _prepare(self) -> None:
        make_directory(Path(self.settings.base), mode=0o711)
        if left := end_leftovers(str(self.settings.http_sockets), str(self.settings.directory(""))):
            log.warning("ended %d processes of cells that outlived their launcher", len(left))
        for folder in (self.settings.http_sockets, self.settings.directory("")):
            shutil.rmtree(folder, ignore_errors=True)
            make_directory(folder, mode=0o711)
        write_runtime(self.settings)
        self.settings.control.unlink(missing_ok=True)

    # what cells ask

    def _admit(self, cell: Cell) -> bool:
        """Whether a cell may wake now; else it is remembered, and room is made."""
        if sum(other.awake for other in self.cells.values()) < self.settings.awake:
            return True
        self._queue.append(cell)
        self._make_room()
        return False

    def _make_room(self) -> None:
        """Put the cell to sleep that nobody has used for the longest time, if there is one without visitors."""
        now = connections()
        idle = [cell for cell in self.cells.values() if cell.state is State.AWAKE and not now.get(cell.path)]
        if idle:
            min(idle, key=lambda cell: cell.seen).sleep()

    def _tick(self) -> None:
        now, busy = time.monotonic(), connections()
        for cell in self.cells.values():
            if cell.state is not State.AWAKE:
                continue
            cell.take_turns()
            if busy.get(cell.path):
                cell.seen = now
            elif now - cell.seen > self.settings.idle_seconds:
                cell.sleep()
        self._serve_queue()
        for clone_id, cell in self.cells.items():
            if not (cell.awake or cell.full):
                continue
            cell.weigh(self._database_bytes(clone_id))
            if now - self._measured.get(clone_id, 0.0) > MEASURE_EVERY:
                self._measured[clone_id] = now
                self._begin(self._measure(cell))

    def _serve_queue(self) -> None:
        while self._queue:
            cell = self._queue[0]
            if cell.state is State.WAITING:
                if sum(other.awake for other in self.cells.values()) >= self.settings.awake:
                    self._make_room()
                    asyncio.get_running_loop().call_later(0.2, self._serve_queue)
                    return
                cell.wake()
            self._queue.pop(0)

    async def _measure(self, cell: Cell) -> None:
        """How many bytes a clone's files have, counted by its own account."""
        counted = (*WRITABLE, FETCHED)
        folders = [str(cell.clone / name) for name in counted if (cell.clone / name).is_dir()]
        command = [*as_account(cell.account), "du", "--summarize", "--block-size=1", "--one-file-system", "--total"]
        with suppress(OSError, ValueError, LookupError, TimeoutError):
            process = await asyncio.create_subprocess_exec(
                *command, "--", *folders, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd="/"
            )
            output, _ = await asyncio.wait_for(process.communicate(), MEASURE_EVERY)
            sizes = {name: int(size) for size, _, name in (line.partition(b"\t") for line in output.splitlines())}
            cell.files_bytes, cell.fetched_bytes = sizes[b"total"], sizes.get(os.fsencode(cell.clone / FETCHED), 0)
            cell.weigh(self._database_bytes(cell.clone_id))

    def _database_bytes(self, clone_id: str) -> int:
        data = self.settings.mariadb_data
        return database_bytes(Path(data) / database_name(clone_id)) if data else 0

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what the cloner asks

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(reader, writer, self._obey, welcome=lambda visitor: _peer(visitor) in {0, os.geteuid()})

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = request["op"]
        if operation == "status":
            return self._status()
        clone_id = str(request["clone"])
        if not is_job_id(clone_id):
            raise ValueError(f"not a clone id: {clone_id}")
        if operation == "forget":
            await self._forget(clone_id)
        elif operation == "ensure":
            await self._ensure(clone_id)
        elif operation == "wake":
            self.cells[clone_id].wake()
        elif operation == "sleep":
            self.cells[clone_id].sleep()
        elif operation == "agent":
            return {"output": await self._agent(clone_id, request)}
        else:
            raise ValueError(f"no such operation: {operation}")
        return {}

    async def _ensure(self, clone_id: str) -> None:
        cell = self.cells.get(clone_id)
        if cell and cell.account != Account.of(cell.clone):
            await self._forget(clone_id)
        if clone_id not in self.cells:
            self.cells[clone_id] = Cell(self.settings, clone_id, groups=self._groups, admit=self._admit)

    def _try_ensure(self, clone_id: str) -> None:
        try:
            self.cells[clone_id] = Cell(self.settings, clone_id, groups=self._groups, admit=self._admit)
        except OSError as error:
            log.warning("%s can not be served: %s", clone_id, error)

    async def _forget(self, clone_id: str) -> None:
        await self._agents.end(clone_id)
        if cell := self.cells.pop(clone_id, None):
            await cell.end()
        self._measured.pop(clone_id, None)
        shutil.rmtree(self.settings.directory(clone_id), ignore_errors=True)

    async def _agent(self, clone_id: str, request: dict[str, Any]) -> dict[str, Any]:
        await self._ensure(clone_id)
        account = self.cells[clone_id].account
        seconds = min(MAX_SECONDS, float(request["seconds"]))
        return await self._agents.call(clone_id, account, str(request["call"]), dict(request["input"]), seconds)

    def _status(self) -> dict[str, Any]:
        cells = {
            name: {"state": cell.state, "full": cell.full, "cut_off": cell.cut_off} for name, cell in self.cells.items()
        }
        return {"walls": self.settings.walls, "memory_limited": self._groups.available, "cells": cells}


def _peer(writer: asyncio.StreamWriter) -> int:
    connection = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])


def main(settings_file: str) -> None:
    """Entry point of `python -m siteferry.embedded.cells`."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    reserve_low_numbers()
    asyncio.run(Launcher(CellSettings.read(Path(settings_file))).run())
