"""Many WebSocket clients in one process: each watches one job and notes how old every change is when it arrives.

They speak the protocol by hand on uvloop, so that on two cores the clients do not take what the servers are measured
with.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit

import uvloop

TEXT, PING, PONG = 0x1, 0x9, 0xA
STAMP = b'"time":"'
MERGED = b'"merged":'
STAMP_IN = 400
"""A change's time, and how many it stands for, are within so many bytes of its frame."""
AT_ONCE = 50
"""Clients that connect together."""


class Notes:
    """What all clients saw."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        """Of every event shown. Of those merged into one frame, which come evenly, only the last has its time in it."""
        self.frames = 0
        self.merged = 0
        self.bytes = 0

    def told(self) -> str:
        """As one line."""
        counts = {"frames": self.frames, "merged": self.merged, "bytes": self.bytes}
        return json.dumps({"ages": sorted(self.ages), **counts})

    def clear(self) -> None:
        """Forget it."""
        self.ages.clear()
        self.frames = self.merged = self.bytes = 0

    def frame(self, size: int, stamp: float, before: float, merged: int) -> None:
        """A change from `stamp` arrived, and with it the `merged` ones behind `before`."""
        now = time.time()
        self.ages += (now - before - (stamp - before) * nth / (merged + 1) for nth in range(1, merged + 1))
        self.ages.append(now - stamp)
        self.frames += 1
        self.merged += merged
        self.bytes += size


class Watcher(asyncio.Protocol):
    """One client."""

    def __init__(self, path: str, job_id: str, notes: Notes) -> None:
        self._path = path
        self._job_id = job_id
        self._notes = notes
        self._buffer = bytearray()
        self._upgraded = False
        self._last = time.time()
        """When the change shown last was made."""
        self.watching: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        key = "AAAAAAAAAAAAAAAAAAAAAA=="
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: fan-out\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, blank, rest = self._buffer.partition(b"\r\n\r\n")
            if not blank:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded, self._buffer = True, rest
            self._say(TEXT, b'{"type":"hello","v":1}')
            self._say(TEXT, json.dumps({"type": "sub", "id": "a", "job": self._job_id}).encode())
        at = 0
        while (end := self._frame(at)) is not None:
            at = end
        del self._buffer[:at]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.watching.done():
            self.watching.set_exception(error or ConnectionError("closed before the snapshot"))

    def _frame(self, at: int) -> int | None:
        """Take the frame that begins at `at`; where it ends, None when it is not all there."""
        buffer = self._buffer
        if len(buffer) < at + 2:
            return None
        size, begin = buffer[at + 1], at + 2
        if size == 126:
            size, begin = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, begin = int.from_bytes(buffer[at + 2 : at + 10]), at + 10
        if len(buffer) < begin + size:
            return None
        if buffer[at] & 0xF == PING:
            self._say(PONG, bytes(buffer[begin : begin + size]))
        else:
            self._text(begin, begin + size)
        return begin + size

    def _text(self, begin: int, end: int) -> None:
        head = self._buffer[begin : min(end, begin + STAMP_IN)]
        if not self.watching.done():
            if b'"snap"' in head:
                self.watching.set_result(None)
            return
        found = head.find(STAMP)
        if found >= 0:
            stamp = head[found + len(STAMP) : head.index(b'"', found + len(STAMP))].decode()
            made, more = datetime.fromisoformat(stamp).timestamp(), head.find(MERGED)
            merged = 0 if more < 0 else int(head[more + len(MERGED) : head.index(b",", more)])
            self._notes.frame(end - begin, made, self._last, merged)
            self._last = made

    def _say(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self._transport.write(bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked)


async def main(url: str, job_ids: list[str], count: int) -> None:
    where, notes, loop = urlsplit(url), Notes(), asyncio.get_running_loop()

    async def join(number: int) -> asyncio.Transport:
        def watcher() -> Watcher:
            return Watcher(where.path or "/", job_ids[number % len(job_ids)], notes)

        transport, protocol = await loop.create_connection(watcher, where.hostname, where.port)
        await protocol.watching
        return transport

    crowd: list[asyncio.Transport] = []
    for first in range(0, count, AT_ONCE):
        crowd += await asyncio.gather(*(join(number) for number in range(first, min(first + AT_ONCE, count))))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    notes.clear()
    await asyncio.to_thread(sys.stdin.readline)
    lost = sum(transport.is_closing() for transport in crowd)
    assert not lost, f"{lost} clients lost their connection"
    print(notes.told(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])))
