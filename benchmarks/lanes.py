"""How soon a high job begins: behind 300 queued normal ones, from a slot being free to its first step, p50 and p99.

One worker with one slot, so that a high job always has to wait for the job that runs; one handed in after the other, in
the middle of a job each time. `kept` is the same with a slot kept for high: from its submission to its first step.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import CloneRequested
from shared.contract.jobs import CloneResult
from shared.contract.subjects import Kind, Lane
from shared.engine.worker import EngineSettings, JobContext, StepSpec, Worker
from shared.ids import new_id
from shared.secrets.vault import KeyRing, Vault
from shared.settings import Settings
from siteferry.embedded.servers.nats import Nats
from siteferry.embedded.servers.process import running

QUEUED = 300
HIGH = 200
WORK = 0.02
"""Seconds of a normal job."""


class Marks:
    """A workflow of one step that tells when a job of each lane began."""

    kind: Kind = "clone"

    def __init__(self) -> None:
        self.freed_at = 0.0
        """When a slot last became free."""
        self.began = {lane: asyncio.Event() for lane in Lane}
        self.waited_from = self.began_at = 0.0
        """Of the last high job: when the slot it got had become free, and when it began."""

    def steps(self, command: Any) -> Sequence[StepSpec]:
        return [StepSpec("work", "Working", 1, self._work)]

    async def _work(self, context: JobContext) -> None:
        if context.lane is Lane.HIGH:
            self.waited_from, self.began_at = self.freed_at, time.perf_counter()
        self.began[context.lane].set()
        await asyncio.sleep(0 if context.lane is Lane.HIGH else WORK)

    async def finish(self, context: JobContext) -> CloneResult:
        return CloneResult(
            clone_id=context.job_id, clone_url="", admin_url="", username="", sealed_password="", expires_at=None
        )

    async def cleanup(self, context: JobContext) -> None:
        """Nothing was made."""


class Slots(Worker):
    """A worker that tells when a slot became free."""

    marks: Marks

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.marks.freed_at = time.perf_counter()
        super()._ended(task)


def run() -> dict[str, Any]:
    """Milliseconds."""
    directory = Path(tempfile.mkdtemp(prefix="siteferry-"))
    directory.chmod(0o711)
    try:
        with running(Nats(directory / "nats")) as nats:
            behind = asyncio.run(_measure(nats, directory, slots=1))
            kept = asyncio.run(_measure(nats, directory, slots=2))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return {
        "high_start_p50_ms": percentile(behind, 50),
        "high_start_p99_ms": percentile(behind, 99),
        "high_start_max_ms": round(max(behind) * 1000, 1),
        "kept_slot_p50_ms": percentile(kept, 50),
        "kept_slot_p99_ms": percentile(kept, 99),
        "high_jobs": HIGH,
        "queued": QUEUED,
    }


def percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1] * 1000, 1)


async def _measure(nats: Nats, directory: Path, *, slots: int) -> list[float]:
    settings = Settings(nats_url=nats.url, nats_token_file=nats.token_file)
    async with connect(settings, service="benchmark") as bus:
        await streams.install(bus.js)
        await bus.js.purge_stream(streams.STREAMS["clone"])
        vault = Vault(await bus.bucket(streams.VAULT), KeyRing.load(directory / "vault.key"))
        marks, stop = Marks(), asyncio.Event()
        for _ in range(QUEUED):
            await _submit(bus, Lane.NORMAL)
        worker = Slots(bus, vault, marks, slots=slots, settings=EngineSettings())
        worker.marks = marks
        working = asyncio.create_task(worker.run(stop))
        try:
            return [await _one(bus, marks, kept=slots > 1) for _ in range(HIGH)]
        finally:
            stop.set()
            await working


async def _one(bus: Bus, marks: Marks, *, kept: bool) -> float:
    """Hand in a high job while a normal one runs, and a normal one in its place, so that the queue stays as long."""
    for event in marks.began.values():
        event.clear()
    await marks.began[Lane.NORMAL].wait()
    submitted = time.perf_counter()
    await _submit(bus, Lane.HIGH)
    await marks.began[Lane.HIGH].wait()
    await _submit(bus, Lane.NORMAL)
    return marks.began_at - (submitted if kept else max(marks.waited_from, submitted))


async def _submit(bus: Bus, lane: Lane) -> str:
    job_id = new_id("clone")
    command = CloneRequested(job_id=job_id, lane=lane, source_url="http://a.test", secret_ref=job_id, ttl_minutes=5)
    await bus.publish(command, msg_id=f"{job_id}:requested")
    return job_id


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
