"""A client of the live protocol that keeps the rules: order, gaps, resume."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin

Frame = dict[str, Any]


class Live:
    """One connection, with what came on it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []

    async def say(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def next(self, timeout: float = 5.0) -> Frame:
        async with asyncio.timeout(timeout):
            frame: Frame = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def until(self, type_: str, timeout: float = 10.0, **fields: Any) -> Frame:
        """The next frame of a type (and with these fields); what comes before is kept in `frames`."""
        async with asyncio.timeout(timeout):
            while True:
                frame = await self.next(timeout)
                if frame["type"] == type_ and all(frame.get(key) == value for key, value in fields.items()):
                    return frame


@asynccontextmanager
async def live(url: str, *, hello: bool = True, origin: str | None = None, **options: Any) -> AsyncIterator[Live]:
    async with websockets.connect(
        url, origin=Origin(origin) if origin else None, compression=None, **options
    ) as socket:
        client = Live(socket)
        if hello:
            await client.say(type="hello", v=1)
            assert (await client.next())["type"] == "ready"
        yield client


def check_order(frames: list[Frame], sub: str) -> None:
    """Assert what every client relies on: one snapshot first, then changes in order, without a gap, without repeat."""
    seq = n = -1
    for frame in frames:
        if frame.get("id") != sub:
            continue
        if frame["type"] == "snap":
            assert frame["seq"] >= seq
            seq, n = frame["seq"], frame["n"]
        elif frame["type"] == "ev":
            assert frame["seq"] > seq, "a change came twice or out of order"
            assert frame["n"] - frame.get("merged", 0) <= n + 1, f"a gap: {n} -> {frame['n']}"
            seq, n = frame["seq"], frame["n"]
