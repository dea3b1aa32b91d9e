"""The audit log, read: newest first, or what came after a place in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from services.gateway import reader
from services.gateway.reader import SUBJECTS_MAX, Stored
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.api_keys import tenant_token
from shared.contract.audit import Record
from shared.contract.events import now
from shared.contract.subjects import audit
from shared.log import get

log = get(__name__)

WINDOW, WINDOW_MOST = 1000, 20_000
"""Sequences read in one go: few at first, more where a tenant has little among others'."""
LOOKED_THROUGH = 200_000
"""Sequences looked through for one page."""
LATE = timedelta(minutes=15)
"""A record is stored at most this long after its call came: who waits for a job is answered after 10 minutes."""


@dataclass(frozen=True)
class Page:
    """Records, and where to go on; None: there is nothing more."""

    records: list[Record]
    next: int | None


@dataclass(frozen=True)
class Wish:
    """Which records."""

    tenant: str | None
    """None: of all."""
    fits: Callable[[Record], bool]
    since: datetime | None = None
    until: datetime | None = None

    @property
    def pattern(self) -> str:
        token = "*" if self.tenant is None else tenant_token(self.tenant)
        return audit(token, "*.*", "*")

    def wants(self, record: Record) -> bool:
        """Whether it is one of them."""
        return (
            (self.tenant is None or record.tenant == self.tenant)
            and (self.since is None or record.at >= self.since)
            and (self.until is None or record.at < self.until)
            and self.fits(record)
        )


class AuditLog:
    """Methods raise nats errors when the log can not be read."""

    def __init__(self, bus: Bus, *, timeout: float) -> None:
        self._bus, self._timeout = bus, timeout

    async def newest(self, wish: Wish, *, before: int | None, limit: int) -> Page:
        """The newest records stored before a sequence (None: of all), newest first."""
        state = (await self._bus.js.stream_info(streams.AUDIT)).state
        top = min(before or state.last_seq + 1, await self._end(wish, state.last_seq + 1))
        found: list[Record] = []
        window, bottom = WINDOW, max(top - LOOKED_THROUGH, state.first_seq)
        while top > bottom:
            low = max(bottom, top - window)
            stored = await self._window(wish.pattern, low, top)
            for message, record in reversed(await self._settled(stored)):
                if wish.since is not None and message.time < wish.since:
                    return Page(found, None)
                if wish.wants(record):
                    found.append(record)
                if len(found) == limit:
                    return Page(found, message.seq)
            window = window if len(stored) > WINDOW // 10 else min(WINDOW_MOST, window * 4)
            top = low
        return Page(found, top if top > state.first_seq else None)

    async def after(self, wish: Wish, seq: int, *, limit: int) -> Page:
        """What was stored after a sequence and has been answered, oldest first; `next` is never None."""
        found: list[Record] = []
        last = seq
        stored = reader.read(self._bus.nc, streams.AUDIT, wish.pattern, start=seq + 1, timeout=self._timeout)
        async with aclosing(stored) as messages:  # type: ignore[type-var]
            async for message in messages:
                record = _read(message)
                last = message.seq
                if record is not None and record.ended_at is not None and wish.wants(record):
                    found.append(record)
                if len(found) == limit or last - seq >= LOOKED_THROUGH:
                    break
        return Page(found, last)

    async def last(self) -> int:
        """The newest sequence."""
        return int((await self._bus.js.stream_info(streams.AUDIT)).state.last_seq)

    async def _end(self, wish: Wish, otherwise: int) -> int:
        """The first sequence that is surely too new."""
        if wish.until is None or wish.until > now():
            return otherwise
        try:
            surely = (wish.until + LATE).astimezone(UTC)
        except OverflowError:  # before the year 1
            return otherwise
        found = await reader.first_since(self._bus.nc, streams.AUDIT, surely, timeout=self._timeout)
        return otherwise if found is None else found

    async def _window(self, pattern: str, low: int, top: int) -> list[Stored]:
        found: list[Stored] = []
        stored = reader.read(self._bus.nc, streams.AUDIT, pattern, start=low, timeout=self._timeout)
        async with aclosing(stored) as messages:  # type: ignore[type-var]
            async for message in messages:
                if message.seq >= top:
                    break
                found.append(message)
        return found

    async def _settled(self, stored: list[Stored]) -> list[tuple[Stored, Record]]:
        """The records of these messages, each call once: of one that has been answered, not its beginning."""
        known = [(message, record) for message in stored if (record := _read(message)) is not None]
        ended = {message.subject for message, record in known if record.ended_at is not None}
        open_ = [message.subject for message, record in known if message.subject not in ended]
        for start in range(0, len(open_), SUBJECTS_MAX):
            asked = open_[start : start + SUBJECTS_MAX]
            newest = await reader.newest_of(self._bus.nc, streams.AUDIT, asked, timeout=self._timeout)
            begun = {message.subject: message.seq for message, _ in known}
            ended |= {message.subject for message in newest if message.seq > begun[message.subject]}
        return [each for each in known if each[1].ended_at is not None or each[0].subject not in ended]


def _read(message: Stored) -> Record | None:
    try:
        return Record.model_validate_json(message.data)
    except ValidationError:
        log.error("skipped a record of the audit log that can not be read", seq=message.seq)
        return None
