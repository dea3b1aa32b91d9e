"""When a schedule is due: a cron expression and a time zone. Pure: no await, no clock, no NATS.

nats-server fires; the instants are said here. So a firing that comes twice, late, or for an instant that was served
already is known for what it is, and so is one that never came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise, product
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

if TYPE_CHECKING:
    from cronsim import CronSim

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MINUTE, HOUR = 60, 3600
DAY = 24
FIELDS = 5
FIELD = re.compile(r"(?:\*|[0-9]{1,2}(?:-[0-9]{1,2})?)(?:/[0-9]{1,2})?")
NAMES = {
    "month": re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"),
    "day of the week": re.compile(r"sun|mon|tue|wed|thu|fri|sat"),
}
FIELD_NAMES = ("second", "minute", "hour", "day of the month", "month", "day of the week")
EXAMPLE = "write minute, hour, day of the month, month and day of the week, like 30 2 * * 1-5"


@dataclass(frozen=True)
class Plan:
    """An expression that was read, and its time zone."""

    pattern: str
    """Six fields, seconds first, as nats-server takes them."""
    timezone: str

    @classmethod
    def read(cls, cron: str, timezone: str) -> Plan:
        """Raises ValueError with a sentence for the person who wrote it."""
        from cronsim import CronSimError

        plan = cls(_pattern(cron), _zone(timezone))
        try:
            plan.following(datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(f"can not be read ({str(error).lower()}); {EXAMPLE}") from None
        return plan

    @staticmethod
    def check_zone(timezone: str) -> None:
        """Raises ValueError with a sentence when there is no such time zone."""
        _zone(timezone)

    def latest(self, at: datetime) -> datetime:
        """The last instant at or before this moment. Raises ValueError when there was none in 50 years."""
        # with a fraction of a second cronsim begins with the second itself
        before = self._simulated(at.replace(microsecond=max(at.microsecond, 1)), reverse=True)
        while (instant := _next(before)) > at:
            continue
        while (later := self.following(instant)) <= at:  # backwards it passes over an hour that clocks show twice
            instant = later
        return instant

    def following(self, at: datetime) -> datetime:
        """The first instant after this moment. Raises ValueError when there is none in 50 years."""
        after = self._simulated(at, reverse=False)
        while (instant := _next(after)) <= at:
            continue
        return instant

    def shortest(self) -> int:
        """Seconds between the two instants of a day, or of a day and the next one, that are closest."""
        read = self._simulated(datetime(2000, 1, 1, tzinfo=UTC), reverse=False)
        times = [minute * MINUTE + second for minute, second in product(sorted(read.minutes), sorted(read.seconds))]
        hours = sorted(read.hours)
        within = (later - sooner for sooner, later in pairwise(times))
        between = (
            (later - sooner) * HOUR - times[-1] + times[0] for sooner, later in pairwise([*hours, hours[0] + DAY])
        )
        return min([*within, *between])

    def _simulated(self, at: datetime, *, reverse: bool) -> CronSim:
        from cronsim import CronSim  # as every library that few calls need: a gateway without schedules never loads it

        # without seconds cronsim keeps what is due once a night from coming twice, or not at all, when clocks change
        fields = self.pattern.removeprefix("0 ")
        return CronSim(fields, at.astimezone(ZoneInfo(self.timezone)), reverse=reverse)


def _next(simulated: CronSim) -> datetime:
    instant = next(simulated, None)
    if instant is None:
        raise ValueError("names a day that never comes")
    return instant.astimezone(UTC)


def _pattern(cron: str) -> str:
    text = cron.strip().lower()
    if text.startswith("@every"):
        raise ValueError("can not begin with @every, which has no fixed times; write */30 * * * * for every half hour")
    fields = NAMED.get(text, text).replace("?", "*").split()
    if len(fields) == FIELDS:
        fields.insert(0, "0")
    if len(fields) != FIELDS + 1:
        raise ValueError(f"has {len(fields)} fields; {EXAMPLE}")
    for name, field in zip(FIELD_NAMES, fields, strict=True):
        _check_field(name, field)
    _check_days(fields[3], fields[5])
    return " ".join(fields)


def _check_field(name: str, field: str) -> None:
    plain = NAMES[name].sub("1", field) if name in NAMES else field
    if not all(FIELD.fullmatch(part) for part in plain.split(",")):
        raise ValueError(f"has “{field[:30]}” for the {name}, which is not understood; {EXAMPLE}")
    if name == FIELD_NAMES[-1] and re.search(r"(?<!/)\b7\b", plain):
        raise ValueError("names Sunday 7; write 0, or sun")
    if name == FIELD_NAMES[-1] and re.search(r"(?:^|,)[0-9]+/", plain):
        raise ValueError("has a step behind one day of the week; write where it ends, like 1-6/2")


def _check_days(of_month: str, of_week: str) -> None:
    """nats-server and cron read a star with a step beside another day in two ways."""
    if "*" not in (of_month, of_week) and ("*/" in of_month or "*/" in of_week):
        raise ValueError("names days of the month and of the week, one of them with */; list them, like 1,11,21")


def _zone(timezone: str) -> str:
    if timezone not in _zones():
        raise ValueError(f"“{timezone[:60]}” is no time zone; write it like Europe/Berlin or UTC")
    return timezone


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) | {"UTC"}
