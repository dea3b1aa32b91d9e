"""The sweeper on real things: a MariaDB with databases and users, a WordPress with a connector on it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.sweeper.report import Report
from services.cloner.sweeper.sources import Sources
from services.cloner.sweeper.sweep import Sweeper
from shared.bus.connector_registry import BUSY_SECONDS, Connectors
from shared.cells.client import CellsClient
from shared.contract import streams
from shared.ids import new_id
from shared.wordpress.connector.package import build_connector_zip
from siteferry.embedded.servers import Cells, MariaDB, running
from tests.engine.carried import carriers
from tests.engine.lab import Lab, lab
from tests.engine.light import Plan
from tests.integration.connected import activate, unpack
from tests.integration.house import place
from tests.sites.fixtures import MakeSite


@pytest.fixture(scope="module")
def driver() -> Iterator[HostDriver]:
    with place() as directory, running(MariaDB(directory / "mariadb")) as mariadb:
        databases = CloneDatabases(mariadb.socket, mariadb.admin_user, mariadb.admin_password_file)
        clones = directory / "clones"
        clones.mkdir(mode=0o711)
        with running(Cells(directory / "cells", clones, mariadb_socket=str(mariadb.socket))) as cells:
            client = CellsClient(cells.control)
            yield HostDriver(clones=clones, databases=databases, edge_url="http://localhost:8080", cells=client)


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


async def connectors(engine: Lab) -> Connectors:
    return Connectors(await engine.bus.bucket(streams.CONNECTORS), engine.keys, lifetime=3600 * 4)


async def sweep(engine: Lab, driver: HostDriver) -> Report:
    sources = Sources(await connectors(engine), carriers(), owner="sweeper", allow_private=True)
    return await Sweeper(engine.bus, driver, sources, grace=timedelta(0)).sweep()


async def ended(engine: Lab, plan: Plan) -> str:
    async with engine.worker():
        job_id = await engine.submit(plan)
        await engine.ended(job_id)
        await engine.all_acknowledged()
    return job_id


async def test_directory_database_and_user_go_whichever_is_left(engine: Lab, driver: HostDriver) -> None:
    clone, stranger = await ended(engine, Plan(steps=1)), new_id("clone")
    whole, half, interrupted = [await ended(engine, Plan(steps=1, hopeless="s1")) for _ in range(3)]
    for job_id in (clone, stranger, whole, half, interrupted):
        await asyncio.to_thread(driver.ensure, job_id)
    driver.place(interrupted).directory.rename(driver.clones / f".deleting-{interrupted}")
    user = driver.place(half).database
    with driver.databases.admin() as cursor:
        cursor.execute(f"DROP DATABASE `{user}`")
    report = await sweep(engine, driver)
    assert {(f.id, f.outcome) for f in report.findings if f.what == "place"} == {
        (whole, "removed"),
        (half, "removed"),
        (interrupted, "removed"),
        (stranger, "left"),
    }
    assert driver.ids() == sorted([clone, stranger])
    assert {path.name for path in driver.clones.iterdir() if not path.name.startswith(".accounts")} == {clone, stranger}
    assert driver.databases.names() == {driver.place(job_id).database for job_id in (clone, stranger)}


async def test_a_connector_left_on_a_source_is_removed(engine: Lab, driver: HostDriver, make_site: MakeSite) -> None:
    site, seats = await asyncio.to_thread(make_site, "forgotten"), await connectors(engine)
    job_id = await ended(engine, Plan(steps=1, hopeless="s1"))
    seat = await seats.join(site.home, job_id, siteurl=site.siteurl)
    await asyncio.to_thread(unpack, build_connector_zip(seat.key, job_id, seat.expires_at), site)
    await asyncio.to_thread(activate, site)
    await seats.installed(site.home, job_id)
    plugin = site.content / "plugins" / "siteferry-connector"
    assert plugin.is_dir()
    report = await sweep(engine, driver)
    assert [(f.id, f.outcome) for f in report.findings if f.what == "connector"] == [(site.home, "removed")]
    assert not plugin.exists()
    again = await sweep(engine, driver)
    assert (again.looked_at["connector"], [f for f in again.findings if f.what == "connector"]) == (0, [])


async def test_a_half_installed_connector_is_seen_and_told(
    engine: Lab, driver: HostDriver, make_site: MakeSite
) -> None:
    site, seats = await asyncio.to_thread(make_site, "halved"), await connectors(engine)
    job_id = await ended(engine, Plan(steps=1, hopeless="s1"))
    await seats.join(site.home, job_id, siteurl=site.siteurl)
    await asyncio.to_thread(site.write, "wp-content/plugins/siteferry-connector/src/Entry.php", "<?php\n")
    report = await sweep(engine, driver)
    [found] = [f for f in report.findings if f.what == "connector"]
    assert (found.id, found.outcome) == (site.home, "failed")
    assert "broke off" in (found.error or "")
    began = time.monotonic()
    await seats.join(site.home, job_id, siteurl=site.siteurl)
    assert time.monotonic() - began < BUSY_SECONDS / 2, "the next job waited for a sweeper that had given up"
    await seats.installed(site.home, job_id)
    again = await sweep(engine, driver)
    assert [f.outcome for f in again.findings if f.what == "connector"] == ["removed"]


KEEPING = """
import os, signal, sys
from pathlib import Path
from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from shared.cells.client import CellsClient

clones, socket, user, password_file, control, clone = sys.argv[1:]
driver = HostDriver(
    clones=Path(clones),
    databases=CloneDatabases(Path(socket), user, Path(password_file)),
    edge_url="http://localhost:8080",
    cells=CellsClient(Path(control)),
)
asked = []
def check():
    asked.append(1)
    if len(asked) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
driver.snapshots.capture(driver.place(clone), clone, "version-a", check=check)
"""


async def test_what_a_killed_worker_kept_of_a_state_goes_unless_somebody_keeps_one(
    engine: Lab, driver: HostDriver
) -> None:
    clone = await ended(engine, Plan(steps=1))
    await asyncio.to_thread(driver.ensure, clone)
    target, databases = driver.place(clone), driver.databases
    for name in "abcdef":
        (target.document_root / f"{name}.txt").write_text(name)
    await asyncio.to_thread(driver.snapshots.capture, target, clone, "made")
    about = (driver.clones, databases.socket, databases._admin_user, databases._admin_password_file)
    command = [sys.executable, "-c", KEEPING, *map(str, about), str(driver.cells._control), clone]
    done = await asyncio.to_thread(subprocess.run, command, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    folder = driver.snapshots.root / clone
    assert ".making-version-a" in os.listdir(folder)
    with driver.snapshots.alone(clone):
        kept = await sweep(engine, driver)
    assert [f for f in kept.findings if f.what == "state"] == []
    report = await sweep(engine, driver)
    assert [(f.id, f.outcome) for f in report.findings if f.what == "state"] == [
        (f"{clone}/.making-version-a", "removed")
    ]
    assert {name for name in os.listdir(folder) if not name.startswith(".")} == {"made"}
    assert ".making-version-a" not in os.listdir(folder)
