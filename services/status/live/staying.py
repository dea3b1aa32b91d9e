"""Whether live clients may still be here: one look over all of them, again and again.

A client whose key was revoked, rotated or has expired goes within two seconds, one whose browser signed out within some
more. While nobody can tell (NATS is away), it may stay as long as what was known last holds; then it goes, too, and
comes back when that is over.
"""

from __future__ import annotations

import asyncio
import time

from services.status.access import OPEN, UNREADABLE, Doorman, Grant
from services.status.live import frames
from services.status.live.registry import Registry
from services.status.live.session import Session
from shared.secrets.api_keys import TRUSTED

LOOK_EVERY = 0.5
SESSIONS_EVERY = 5.0
"""Seconds between looks at whether a browser has signed out: each is a question of its own."""


class Staying:
    """Sends away whom nothing entitles to be here any more."""

    def __init__(self, doorman: Doorman, registry: Registry) -> None:
        self._doorman = doorman
        self._registry = registry
        self._sessions: dict[str, tuple[float, float, bool]] = {}
        """Of browsers' sessions: when they were last asked about, when last answered, and whether they had ended."""

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Once over everybody."""
        here = [(session, session.grant) for session in self._registry.sessions()]
        kept = {grant.session for _, grant in here if grant is not None}
        self._sessions = {secret: known for secret, known in self._sessions.items() if secret in kept}
        verdicts: dict[tuple[str, str | None], int | None] = {}
        for session, grant in here:
            if grant is None or grant is OPEN or not grant.principal.key:
                continue
            which = (grant.principal.key, grant.session)
            if which not in verdicts:
                verdicts[which] = await self._verdict(grant)
            self._send_away(session, verdicts[which])

    def _send_away(self, session: Session, code: int | None) -> None:
        if code == frames.RESTART:
            session.goodbye()
        elif code is not None:
            for sub in list(session.subs):  # what waits to be sent is not for it any more
                session.unsubscribe(sub)
            session.close(code)

    async def _verdict(self, grant: Grant) -> int | None:
        """The close code; None: it may stay."""
        try:
            now = await self._doorman.keys.holder(grant.principal.key)
        except UNREADABLE:
            return frames.RESTART
        if now is None or now.tenant != grant.principal.tenant:
            return frames.UNAUTHENTICATED
        return None if grant.session is None else await self._of_session(grant.session)

    async def _of_session(self, secret: str) -> int | None:
        clock = time.monotonic()
        asked, answered, ended = self._sessions.get(secret, (clock, clock, False))
        if clock - asked >= SESSIONS_EVERY:
            asked = clock
            try:
                ended = await self._doorman.by_session(secret) is None
                answered = clock
            except UNREADABLE:
                pass
        self._sessions[secret] = (asked, answered, ended)
        if ended:
            return frames.UNAUTHENTICATED
        return frames.RESTART if clock - answered > TRUSTED + SESSIONS_EVERY else None
