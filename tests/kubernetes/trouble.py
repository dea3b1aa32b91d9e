"""Something between us and the API server that can be told to make trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import create_default_context

import aiohttp
from aiohttp import web

Answer = Callable[[], web.Response]
PAGE = "<html><body><h1>504 Gateway Time-out</h1></body></html>"


def busy(seconds: int) -> Answer:
    """What API priority and fairness says."""
    return lambda: web.Response(status=429, headers={"Retry-After": str(seconds)}, text="too many requests")


def page() -> web.Response:
    """What a load balancer says."""
    return web.Response(status=504, text=PAGE, content_type="text/html")


class Trouble:
    """Passes everything on, but for the answers that were ordered."""

    def __init__(self, behind: str, authority: Path) -> None:
        self._behind = behind
        self._trust = create_default_context(cafile=authority)
        self.ordered: list[Answer | str] = []
        """The next answers to what is no watch: one of its own, `silent`, `lost` (carried out, but not told)."""
        self.ordered_watches: list[Answer | str] = []
        """The next answers to watches: one of its own, or `page`: a page of HTML among the events."""
        self.seen: list[str] = []
        """Method and path of every request."""
        self.watches: set[web.StreamResponse] = set()
        self.url = ""

    def cut(self) -> int:
        """Break every watch there is, in the middle; how many."""
        cut = [watch for watch in self.watches if watch._req and watch._req.transport]
        for watch in cut:
            watch._req.transport.abort()  # type: ignore[union-attr]
        return len(cut)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path}")
        orders = self.ordered_watches if "watch" in request.query else self.ordered
        order = orders.pop(0) if orders else None
        if callable(order):
            return order()
        if order == "silent":
            await asyncio.sleep(3600)
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        timeout = aiohttp.ClientTimeout()
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                request.method,
                self._behind + request.raw_path,
                headers=headers,
                data=await request.read(),
                ssl=self._trust,
            ) as answer,
        ):
            if order == "lost":
                await answer.read()
                request.transport.abort()  # type: ignore[union-attr]
                return web.Response()
            passed = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await passed.prepare(request)
            if orders is self.ordered_watches:
                self.watches.add(passed)
            try:
                if order == "page":
                    await passed.write(PAGE.encode() + b"\n")
                async for chunk in answer.content.iter_any():
                    await passed.write(chunk)
                await passed.write_eof()
            except ConnectionError:
                pass  # it was cut
            finally:
                self.watches.discard(passed)
            return passed


@asynccontextmanager
async def trouble(behind: str, authority: Path) -> AsyncIterator[Trouble]:
    """In front of the API server at `behind`, plain HTTP on loopback."""
    maker = Trouble(behind, authority)
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", maker.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    maker.url = f"http://{host}:{port}"
    try:
        yield maker
    finally:
        await runner.cleanup()
