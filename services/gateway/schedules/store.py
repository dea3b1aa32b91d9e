"""Schedules in their bucket, and the server's own schedules (ADR-51) that fire for them.

The record is what counts: it is stored before the server's schedule and removed before it. One without the other is put
right by whoever looks next.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from nats.js.errors import BadRequestError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from services.gateway import reader
from services.gateway.schedules.record import Schedule
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.api_keys import tenant_token
from shared.contract.subjects import schedule_all, schedule_due, schedule_of
from shared.contract.timetable import TIMETABLE
from shared.ids import is_schedule_id
from shared.log import get

log = get(__name__)

STREAM = f"KV_{streams.SCHEDULES}"
PREFIX = f"$KV.{streams.SCHEDULES}."
PATTERN, ZONE, TARGET = "Nats-Schedule", "Nats-Schedule-Time-Zone", "Nats-Schedule-Target"
REFUSED = {10189: "cron", 10223: "timezone"}
"""What nats-server says of a schedule it does not take."""

Entry = tuple[str, str]
"""A tenant's token and a schedule's id."""


class NotTaken(ValueError):
    """nats-server does not take a schedule; the argument names the field."""


@dataclass(frozen=True)
class Kept:
    """A schedule and its revision in the bucket."""

    schedule: Schedule
    revision: int


class ScheduleStore:
    """Methods raise nats errors when NATS can not be reached."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def create(self, schedule: Schedule) -> Kept:
        """Store a new one. Raises KeyWrongLastSequenceError when it is there already."""
        revision = await (await self._bucket()).create(_key(schedule.entry), _encoded(schedule))
        return Kept(schedule, revision)

    async def change(self, kept: Kept, schedule: Schedule) -> Kept:
        """Put it in place of what was read. Raises KeyWrongLastSequenceError when that has changed meanwhile."""
        revision = await (await self._bucket()).update(_key(schedule.entry), _encoded(schedule), last=kept.revision)
        return Kept(schedule, revision)

    async def forget(self, schedule: Schedule) -> None:
        """Remove it and its login for good, then what fires for it."""
        await (await self._bucket()).purge(_key(schedule.entry))
        await self.unplan(schedule.entry)

    async def get(self, tenant: str, schedule_id: str) -> Kept | None:
        """A tenant's schedule as the bucket's leader has it."""
        kept = await self.at((tenant_token(tenant), schedule_id)) if is_schedule_id(schedule_id) else None
        return None if kept is None or kept.schedule.tenant != tenant else kept

    async def at(self, entry: Entry) -> Kept | None:
        """The schedule of an entry as the bucket's leader has it."""
        found = await reader.newest_at_leader(self._bus.js, STREAM, PREFIX + _key(entry))
        schedule = _read(found.data) if found else None
        return None if found is None or schedule is None else Kept(schedule, found.seq)

    async def of(self, tenant: str) -> list[Schedule]:
        """A tenant's schedules, oldest first."""
        found = [schedule for _, _, schedule in await self.changed(1, tenant)]
        mine = [schedule for schedule in found if schedule is not None and schedule.tenant == tenant]
        return sorted(mine, key=lambda schedule: (schedule.created_at, schedule.id))

    async def head(self) -> int:
        """The sequence of the bucket's last change."""
        return (await self._bus.js.stream_info(STREAM)).state.last_seq

    async def changed(self, start: int, tenant: str | None = None) -> list[tuple[int, Entry, Schedule | None]]:
        """Sequence, entry and schedule of what is there from a sequence on; None for what was removed."""
        pattern = f"{tenant_token(tenant) if tenant is not None else '*'}.*"
        found = []
        stored = reader.read(self._bus.nc, STREAM, PREFIX + pattern, start=start)
        async with aclosing(stored) as messages:  # type: ignore[type-var]
            async for message in messages:
                token, _, schedule_id = message.subject.removeprefix(PREFIX).partition(".")
                found.append((message.seq, (token, schedule_id), _read(message.data)))
        return found

    # --- what fires

    async def plan(self, schedule: Schedule) -> None:
        """Have the server fire for it, in place of what fired before. Raises NotTaken when it will not."""
        plan = schedule.plan
        headers = {PATTERN: plan.pattern, ZONE: plan.timezone, TARGET: schedule_due(*schedule.entry)}
        try:
            await self._bus.js.publish(schedule_of(*schedule.entry), b"", headers=headers)
        except BadRequestError as error:
            if error.err_code in REFUSED:
                raise NotTaken(REFUSED[error.err_code]) from None
            raise

    async def unplan(self, entry: Entry) -> None:
        """Let nothing fire for it any more, and drop what has."""
        await self._bus.js.purge_stream(TIMETABLE, subject=schedule_all(*entry))

    async def planned(self) -> dict[Entry, tuple[str, str]]:
        """Pattern and time zone of every schedule the server has."""
        found = {}
        for stored in await reader.read_all(self._bus.nc, TIMETABLE, schedule_of("*", "*")):
            _, _, token, schedule_id = stored.subject.split(".")
            found[token, schedule_id] = (stored.headers.get(PATTERN, ""), stored.headers.get(ZONE, ""))
        return found

    async def fire(self, entry: Entry) -> None:
        """Say that it is due, where the server did not."""
        await self._bus.js.publish(schedule_due(*entry), b"")

    async def _bucket(self) -> KeyValue:
        return await self._bus.bucket(streams.SCHEDULES)


def _key(entry: Entry) -> str:
    return ".".join(entry)


def _encoded(schedule: Schedule) -> bytes:
    return schedule.model_dump_json().encode()


def _read(data: bytes) -> Schedule | None:
    if not data:  # what is left of a removed one
        return None
    try:
        return Schedule.model_validate_json(data)
    except ValidationError:
        log.error("skipped a schedule that can not be read")
        return None
