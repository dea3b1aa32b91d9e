"""How much room the log takes, what one job leaves in it, and how long the rest will last."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.subjects import KINDS, EventType, every

TIMEOUT = 10.0
DAY = 86_400.0


@dataclass
class LogSize:
    """Bytes on disk, whole."""

    used: int = 0
    limit: int = 0
    streams: dict[str, int] = field(default_factory=dict)
    """Bytes of each stream and bucket, largest first."""
    jobs: int = 0
    """Jobs the log knows."""
    bytes_a_job: int = 0
    """What a job leaves in all of it, on average."""
    bytes_a_day: int = 0
    """The growth since the log's oldest message."""
    days_left: float | None = None
    """Until it is full at this pace, when nothing ages out; None when it hardly grows."""

    @property
    def percent(self) -> float:
        """How full the store is."""
        return round(100 * self.used / self.limit, 1) if self.limit > 0 else 0.0


async def log_size(bus: Bus, *, limit: int = 0) -> LogSize:
    """Measure. `limit`: bytes the store may take, where the account has no limit of its own.

    Raises nats errors when NATS is away, NotFoundError when it holds nothing of ours."""
    account = await _ask(bus, "INFO")
    found = LogSize(used=int(account["storage"]), limit=int(account["limits"]["max_storage"]))
    if found.limit <= 0:
        found.limit = limit
    first: list[datetime] = []
    newest: list[datetime] = []
    for name in streams.expected():
        info = await bus.js.stream_info(name)
        found.streams[name] = info.state.bytes
        if name in streams.STREAMS.values() and info.state.messages:
            raw = await _ask(bus, f"STREAM.INFO.{name}")
            first.append(_time(raw["state"]["first_ts"]))
            newest.append(_time(raw["state"]["last_ts"]))
    for kind in KINDS:
        info = await bus.js.stream_info(streams.STREAMS[kind], subjects_filter=every(kind, EventType.REQUESTED))
        found.jobs += len(info.state.subjects or {})
    found.streams = dict(sorted(found.streams.items(), key=lambda pair: -pair[1]))
    found.bytes_a_job = found.used // found.jobs if found.jobs else 0
    if first:
        days = max((max(newest) - min(first)).total_seconds() / DAY, 1 / 24)
        found.bytes_a_day = int(found.used / days)
        if found.bytes_a_day and found.limit > 0:
            found.days_left = round(max(0, found.limit - found.used) / found.bytes_a_day, 1)
    return found


def _time(text: str) -> datetime:
    head, _, rest = text.partition(".")
    return datetime.fromisoformat(f"{head.removesuffix('Z')}.{rest.removesuffix('Z')[:6]:0<6}+00:00")


async def _ask(bus: Bus, api: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await bus.nc.request(f"$JS.API.{api}", b"", timeout=TIMEOUT)).data)
    return answer
