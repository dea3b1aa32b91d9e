"""`python -m tests.engine.worker_process DIRECTORY SLOTS SETTINGS`: a worker of light jobs, to be killed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from shared import log
from shared.bus.connection import connect
from shared.contract import streams
from shared.engine.records import patiently
from shared.engine.worker import EngineSettings, Limits, Worker
from shared.lifecycle import stop_on_signals
from shared.secrets.vault import KeyRing, Vault
from shared.settings import Settings
from tests.engine.light import LightWorkflow


async def main(directory: Path, slots: int, options: dict[str, object]) -> None:
    limits = Limits(**options.pop("limits", {}))  # type: ignore[arg-type]
    settings = EngineSettings(**options, limits=limits)  # type: ignore[arg-type]
    async with stop_on_signals() as stop, connect(Settings(), service="cloner") as bus:
        vault = Vault(await patiently(lambda: bus.bucket(streams.VAULT)), KeyRing.load(directory.parent / "vault.key"))
        worker = Worker(bus, vault, LightWorkflow(directory), slots=slots, settings=settings)
        await worker.run(stop)


if __name__ == "__main__":
    log.configure("worker", level="INFO")
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])))
