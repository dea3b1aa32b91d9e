"""Our side of the queue benchmark: `python -m benchmarks._queue_worker SLOTS ACK_WAIT` runs one trivial step a job."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from shared import log
from shared.bus.connection import connect
from shared.contract import streams
from shared.contract.events import CloneRequested
from shared.contract.jobs import CloneResult
from shared.contract.subjects import Kind
from shared.engine.worker import EngineSettings, JobContext, StepSpec, Worker
from shared.lifecycle import stop_on_signals
from shared.secrets.vault import KeyRing, Vault
from shared.settings import Settings


class Trivial:
    """Leave a mark, take a while: the same as the Celery task."""

    kind: Kind = "clone"

    def steps(self, command: CloneRequested) -> Sequence[StepSpec]:
        return [StepSpec("work", "Working", 1, self._work)]

    async def _work(self, context: JobContext) -> None:
        path, seconds = json.loads(context.command.name or "")[:2]
        with open(path, "ab", buffering=0) as file:
            file.write(b"%d\n" % os.getpid())
        await asyncio.sleep(seconds)

    async def finish(self, context: JobContext) -> CloneResult:
        return CloneResult(
            clone_id=context.job_id, clone_url="", admin_url="", username="", sealed_password="", expires_at=None
        )

    async def cleanup(self, context: JobContext) -> None:
        """Nothing was made."""


async def main(slots: int, ack_wait: float) -> None:
    settings = EngineSettings(ack_wait=ack_wait, heartbeat=ack_wait / 3)
    key = Path(os.environ["SITEFERRY_VAULT_KEY_FILE"])
    async with stop_on_signals() as stop, connect(Settings(), service="cloner") as bus:
        vault = Vault(await bus.bucket(streams.VAULT), KeyRing.load(key))
        await Worker(bus, vault, Trivial(), slots=slots, settings=settings).run(stop)


if __name__ == "__main__":
    log.configure("worker", level="WARNING")
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
