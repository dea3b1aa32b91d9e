"""What KEDA's nats-jetstream scaler reads from a real nats-server is the depth of our lanes.

The scaler (pkg/scalers/nats_jetstream_scaler.go) asks `/jsz?acc=<account>&consumers=true&config=true` and adds up
`num_pending` and `num_ack_pending` of the one consumer it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.contract.streams import STREAMS, work_consumer
from shared.contract.subjects import LANES, Lane
from shared.engine.depth import depth
from siteferry.embedded.servers import Nats, free_port, start
from tests.engine.lab import Lab, lab
from tests.engine.light import Plan
from tests.live.stack import NatsHouse, eventually

ACCOUNT = "$G"
DOC = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


class Watched(Nats):
    """With the monitoring port that KEDA needs."""

    monitor = 0

    def prepare(self) -> None:
        super().prepare()
        self.monitor = self.monitor or free_port()
        self.config_file.write_text(f'{self.config_file.read_text()}http: "127.0.0.1:{self.monitor}"\n')


class WatchedHouse(NatsHouse):
    server: Watched

    def __init__(self, directory: Path) -> None:
        self.server = Watched(directory / "nats")
        self.process = start(self.server)


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab(WatchedHouse) as made:
        yield made


def lag(engine: Lab, stream: str, consumer: str) -> int:
    """As the scaler computes it."""
    asked = {"acc": ACCOUNT, "consumers": "true", "config": "true"}
    answer = httpx2.get(f"http://127.0.0.1:{engine.house.server.monitor}/jsz", params=asked).json()
    (account,) = (one for one in answer["account_details"] if one["name"] == ACCOUNT)
    (details,) = (one for one in account["stream_detail"] if one["name"] == stream)
    found: dict[str, Any] = next(one for one in details["consumer_detail"] if one["name"] == consumer)
    return int(found["num_pending"]) + int(found["num_ack_pending"])


async def test_it_is_our_depth_while_jobs_wait_and_while_they_run(engine: Lab) -> None:
    held = [await engine.submit(Plan(steps=1, ticks=0, hold="s1")) for _ in range(5)]
    held += [await engine.submit(Plan(steps=1, ticks=0, hold="s1"), lane=Lane.LOW) for _ in range(2)]

    async def read() -> dict[Lane, int]:
        return {lane: lag(engine, STREAMS["clone"], work_consumer("clone", lane)) for lane in LANES}

    assert await read() == {Lane.HIGH: 0, Lane.NORMAL: 5, Lane.LOW: 2}
    async with engine.worker(slots=3):
        await eventually(lambda: len(engine.ledger.entries()) > 1, what="running jobs")
        ours = await depth(engine.bus, "clone")
        assert ours[Lane.NORMAL].running > 0, "jobs in workers' hands count"
        assert await read() == {lane: ours[lane].lag for lane in LANES}
        (engine.things / "go").touch()
        for job in held:
            await engine.ended(job)
    assert set((await read()).values()) == {0}


def test_the_triggers_in_the_documents_name_what_there_is() -> None:
    for lane in LANES:
        assert f"consumer: {work_consumer('clone', lane)}" in DOC
    assert DOC.count(f"stream: {STREAMS['clone']}, ") >= len(LANES)
