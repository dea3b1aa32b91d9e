"""Keeps child processes running: ordered start, restart with backoff, ordered stop, no orphan ever."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from shared.lifecycle import ended
from shared.standing import Standing, works
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers.base import Server, ServerError
from siteferry.embedded.servers.process import kill_group

READ = 65536
LAST_LINES = 15
PROBE_EVERY = 2.0
"""Seconds between two questions whether a child that is ready still answers."""


@dataclass(frozen=True)
class Backoff:
    """Seconds before a dead child is started again. Only one that never gets ready waits longer each time."""

    first: float = 0.5
    longest: float = 30.0
    steady_after: float = 10.0
    """One that was ready for so long is started again at once."""

    def pause(self, failures: int, ready_for: float | None) -> float:
        """`failures`: starts in a row that came to nothing. `ready_for`: None for one that never was."""
        if ready_for is None:
            return float(min(self.longest, self.first * 2 ** min(max(0, failures - 1), 30)))
        return 0.0 if ready_for >= self.steady_after else self.first


class Child:
    """One server under supervision. `keep` is its whole life; `stop` ends it in order, `kill` at once."""

    def __init__(self, server: Server, log: MergedLog, backoff: Backoff, changed: Callable[[], None]) -> None:
        self.server = server
        self.pid: int | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when ready for the first time; `ServerError` when the first start fails."""
        self.answers = False
        """Whether it answered when it was asked last."""
        self.starts = 0
        """How often it has begun to answer."""
        self._log, self._backoff, self._changed = log, backoff, changed
        self._stop = asyncio.Event()
        self._last: list[str] = []
        self._answered_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Future[None]:
        """Start keeping it; returns `ready`."""
        self._task = asyncio.create_task(self._keep_or_tell(), name=f"keep {self.server.name}")
        return self.ready

    @property
    def standing(self) -> Standing:
        """What others may know of it."""
        server = self.server
        return Standing(self.pid, self.starts, self.answers, server.needed_by_jobs, server.problem)

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
        failures = 0
        while not self._stop.is_set():
            await self._prepare()
            if self._stop.is_set():
                return
            self._answered_at = None
            try:
                ended = await self._run_once()
            except OSError as error:  # no memory, no process number, or its program is just being replaced
                ended = f"it could not be started: {error.strerror}"
            ready_for = None if self._answered_at is None else clock() - self._answered_at
            if self._stop.is_set():
                return
            if not self.ready.done():
                raise ServerError(f"{self.server.name} did not start ({ended}). Its last words:\n{self._tail()}")
            failures = failures + 1 if ready_for is None else 0
            pause = self._backoff.pause(failures, ready_for)
            when = f"in {pause:g} s" if pause else "at once"
            self._log.say(f"{self.server.name} died ({ended}), starting again {when}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _prepare(self) -> None:
        try:
            await asyncio.to_thread(self.server.prepare)
        except (ServerError, OSError) as error:
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
        watcher = asyncio.create_task(self._watch(exited))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({exited, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not exited.done():
            await self._terminate(process, exited)
        kill_group(process.pid)  # what a dead master leaves behind
        self.pid = None
        self._turned(answers=False)
        stopping.cancel()
        await ended(watcher)
        await asyncio.wait({reader}, timeout=1.0)
        await ended(reader)
        return words(exited.result())

    async def _terminate(self, process: asyncio.subprocess.Process, exited: asyncio.Task[int]) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(self.server.stop_signal)
        await asyncio.wait({exited}, timeout=self.server.stop_timeout)
        if not exited.done():
            self._log.say(f"{self.server.name} did not stop within {self.server.stop_timeout:g} s: killed")
            kill_group(process.pid)
            await exited

    async def _watch(self, exited: asyncio.Task[int]) -> None:
        """Poll until ready, then ask from time to time whether it still answers."""
        if await self._wait_ready(exited):
            await self._watch_answers(exited)

    async def _watch_answers(self, exited: asyncio.Task[int]) -> None:
        """A process that lives but says nothing any more is as good as dead: told, and killed after its time."""
        server, clock = self.server, asyncio.get_running_loop().time
        silent_since = None
        while not exited.done():
            await asyncio.sleep(PROBE_EVERY)
            asked_at = clock()
            if await self._answers():
                if not self.answers:
                    self._turned(answers=True)
                    self._log.say(f"{server.name} answers again")
                silent_since = None
                continue
            silent_since = asked_at if silent_since is None else silent_since
            if self.answers and asked_at > silent_since:
                self._turned(answers=False)
                self._log.say(f"{server.name} does not answer{server.problem and f': {server.problem}'}")
            if clock() - silent_since > server.hang_timeout and self.pid and server.restart_helps():
                self._log.say(f"{server.name} did not answer for {server.hang_timeout:g} s: killed")
                kill_group(self.pid)
                return

    async def _answers(self) -> bool:
        """One probe. A process stopped by a signal may have listeners that still accept, so it is not even asked."""
        pid = self.pid
        return pid is not None and works(pid) and await asyncio.to_thread(self.server.answers)

    def _turned(self, *, answers: bool) -> None:
        if answers and not self.answers:
            self.starts += 1
        self.answers = answers
        self._changed()

    async def _wait_ready(self, exited: asyncio.Task[int]) -> bool:
        """Poll until ready; a child that never gets there is killed, which the keeper then reports."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.server.ready_timeout
        while not exited.done():
            if await asyncio.to_thread(self.server.is_ready):
                self._answered_at = loop.time()
                self._turned(answers=True)
                if self.ready.done():
                    self._log.say(f"{self.server.name} is back")
                elif not exited.done():
                    self.ready.set_result(None)
                return True
            if loop.time() > deadline:
                self._log.say(f"{self.server.name} was not ready within {self.server.ready_timeout:g} s")
                if self.pid:
                    kill_group(self.pid)
                return False
            await asyncio.sleep(0.05)
        return False

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
        stops: Sequence[Sequence[str]] = (),
    ) -> None:
        """`stops`: names of those that stop first, group by group; the rest stops in reverse order of the stages."""
        self.log = log
        self.stop_requested = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever a child has got a new process."""
        self._stops = stops
        self._stages = [[Child(server, log, backoff, self._changed) for server in stage] for stage in stages]

    @property
    def pids(self) -> dict[str, int]:
        """Living children by name."""
        return {child.server.name: child.pid for stage in self._stages for child in stage if child.pid}

    @property
    def standings(self) -> dict[str, Standing]:
        """How all of them stand, by name."""
        return {child.server.name: child.standing for stage in self._stages for child in stage}

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
        children = {child.server.name: child for stage in self._stages for child in stage}
        first = [[children.pop(name) for name in group if name in children] for group in self._stops]
        rest = [[child for child in stage if child.server.name in children] for stage in reversed(self._stages)]
        for group in [*first, *rest]:
            await asyncio.gather(*(child.stop() for child in group))

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
