"""What the log is made of goes away, or its disk fills up, while everything runs: told, and repaired."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.errors import Error as NatsError

from shared.bus.connection import Bus, connect
from shared.bus.log_size import log_size
from shared.bus.pull import direct
from shared.bus.upkeep import Upkeep
from shared.contract import streams
from shared.contract.jobs import Status
from shared.contract.subjects import Lane
from shared.settings import Settings
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers import Nats
from siteferry.embedded.supervisor import Backoff, Supervisor
from tests.engine.lab import Lab, lab
from tests.engine.light import Plan
from tests.integration.house import place
from tests.live.stack import eventually


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


async def test_a_queue_that_is_gone_is_told_made_again_and_not_asked_incessantly(engine: Lab) -> None:
    upkeep = Upkeep(engine.bus)
    async with engine.worker() as worker:
        first = await engine.submit(Plan())
        await engine.ended(first)
        await engine.bus.js.delete_consumer("CLONES", streams.work_consumer("clone", Lane.NORMAL))
        waiting = await engine.submit(Plan())

        async def told() -> bool:
            return worker.problems == ["the queue normal of clone jobs is gone"]

        await eventually(told, timeout=30, what="the problem")
        asked = worker._puller._count
        await asyncio.sleep(2)
        assert worker._puller._count - asked < 40, "it spins"
        assert await upkeep.look() == ["CLONES/clone-work-normal"]
        assert (await engine.ended(waiting)).status is Status.COMPLETED
        await eventually(lambda: not worker.problems, timeout=15, what="the end of the problem")
    assert engine.ledger.did(first, "make") == ["s1", "s2", "s3"], "the new consumer's echoes changed nothing"


@pytest.mark.parametrize("bucket", [streams.LIMITS, streams.LEASES, streams.CHECKPOINTS])
async def test_a_bucket_that_is_gone_is_made_again(engine: Lab, bucket: str) -> None:
    await engine.bus.js.delete_key_value(bucket)
    async with engine.worker():
        job_id = await engine.submit(Plan())
        await asyncio.sleep(1)
        assert await Upkeep(engine.bus).look() == [f"KV_{bucket}"]
        assert (await engine.ended(job_id, timeout=30)).status is Status.COMPLETED


async def test_upkeep_says_once_what_was_gone_and_that_the_store_fills_up(engine: Lab) -> None:
    said: list[str] = []
    upkeep = Upkeep(engine.bus, limit=2000, say=said.append)
    await upkeep.look()
    assert said == [], "the first time is the installation"
    await engine.bus.js.delete_stream(streams.OUTGOING)
    await upkeep.look()
    await upkeep.look()
    assert len(said) == 1
    assert streams.OUTGOING in said[0]
    for _ in range(2):
        await engine.bus.js.publish(streams.PROBE_SUBJECT, bytes(1700))
        await upkeep.look()
    assert len(said) == 2, "told once while it stays so"
    assert "% full" in said[1]


async def test_the_size_of_the_log_is_told_by_job(engine: Lab) -> None:
    async with engine.worker():
        for job_id in [await engine.submit(Plan(ticks=4, pause=0.2)) for _ in range(4)]:
            await engine.ended(job_id)
    size = await log_size(engine.bus, limit=10 * 1000**3)
    assert size.jobs == 4
    assert size.used == sum(size.streams.values())
    assert size.bytes_a_job == size.used // 4
    assert size.days_left


async def test_only_milestones_stay_of_a_job(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(ticks=6, pause=0.4))
        await engine.ended(job_id, timeout=30)
    passing: list[str] = []
    lasting: list[str] = []
    async for message in direct(engine.bus.nc, "CLONES", seq=1, subject=f"clone.*.*.{job_id}"):
        headers = message.headers or {}
        (passing if "Nats-TTL" in headers else lasting).append(headers["Nats-Subject"].split(".")[1])
    assert len(passing) >= 4
    assert set(passing) == {"progress"}
    assert {"requested", "started", "progress", "completed"} <= set(lasting)
    assert lasting.count("progress") <= 2 * 3, "the begin and the end of each of three steps"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    with place() as home:
        (home / "nats" / "store").mkdir(parents=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(home / "nats" / "store")])
        if mounted.returncode:
            pytest.skip("no mounts here")
        try:
            yield home
        finally:
            subprocess.run(["umount", "-l", str(home / "nats" / "store")], check=True)


class SmallNats(Nats):
    """Impatient, and content with little room."""

    room = 8 << 20
    hang_timeout = 3.0


async def stored(bus: Bus) -> bool:
    with suppress(NatsError, TimeoutError):
        await bus.js.publish(streams.PROBE_SUBJECT, b"!", timeout=1)
        return True
    return False


async def test_a_store_that_was_full_writes_again_once_there_is_room(small_disk: Path) -> None:
    server = SmallNats(small_disk / "nats")
    log = MergedLog(small_disk / "siteferry.log", sys.stderr, quiet=True)
    supervisor = Supervisor([[server]], log, backoff=Backoff(first=0.1))
    ready = asyncio.Event()
    running = asyncio.create_task(supervisor.run(ready.set))
    try:
        await asyncio.wait_for(ready.wait(), 30)
        async with connect(Settings(nats_url=server.url, nats_token_file=server.token_file), service="test") as bus:
            await streams.install_when_ready(bus.js)
            assert await stored(bus)
            ballast = server.store / "ballast"
            subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=1M"], capture_output=True)
            for _ in range(300):
                with suppress(NatsError, TimeoutError):
                    await bus.js.publish("clone.progress.normal.x", bytes(200_000), timeout=0.3)
                if supervisor.standings["nats"].problem:
                    break
            await eventually(lambda: not supervisor.standings["nats"].ready, timeout=30, what="the trouble to be seen")
            assert "store" in supervisor.standings["nats"].problem
            pid = supervisor.pids["nats"]
            await asyncio.sleep(5)
            assert supervisor.pids["nats"] == pid, "a new start would not help while the disk is full"
            ballast.unlink()
            await eventually(lambda: supervisor.pids.get("nats", pid) != pid, timeout=30, what="a new start")
            await eventually(lambda: stored(bus), timeout=30, what="writing again")
            await eventually(lambda: supervisor.standings["nats"].ready, timeout=30, what="the end of the trouble")
            assert supervisor.standings["nats"].problem == ""
    finally:
        supervisor.stop_requested.set()
        await running
        log.close()
