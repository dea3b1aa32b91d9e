"""Wiring of the cloner."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.cloner import metrics
from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.drivers.host.top_directory import make_top_directory
from services.cloner.drivers.port import Provisioner
from services.cloner.expiry import Expiry
from services.cloner.images import ImageLimits
from services.cloner.preview import Previews
from services.cloner.rpc import serve_images, serve_login_links, serve_mail, serve_states
from services.cloner.settings import ClonerSettings
from services.cloner.sweeper.serve import serve_sweeps
from services.cloner.sweeper.sources import Sources
from services.cloner.sweeper.sweep import Sweeper
from services.cloner.workflow import CloneWorkflow
from shared import log, tracing
from shared.bus.connection import Bus, connect
from shared.bus.connector_registry import Connectors
from shared.bus.upkeep import Upkeep
from shared.cells.client import CellsClient
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
    "services.cloner.run",
    *(
        f"services.cloner.steps.{name}"
        for name in ("base", "edits", "entry", "finalize", "preflight", "reuse", "transfer", "verify")
    ),
    "services.cloner.drivers.host",
    "services.cloner.preview",
    "services.cloner.sweeper.sources",
)
"""What carriers have loaded."""
IN_PODS = "services.cloner.drivers.kubernetes.target"
"""What they have loaded where clones live in a cluster."""


def make_driver(settings: ClonerSettings) -> Provisioner:
    """The driver that holds this installation's clones."""
    if settings.driver == "kubernetes":
        return _cluster(settings)
    databases = CloneDatabases(
        settings.mariadb_socket, settings.mariadb_admin_user, settings.mariadb_admin_password_file
    )
    settings.clones_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    make_top_directory(settings.clones_dir)
    return HostDriver(
        clones=settings.clones_dir.absolute(),
        databases=databases,
        edge_url=settings.edge_url,
        cells=CellsClient(settings.cells_socket),
        most=settings.max_clones,
    )


def _cluster(settings: ClonerSettings) -> Provisioner:
    # 70 MB and most of a second, for those alone who need it.
    from services.cloner.drivers.kubernetes.driver import KubernetesDriver
    from services.cloner.drivers.kubernetes.settings import KubernetesSettings

    settings.clones_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    return KubernetesDriver(KubernetesSettings(), records=settings.clones_dir.absolute(), most=settings.max_clones)


async def run(settings: ClonerSettings, carriers: Carriers) -> None:
    """Live until a signal comes; running jobs are then handed back at their last checkpoint."""
    driver, keys, parts = make_driver(settings), KeyRing.load(settings.vault_key_file), settings.parts()
    metrics.FREE.set_function(lambda: driver.capacity().free_bytes)
    tracing.configure("cloner")
    async with stop_on_signals() as stop, connect(settings, service="cloner") as bus:
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
        workflow = CloneWorkflow(driver, settings, keys, connectors)
        sources = Sources(connectors, carriers, owner=bus.source, allow_private=settings.allow_private_sources)
        grace = timedelta(minutes=settings.sweep_grace_minutes)
        images = ImageLimits(hours=settings.image_hours, most=settings.images_max_bytes)
        sweeper = Sweeper(bus, driver, sources, grace=grace, images=images)
        sweeps = serve_sweeps(bus, sweeper, every=settings.sweep_minutes * 60)
        clones_php = await asyncio.to_thread(driver.php_version)
        previews = Previews(bus, keys, carriers, allow_private=settings.allow_private_sources, clones_php=clones_php)
        worker = Worker(
            bus,
            vault,
            workflow,
            slots=settings.cloner_slots,
            settings=settings.engine(),
            parts=parts,
            carriers=carriers,
            room=driver,
        )
        async with asyncio.TaskGroup() as group:
            answered = settings.cloner_health_port, lambda: problems(bus, worker), stop, bus
            health = serve_health(*answered, host=settings.health_host)
            group.create_task(eternal("health", health, stop), name="health")
            presence = tell(
                bus, worker, "clone", slots=settings.cloner_slots, free=lambda: driver.capacity().free_bytes
            )
            helpers = [
                group.create_task(eternal("expiry", Expiry(bus, driver).run(), stop), name="expiry"),
                group.create_task(eternal("mail", serve_mail(bus, driver), stop), name="mail"),
                group.create_task(
                    eternal("images", serve_images(bus, driver, hours=settings.image_hours), stop), name="images"
                ),
                group.create_task(eternal("login links", serve_login_links(bus, driver), stop), name="login links"),
                group.create_task(eternal("states", serve_states(bus, driver), stop), name="states"),
                group.create_task(eternal("previews", previews.serve(), stop), name="previews"),
                group.create_task(eternal("sweeps", sweeps, stop), name="sweeps"),
                group.create_task(eternal("presence", presence, stop), name="presence"),
            ]
            if settings.nats_install:
                upkeep = Upkeep(bus, replicas=settings.replicas, ack_wait=settings.ack_wait, audit=settings.audit_kept)
                helpers.append(group.create_task(eternal("upkeep", upkeep.run(), stop), name="upkeep"))
            logger.info("ready", slots=settings.cloner_slots)
            await worker.run(stop)
            await asyncio.gather(*map(ended, helpers))


def problems(bus: Bus, worker: Worker) -> list[str]:
    """Why this cloner can not work right now."""
    found = []
    if not bus.nc.is_connected:
        found.append("not connected to NATS")
    return found + worker.problems


def main() -> None:
    """Entry point of `python -m services.cloner`."""
    settings = ClonerSettings()
    log.configure("cloner", fmt=settings.log_format, level=settings.log_level)
    loaded = (*CARRIED, IN_PODS) if settings.driver == "kubernetes" else CARRIED
    carriers = Carriers(loaded, settings.carriers())  # before any thread, and before the bus
    try:
        asyncio.run(run(settings, carriers))
    finally:
        carriers.close()
