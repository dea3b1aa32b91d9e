"""Who submits how: counted by key and form of call, so that an operator sees who still has to move.

Counted in memory and added to a bucket now and then, by every gateway; one that is killed loses what it has not added.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import BaseModel, Field

from services.gateway import metrics, reader
from services.gateway.problems import UNAVAILABLE
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import now
from shared.log import get

log = get(__name__)

Form = Literal["async", "waiting", "v1"]
"""`async`: answered at once; `waiting`: of POST /clone and /restore, once the job has ended; `v1`: /api/v1."""
EVERY = 5.0
DAYS = 30
TRIES = 5

Tally = dict[str, Counter[str]]
"""Form, and day as ISO 8601 writes it -> calls."""


class CallsOfKey(BaseModel):
    """How one API key submitted jobs in one form."""

    key: str = Field(description="Name of the API key; `local` without keys.")
    form: Form
    count: int = Field(description=f"Submissions of the last {DAYS} days.")
    last_day: str = Field(description="The day of the last one, in UTC.")


class CallsAnswer(BaseModel):
    """Who submitted how; who still has to move comes first."""

    days: int = DAYS
    calls: list[CallsOfKey]


class Calls:
    """Counts, and adds what was counted to the bucket."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._fresh: dict[tuple[str, str], Tally] = defaultdict(lambda: defaultdict(Counter))

    def count(self, tenant: str, key: str, form: Form) -> None:
        """One submission."""
        metrics.CALLS.labels(form, key).inc()
        self._fresh[tenant, key][form][today()] += 1

    async def run(self) -> None:
        """Add what was counted, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(EVERY)
                await self._add_all()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._add_all()

    async def _add_all(self) -> None:
        for who in list(self._fresh):
            tally = self._fresh.pop(who)
            try:
                await self._add(*who, tally)
            except UNAVAILABLE as error:
                log.debug("calls are added later", error=repr(error))
                _merge(self._fresh[who], tally)

    async def _add(self, tenant: str, key: str, tally: Tally) -> None:
        bucket, name = await self._bus.bucket(streams.CALLS), f"{_digest(tenant)}.{_digest(key)}"
        for _ in range(TRIES):
            try:
                entry = await bucket.get(name)
                known, revision = _read_as(entry.value), entry.revision or 0
            except KeyNotFoundError as missing:
                known, revision = {}, (missing.entry.revision or 0) if missing.entry else 0
            merged: Tally = defaultdict(Counter)
            _merge(merged, known)
            _merge(merged, tally)
            value = json.dumps({"key": key, "forms": _recent(merged)}).encode()
            try:
                await bucket.update(name, value, last=revision)
            except KeyWrongLastSequenceError:
                continue  # another gateway added meanwhile
            return
        raise TimeoutError("others add all the time")

    async def of(self, tenant: str) -> CallsAnswer:
        """What the tenant's keys did."""
        found: dict[tuple[str, Form], Counter[str]] = defaultdict(Counter)
        entries = f"$KV.{streams.CALLS}.{_digest(tenant)}.*"
        async for stored in reader.read(self._bus.nc, f"KV_{streams.CALLS}", entries):
            for form, days in _recent(_read_as(stored.data)).items():
                found[json.loads(stored.data)["key"], form] += Counter(days)  # type: ignore[index]
        for (whose, key), tally in self._fresh.items():
            for form, days in tally.items() if whose == tenant else ():
                found[key, form] += days  # type: ignore[index]
        calls = [
            CallsOfKey(key=key, form=form, count=days.total(), last_day=max(days))
            for (key, form), days in found.items()
            if days
        ]
        order = {"v1": 0, "waiting": 1, "async": 2}
        return CallsAnswer(calls=sorted(calls, key=lambda each: (order[each.form], -each.count, each.key)))


def today() -> str:
    return now().date().isoformat()


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def _read_as(value: bytes | None) -> Tally:
    try:
        forms: dict[str, dict[str, int]] = json.loads(value or b"{}").get("forms", {})
    except ValueError:
        return {}
    return {form: Counter(days) for form, days in forms.items()}


def _merge(into: Tally, more: Tally) -> None:
    for form, days in more.items():
        into.setdefault(form, Counter()).update(days)


def _recent(tally: Tally) -> dict[str, dict[str, Any]]:
    oldest = (datetime.now(UTC) - timedelta(days=DAYS)).date().isoformat()
    kept = {form: {day: count for day, count in days.items() if day >= oldest} for form, days in tally.items()}
    return {form: days for form, days in kept.items() if days}
