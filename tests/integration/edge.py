"""Caddy as the product runs it, before a gateway; and a proxy before that which loses patience."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager

from siteferry.embedded.servers.caddy import Caddy
from siteferry.embedded.servers.caddy_config import edge_config
from siteferry.embedded.servers.process import running
from tests.integration.house import place


@contextmanager
def caddy_before(gateway_port: int, status_port: int | None = None, origins: Collection[str] = ()) -> Iterator[Caddy]:
    """The one origin of the product, with this gateway behind it, and this status service."""
    with place() as home:
        caddy = Caddy(
            home / "caddy",
            lambda c: edge_config(
                port=c.port,
                cells=home,
                gateway=f"127.0.0.1:{gateway_port}",
                status=f"127.0.0.1:{status_port or gateway_port}",
                admin_socket=c.admin_socket,
                storage=c.storage,
                origins=origins,
            ),
        )
        with running(caddy):
            yield caddy


class Impatient:
    """Forwards connections, and cuts each that has brought no answer for so many seconds."""

    def __init__(self, target: int, seconds: float) -> None:
        self.target, self.seconds = target, seconds
        self.port = 0
        self.cut = 0
        """Connections it lost patience with."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        asking = asyncio.create_task(self._pump(reader, back))
        try:
            while True:
                async with asyncio.timeout(self.seconds):
                    chunk = await there.read(65536)
                if not chunk:
                    break
                writer.write(chunk)
                await writer.drain()
        except TimeoutError:
            self.cut += 1
        except OSError:
            pass
        finally:
            asking.cancel()
            for end in (writer, back):
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)


@asynccontextmanager
async def impatient(target: int, seconds: float) -> AsyncIterator[Impatient]:
    """Such a proxy, on a port of its own."""
    proxy = Impatient(target, seconds)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
