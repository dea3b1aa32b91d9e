"""Keeps child processes running: ordered start, restart with backoff, ordered stop, no orphan ever."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers.base import Server, ServerError
from siteferry.embedded.servers.process import kill_group

READ = 65536
LAST_LINES = 15


@dataclass(frozen=True)
class Backoff:
    """Seconds before a dead child is started again: doubling, forgotten after it has run for a while."""

    first: float = 1.0
    longest: float = 30.0
    steady_after: float = 60.0

    def pause(self, deaths: int) -> float:
        """`deaths` in a row, at least 1."""
        return float(min(self.longest, self.first * 2 ** min(deaths - 1, 30)))


class Child:
    """One server under supervision. `keep` is its whole life; `stop` ends it in order, `kill` at once."""

    def __init__(self, server: Server, log: MergedLog, backoff: Backoff, changed: Callable[[], None]) -> None:
        self.server = server
        self.pid: int | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when ready for the first time; `ServerError` when the first start fails."""
        self._log, self._backoff, self._changed = log, backoff, changed
        self._stop = asyncio.Event()
        self._last: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Future[None]:
        """Start keeping it; returns `ready`."""
        self._task = asyncio.create_task(self._keep_or_tell(), name=f"keep {self.server.name}")
        return self.ready

    async def stop(self) -> None:
        """Ask it to stop, wait, kill it after its deadline. Nothing of it is left afterwards."""
        self._stop.set()
        if self._task:
            await self._task

    def kill(self) -> None:
        """SIGKILL to its whole process group, now."""
        self._stop.set()
        if self.pid:
            kill_group(self.pid)

    async def _keep_or_tell(self) -> None:
        try:
            await self._keep()
        except Exception as error:  # whatever happens, nobody may wait for ever
            if self.ready.done():
                raise
            self.ready.set_exception(error)
        if not self.ready.done():
            self.ready.cancel()

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        deaths = 0
        while not self._stop.is_set():
            await self._prepare()
            if self._stop.is_set():
                return
            born = clock()
            ended = await self._run_once()
            if self._stop.is_set():
                return
            if not self.ready.done():
                raise ServerError(f"{self.server.name} did not start ({ended}). Its last words:\n{self._tail()}")
            deaths = 1 if clock() - born > self._backoff.steady_after else deaths + 1
            pause = self._backoff.pause(deaths)
            self._log.say(f"{self.server.name} died ({ended}), starting again in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _prepare(self) -> None:
        try:
            await asyncio.to_thread(self.server.prepare)
        except ServerError as error:
            if not self.ready.done():
                raise
            self._log.say(f"{self.server.name} can not be prepared: {error}")

    async def _run_once(self) -> str:
        """Start it and see it to its end; returns how it ended, in words."""
        output, ours = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.server.command(),
                env=self.server.env(),
                cwd=self.server.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=ours,
                stderr=ours,
                start_new_session=True,
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(ours)
        self.pid = process.pid
        self._changed()
        reader = asyncio.create_task(self._read(output))
        exited = asyncio.create_task(process.wait())
        watcher = asyncio.create_task(self._watch_ready(exited))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({exited, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not exited.done():
            await self._terminate(process, exited)
        kill_group(process.pid)  # what a dead master leaves behind
        self.pid = None
        for task in (watcher, stopping):
            task.cancel()
        await asyncio.wait({reader}, timeout=1.0)
        reader.cancel()
        await asyncio.gather(reader, watcher, stopping, return_exceptions=True)
        return words(exited.result())

    async def _terminate(self, process: asyncio.subprocess.Process, exited: asyncio.Task[int]) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(self.server.stop_signal)
        await asyncio.wait({exited}, timeout=self.server.stop_timeout)
        if not exited.done():
            self._log.say(f"{self.server.name} did not stop within {self.server.stop_timeout:g} s: killed")
            kill_group(process.pid)
            await exited

    async def _watch_ready(self, exited: asyncio.Task[int]) -> None:
        """Poll until ready; a child that never gets there is killed, which the keeper then reports."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.server.ready_timeout
        while not exited.done():
            if await asyncio.to_thread(self.server.is_ready):
                if self.ready.done():
                    self._log.say(f"{self.server.name} is back")
                elif not exited.done():
                    self.ready.set_result(None)
                return
            if loop.time() > deadline:
                self._log.say(f"{self.server.name} was not ready within {self.server.ready_timeout:g} s")
                if self.pid:
                    kill_group(self.pid)
                return
            await asyncio.sleep(0.05)

    async def _read(self, descriptor: int) -> None:
        """Log what comes through the pipe. Our own pipe, because asyncio's would keep `wait` from seeing the end of a
        process whose children still hold it."""
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        rest = b""
        try:
            while data := await stream.read(READ):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > READ:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._line(line)
            self._line(rest)
        finally:
            transport.close()

    def _line(self, raw: bytes) -> None:
        text = raw.decode(errors="replace").rstrip()
        if text:
            show = self.server.shows(text)
            self._last = [*self._last[-LAST_LINES:], text]
            self._log.write(self.server.name, text, show=show)

    def _tail(self) -> str:
        return "\n".join(f"  {line}" for line in self._last) or "  (it said nothing)"


class Supervisor:
    """Runs stages of servers until told to stop. Use from the main thread: the kernel ties children to it."""

    def __init__(
        self,
        stages: Sequence[Sequence[Server]],
        log: MergedLog,
        *,
        backoff: Backoff = Backoff(),
    ) -> None:
        self.log = log
        self.stop_requested = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever a child has got a new process."""
        self._stages = [[Child(server, log, backoff, self._changed) for server in stage] for stage in stages]

    @property
    def pids(self) -> dict[str, int]:
        """Living children by name."""
        return {child.server.name: child.pid for stage in self._stages for child in stage if child.pid}

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Start stage by stage, call `on_ready`, wait for `stop_requested`, stop in reverse order.

        Raises `ServerError` when something does not start; everything else has been stopped then.
        """
        try:
            for stage in self._stages:
                await self._start(stage)
            if not self.stop_requested.is_set():
                on_ready()
            await self.stop_requested.wait()
        finally:
            await self._stop()

    async def _start(self, stage: list[Child]) -> None:
        """Wait until all of the stage are ready, one has failed, or a stop is wanted."""
        if self.stop_requested.is_set():
            return
        starting = asyncio.gather(*(child.begin() for child in stage))
        stopping = asyncio.create_task(self.stop_requested.wait())
        both: list[asyncio.Future[Any]] = [starting, stopping]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _stop(self) -> None:
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))

    def kill(self) -> None:
        """End all children at once."""
        for stage in self._stages:
            for child in stage:
                child.kill()

    def _changed(self) -> None:
        self.on_change()


@asynccontextmanager
async def stop_by_signals(supervisor: Supervisor) -> AsyncIterator[None]:
    """Ctrl-C, SIGTERM or a closed terminal stop in order; the same again kills everything and us."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def on_signal(number: signal.Signals) -> None:
        if supervisor.stop_requested.is_set():
            supervisor.kill()
            os._exit(128 + number)
        supervisor.log.say("stopping; once more to stop at once")
        supervisor.stop_requested.set()

    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def words(code: int) -> str:
    """An exit status as people say it."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
