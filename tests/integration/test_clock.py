"""A worker whose clock is wrong: what it schedules comes when it was meant to, by the server's clock."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.bus import connection
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import Retry, now
from shared.contract.subjects import EventType, Lane
from shared.settings import Settings
from tests.integration.gateway_process import running_nats

JOB = "clone-0k3v9x2m7c1p5t8w"
HOUR = 3600.0


class WrongClock:
    """The time module of somebody whose clock is off."""

    def __init__(self, off: float) -> None:
        self._off = off

    def time(self) -> float:
        return time.time() + self._off

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    directory = Path(tempfile.mkdtemp(prefix="siteferry-"))
    try:
        with running_nats(directory / "nats") as (server, _):
            settings = Settings(nats_url=server.url, nats_token_file=server.token_file)
            async with connect(settings, service="test") as connected:
                await streams.install(connected.js)
                yield connected
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("off", [-HOUR, 0.0, HOUR])
async def test_a_schedule_fires_after_the_time_it_was_given(
    bus: Bus, off: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "time", WrongClock(off))
    retry = Retry(job_id=JOB, kind="clone", lane=Lane.NORMAL, attempt=2)
    began = time.monotonic()
    await bus.schedule(retry, slot=EventType.SCHEDULE_RETRY, at=now() + timedelta(seconds=off + 3))
    assert bus.skew == pytest.approx(-off, abs=2)
    deadline = began + 30
    while (await bus.js.stream_info("CLONES", subjects_filter=f"clone.retry.normal.{JOB}")).state.subjects is None:
        assert time.monotonic() < deadline, "it does not fire"
        await asyncio.sleep(0.1)
    assert time.monotonic() - began > 1.5, "not at once"
