"""Wiring of the restorer."""

from __future__ import annotations

import asyncio

from services.restorer.run import tidy
from services.restorer.settings import RestorerSettings
from services.restorer.workflow import RestoreWorkflow
from shared import log, tracing
from shared.bus.connection import Bus, connect
from shared.bus.connector_registry import Connectors
from shared.contract import streams
from shared.engine.carriers.pool import Carriers
from shared.engine.presence import tell
from shared.engine.records import patiently
from shared.engine.worker import Worker
from shared.health import serve_health
from shared.lifecycle import ended, eternal, stop_on_signals
from shared.secrets.vault import KeyRing, Vault

logger = log.get(__name__)

CARRIED = (
    "services.restorer.run",
    "services.restorer.rebase",
    *(f"services.restorer.steps.{name}" for name in ("exchange", "plan", "preflight", "stage", "verify", "watch")),
)
"""What carriers have loaded."""


async def run(settings: RestorerSettings, carriers: Carriers) -> None:
    """Live until a signal comes; running jobs are then handed back at their last checkpoint."""
    keys, parts = KeyRing.load(settings.vault_key_file), settings.parts()
    await asyncio.to_thread(tidy)
    tracing.configure("restorer")
    async with stop_on_signals() as stop, connect(settings, service="restorer") as bus:
        allowed = settings.nats_install
        await streams.install_when_ready(
            bus.js,
            replicas=settings.replicas,
            ack_wait=settings.ack_wait,
            allowed=allowed,
            audit=settings.audit_kept,
        )
        vault = Vault(await patiently(lambda: bus.bucket(streams.VAULT)), keys)
        lifetime = settings.connector_hours * 3600
        connectors = Connectors(await patiently(lambda: bus.bucket(streams.CONNECTORS)), keys, lifetime=lifetime)
        workflow = RestoreWorkflow(settings, keys, connectors)
        worker = Worker(
            bus,
            vault,
            workflow,
            slots=settings.restorer_slots,
            settings=settings.engine(),
            parts=parts,
            carriers=carriers,
        )
        async with asyncio.TaskGroup() as group:
            answered = settings.restorer_health_port, lambda: problems(bus, worker), stop, bus
            health = serve_health(*answered, host=settings.health_host)
            group.create_task(eternal("health", health, stop), name="health")
            telling = tell(bus, worker, "restore", slots=settings.restorer_slots)
            presence = group.create_task(eternal("presence", telling, stop), name="presence")
            logger.info("ready", slots=settings.restorer_slots)
            await worker.run(stop)
            await ended(presence)


def problems(bus: Bus, worker: Worker) -> list[str]:
    """Why this restorer can not work right now."""
    found = []
    if not bus.nc.is_connected:
        found.append("not connected to NATS")
    return found + worker.problems


def main() -> None:
    """Entry point of `python -m services.restorer`."""
    settings = RestorerSettings()
    log.configure("restorer", fmt=settings.log_format, level=settings.log_level)
    carriers = Carriers(CARRIED, settings.carriers())  # before any thread, and before the bus
    try:
        asyncio.run(run(settings, carriers))
    finally:
        carriers.close()
