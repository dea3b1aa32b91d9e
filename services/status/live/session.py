"""One live client, whatever carries it: its subscriptions, what it still has to be sent, and how it ends."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterable

from services.status import metrics
from services.status.access import EVERYTHING, Grant, Scope
from services.status.live import frames
from services.status.live.hub import Hub, NotFound, Unavailable
from services.status.live.lists import Topic
from services.status.live.outbox import Change, Outbox
from services.status.live.wire import Wire, text_frame

PACE = 0.05
"""Least seconds between two flushes while only progress waits: what comes meanwhile is merged."""
RECONNECT_MS = (250, 5000)
"""Range in which clients are told to come back after a restart, so that they do not all come at once."""


class Subscription:
    """A viewer of one job or one list."""

    def __init__(self, session: Session, sub_id: str, *, job: str | None, topic: Topic | None) -> None:
        self.id = sub_id
        self.job = job
        self.topic = topic
        self.begun = False
        """Whether the client has what changes build upon."""
        self._quoted = frames.encode_text(sub_id)
        self._session = session

    def changed(self, change: Change) -> None:
        """Send a change, or queue it while it may not go at once."""
        if not self._session.scope.sees(change.tenant, change.job_id):
            return
        wire = self._session.express(urgent=change.merge is None) if self.begun else None
        if wire is not None:
            wire.push(change.frame(self._quoted))
            if change.ends is not None and self.job is not None:
                wire.push(text_frame(frames.end(self.id, change.seq, change.ends)))
            return
        box = self._session.outbox
        box.change(self.id, self._quoted, change)
        if change.ends is not None and self.job is not None:
            box.put(frames.end(self.id, change.seq, change.ends), sub=self.id)
        self._session.wake(urgent=change.merge is None)

    def outdated(self) -> None:
        """Ask the writer for a fresh snapshot."""
        self.begun = False
        self._session.outbox.forget(self.id)
        self._session.outbox.resync.add(self.id)
        self._session.wake(urgent=True)


class Session:
    """The state of one connection. Used from one event loop, by one reader and one writer."""

    def __init__(self, hub: Hub, scope: Scope = EVERYTHING, wire: Wire | None = None) -> None:
        self.name = secrets.token_hex(4)
        self.scope = scope
        """What this client may see; others' jobs do not exist for it."""
        self.grant: Grant | None = None
        """What it came in with; None: nothing yet."""
        self.outbox = Outbox()
        self.subs: dict[str, Subscription] = {}
        self.greeted = True
        """Whether the client has been welcomed; nothing that is for all is said to it before."""
        self.closing: int | None = None
        """Close code, once the session is to end after what is queued."""
        self._hub = hub
        self._wire = wire
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()
        self._flushed_at = 0.0

    def express(self, *, urgent: bool) -> Wire | None:
        """Where a change may be written at once: nothing waits before it, the client takes more, and it is time."""
        wire = self._wire
        if wire is None or self.closing is not None or not self.outbox.idle or not wire.clear():
            return None
        now = time.monotonic()
        if not urgent and now - self._flushed_at < PACE:
            return None
        self._flushed_at = now
        return wire

    def wake(self, *, urgent: bool) -> None:
        """There is something to send."""
        self._some.set()
        if urgent:
            self._urgent.set()

    def say(self, frame: str) -> None:
        """Queue a frame that is not about a subscription's changes."""
        self.outbox.put(frame)
        self.wake(urgent=True)

    def close(self, code: int) -> None:
        """End after what is queued."""
        if self.closing is None:
            self.closing = code
        self.wake(urgent=True)

    def goodbye(self) -> None:
        """The server stops: tell the client when to come back."""
        if self.closing is None:
            self.say(frames.bye(random.randint(*RECONNECT_MS)))
            self.close(frames.RESTART)

    async def subscribe(
        self, sub_id: str, *, job: str | None = None, topic: Topic | None = None, after: frames.Cursor | None = None
    ) -> None:
        """Begin a subscription: changes behind the cursor when they are still known, else a snapshot."""
        sub = self.subs[sub_id] = Subscription(self, sub_id, job=job, topic=topic)
        metrics.SUBSCRIPTIONS.inc()
        try:
            await self._begin(sub, after)
        except NotFound:
            self._refuse(sub, "not_found", "There is no such job.")
        except Unavailable:
            self._refuse(sub, "unavailable", "The job can not be read now. Try again in a moment.")

    def unsubscribe(self, sub_id: str) -> None:
        """End a subscription."""
        sub = self.subs.pop(sub_id, None)
        if sub is None:
            return
        metrics.SUBSCRIPTIONS.dec()
        self._leave(sub)
        self.outbox.forget(sub_id)

    def end(self) -> None:
        """End all of them."""
        for sub_id in list(self.subs):
            self.unsubscribe(sub_id)
        metrics.MERGED.inc(self.outbox.merged)

    async def due(self, timeout: float) -> list[str]:
        """The next frames to send; waits for some, at most `timeout` seconds. Empty when there are none."""
        return self.take() if await self.some(timeout) else []

    def take(self) -> list[str]:
        """The next frames to send. They have to be written before anything else is awaited, to keep their order."""
        taken = self.outbox.take()
        if not self.outbox.idle:
            self.wake(urgent=True)
        return taken

    async def some(self, timeout: float) -> bool:
        """Wait until there is something to take and the time has come for it; False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._some.wait()
        except TimeoutError:
            return False
        early = self._flushed_at + PACE - time.monotonic()
        if early > 0 and not self._urgent.is_set():
            try:
                async with asyncio.timeout(early):
                    await self._urgent.wait()
            except TimeoutError:
                pass
        self._flushed_at = time.monotonic()
        self._some.clear()
        self._urgent.clear()
        if not len(self.outbox):
            await self._catch_up()
        return True

    async def _catch_up(self) -> None:
        for sub_id in list(self.outbox.resync):
            sub = self.subs.get(sub_id)
            self.outbox.resync.discard(sub_id)
            if sub is None:
                continue
            metrics.RESYNCS.inc()
            try:
                await self._begin(sub, None)
            except NotFound:
                self._refuse(sub, "not_found", "There is no such job any more.")
            except Unavailable:
                self._refuse(sub, "unavailable", "The job can not be read now. Try again in a moment.")

    async def _begin(self, sub: Subscription, after: frames.Cursor | None) -> None:
        sub.begun = False
        if sub.topic is not None:
            records = await self._hub.watch_list(sub.topic, sub, self.scope.tenant)
            partial = sub.topic == "jobs" and self.scope.tenant is not None
            self._queue(sub, [frames.list_snap(sub.id, sub.topic, records, partial=partial)])
            return
        assert sub.job is not None
        channel = await self._hub.watch(sub.job, sub)
        assert channel.state is not None
        assert channel.state.job is not None
        if not self.scope.sees(channel.state.job.tenant, sub.job):
            raise NotFound(sub.job)
        epoch = self._hub.epoch(sub.job)
        missed = channel.missed(after.seq) if after is not None and after.epoch == epoch else None
        if missed is not None and self.subs.get(sub.id) is sub:
            for change in missed:
                sub.changed(change)
            sub.begun = True
            return
        job = channel.state.job
        last = [frames.end(sub.id, job.seq, job.status)] if job.status.terminal else []
        self._queue(sub, [frames.job_snap(sub.id, channel.state, epoch), *last])

    def _queue(self, sub: Subscription, texts: Iterable[str]) -> None:
        if self.subs.get(sub.id) is not sub:
            self._leave(sub)  # it was ended while it was being read
            return
        self.outbox.forget(sub.id)
        for text in texts:
            self.outbox.put(text, sub=sub.id)
        sub.begun = True
        self.wake(urgent=True)

    def _leave(self, sub: Subscription) -> None:
        if sub.topic is not None:
            self._hub.unwatch_list(sub.topic, sub)
        elif sub.job is not None:
            self._hub.unwatch(sub.job, sub)

    def _refuse(self, sub: Subscription, code: str, message: str) -> None:
        if self.subs.get(sub.id) is sub:
            self.unsubscribe(sub.id)
        self.say(frames.err(sub.id, code, message))
