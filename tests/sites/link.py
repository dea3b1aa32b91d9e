"""A slow, far link in user space: what goes through it is late and no faster than it carries.

    with SlowLink("127.0.0.2", farm.port, to=("127.0.0.1", farm.port), delay=0.02, rate=12_500_000) as link:
        ...                                      # all connections share the link; `link.carried` counts bytes

TCP itself stays fast here, so that connecting and acknowledging cost nothing: a request and its answer are late by
`delay` each, and both directions carry at most `rate` bytes a second, over all connections together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 65536
AHEAD = 0.05
"""Seconds of the link's capacity that wait in front of it, as in a router's buffer."""


@dataclass
class Direction:
    """One direction of the link."""

    delay: float
    rate: float
    free_at: float = 0.0
    carried: int = 0

    async def take(self, size: int) -> float:
        """Wait for room in front of the link; when the bytes are out at its other end, on the loop's clock."""
        clock = asyncio.get_running_loop().time
        while (ahead := self.free_at - clock() - AHEAD) > 0:
            await asyncio.sleep(ahead)
        self.free_at = max(self.free_at, clock()) + size / self.rate
        self.carried += size
        return self.free_at + self.delay


@dataclass
class SlowLink:
    """Context manager: listens at `host`:`port` and forwards to `to`. Raises OSError when it can not listen.

    delay  seconds, one way
    rate   bytes a second, each way
    """

    host: str
    port: int
    to: tuple[str, int]
    delay: float
    rate: float
    up: Direction = field(init=False)
    down: Direction = field(init=False)

    def __post_init__(self) -> None:
        self.up, self.down = Direction(self.delay, self.rate), Direction(self.delay, self.rate)
        self._open: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow-link", daemon=True)

    @property
    def carried(self) -> int:
        """Bytes that came from the far end."""
        return self.down.carried

    def __enter__(self) -> SlowLink:
        self._thread.start()
        try:
            self._server = self._run(asyncio.start_server(self._accept, self.host, self.port, limit=CHUNK))
        except OSError:
            self._stop()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _end(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await self._connect(near, back)
        self._open.discard(task)
        back.close()

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, there = await asyncio.open_connection(*self.to, limit=CHUNK)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(self.up, near, there))
                both.create_task(_carry(self.down, far, back))
        except* OSError:
            pass
        finally:
            there.close()


async def _carry(direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Everything that comes, late; then the end, late as well."""
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    clock = asyncio.get_running_loop().time

    async def arrive() -> None:
        while True:
            due, data = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - clock()))
            if not data:
                with suppress(OSError):
                    sink.write_eof()
                return
            sink.write(data)
            await sink.drain()

    async with asyncio.TaskGroup() as both:
        both.create_task(arrive())
        while data := await source.read(CHUNK):
            on_the_way.put_nowait((await direction.take(len(data)), data))
        on_the_way.put_nowait((clock() + direction.delay, b""))
