"""Who is connected to this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from services.status import metrics
from services.status.live import frames
from services.status.live.hub import Hub
from services.status.live.session import Session

WATCH_EVERY = 0.5


class Registry:
    """The live sessions of this process."""

    def __init__(self) -> None:
        self._sessions: set[Session] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def sessions(self) -> list[Session]:
        """Who is here now."""
        return list(self._sessions)

    @contextmanager
    def member(self, session: Session, transport: str) -> Iterator[None]:
        """Count a session as connected."""
        self._sessions.add(session)
        self._empty.clear()
        metrics.CONNECTIONS.labels(transport).inc()
        try:
            yield
        finally:
            self._sessions.discard(session)
            if not self._sessions:
                self._empty.set()
            metrics.CONNECTIONS.labels(transport).dec()
            session.end()

    async def announce(self, hub: Hub) -> None:
        """Tell everybody when the streams are lost and when they are back. Never ends."""
        current = True
        while True:
            await asyncio.sleep(WATCH_EVERY)
            if hub.current() is not current:
                current = hub.current()
                for session in list(self._sessions):
                    if session.greeted:
                        session.say(frames.upstream(current))

    async def goodbye(self, within: float) -> None:
        """Send everybody away with a time to come back; waits until they are gone, at most `within` seconds."""
        for session in list(self._sessions):
            session.goodbye()
        try:
            async with asyncio.timeout(within):
                await self._empty.wait()
        except TimeoutError:
            return
