"""A client that never gives up: it reconnects, resumes where it was, and checks the rules of the protocol meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

PING_EVERY = 0.5
DEAD_AFTER = 2.5
"""Seconds without a word after which a connection is given up; browsers wait for two missed pongs."""


@dataclass
class Seen:
    """What one client knows of one job."""

    seq: int = -1
    n: int = -1
    epoch: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    ended: str = ""
    """The terminal state that was told last."""

    def take(self, frame: dict[str, Any]) -> None:
        """Follow a frame. Raises AssertionError when the server broke a rule."""
        if frame["type"] == "snap":
            if frame["epoch"] == self.epoch:
                assert frame["seq"] >= self.seq, "a snapshot from before what was shown"
            self.seq, self.n, self.epoch, self.job = frame["seq"], frame["n"], frame["epoch"], frame["job"]
        elif frame["type"] == "ev":
            assert frame["seq"] > self.seq, "a change came twice or out of order"
            merged = frame.get("merged", 0)
            assert frame["n"] - merged <= self.n + 1, f"a gap that was not said: {self.n} -> {frame['n']} ({merged})"
            self.seq, self.n, self.job = frame["seq"], frame["n"], frame["event"]["job"]
        elif frame["type"] == "end":
            assert frame["seq"] == self.seq
            self.ended = frame["state"]


class Follower:
    """Watches jobs through anything."""

    def __init__(self, url: str, job_ids: list[str], dice: random.Random) -> None:
        self.jobs = {job_id: Seen() for job_id in job_ids}
        self.connections = 0
        self.snapshots = 0
        self.changes = 0
        self._url = url
        self._dice = dice

    async def run(self) -> None:
        """For ever; raises AssertionError at the first broken rule."""
        while True:
            with suppress(OSError, TimeoutError, websockets.WebSocketException):
                async with asyncio.timeout(DEAD_AFTER * 4) as opening:
                    async with websockets.connect(self._url, compression=None, close_timeout=0.1) as socket:
                        opening.reschedule(None)
                        self.connections += 1
                        await self._follow(socket)
            await asyncio.sleep(self._dice.uniform(0.05, 0.4))

    async def _follow(self, socket: ClientConnection) -> None:
        await socket.send('{"type":"hello","v":1}')
        for job_id, seen in self.jobs.items():
            after = {"after": {"seq": seen.seq, "epoch": seen.epoch}} if seen.epoch else {}
            await socket.send(json.dumps({"type": "sub", "id": job_id, "job": job_id, **after}))
        pinging = asyncio.create_task(self._ping(socket))
        try:
            while True:
                async with asyncio.timeout(DEAD_AFTER):
                    frame = json.loads(await socket.recv())
                if frame.get("id") in self.jobs:
                    assert frame["type"] != "err", frame
                    self.snapshots += frame["type"] == "snap"
                    self.changes += frame["type"] == "ev"
                    self.jobs[frame["id"]].take(frame)
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)

    async def _ping(self, socket: ClientConnection) -> None:
        for k in itertools.count():
            await asyncio.sleep(PING_EVERY)
            await socket.send(json.dumps({"type": "ping", "k": k}))
