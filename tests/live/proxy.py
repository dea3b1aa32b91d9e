"""A bad network between clients and a server: connections are slow, go dead without a word, or are reset."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 8192
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class FaultProxy:
    """Forwards TCP connections to a port, and does to them what its dice say. Nothing once `calm`."""

    target: int
    dice: random.Random
    calm: bool = False
    done: Counter[str] = field(default_factory=Counter)
    """Faults so far, by name."""
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side or a fault ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(back)
            pumps = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            self.done["refused"] += 1
        finally:
            self._tasks.discard(task)
            for end in ends:
                end.close()

    async def end(self) -> None:
        """End every connection."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK):
                await self._fault(sink)
                sink.write(data)
                await sink.drain()

    async def _fault(self, sink: asyncio.StreamWriter) -> None:
        """Perhaps something happens before the next bytes go on."""
        throw = 1.0 if self.calm else self.dice.random()
        if throw < 0.006:
            self.done["reset"] += 1
            sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            sink.transport.abort()
            raise ConnectionResetError
        if throw < 0.012:
            self.done["dead"] += 1
            await asyncio.sleep(3.0)  # nothing passes, and nobody is told
            raise ConnectionResetError
        if throw < 0.15:
            self.done["delay"] += 1
            await asyncio.sleep(self.dice.uniform(0.005, 0.25))


@asynccontextmanager
async def fault_proxy(target: int, seed: int) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port."""
    proxy = FaultProxy(target, random.Random(seed))
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
        await server.wait_closed()
