"""What restores leave behind is found too: logins, checkpoints, bases, and snapshots whose end was missed."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.cloner.sweeper.report import Report
from services.cloner.sweeper.sources import Sources
from services.cloner.sweeper.sweep import Sweeper
from services.status.projection import Projection
from shared.bus import base_store
from shared.bus.connector_registry import Connectors
from shared.contract import streams
from shared.contract.events import Discarded, Expire, Expired, now
from shared.contract.jobs import ErrorInfo
from shared.contract.snapshot_discard import discard_of, discard_request
from shared.contract.subjects import EventType
from shared.engine.records import Records
from shared.ids import new_id
from tests.engine.carried import carriers
from tests.engine.lab import Lab, lab
from tests.engine.light_driver import LightDriver
from tests.live.restores import SimulatedRestore
from tests.live.simulator import Simulated

NO_HOPE = ErrorInfo(code="secret_gone", message="The login is gone.")


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


async def sweep(engine: Lab, grace: timedelta = timedelta(0), *, dry_run: bool = False) -> Report:
    connectors = Connectors(await engine.bus.bucket(streams.CONNECTORS), engine.keys, lifetime=3600)
    sources = Sources(connectors, carriers(), owner="sweeper", allow_private=True)
    return await Sweeper(engine.bus, LightDriver(engine.things), sources, grace=grace).sweep(dry_run=dry_run)


def found(report: Report) -> set[tuple[str, str, str]]:
    return {(finding.what, finding.id, finding.outcome) for finding in report.findings}


async def restored(engine: Lab, **result: Any) -> SimulatedRestore:
    """A restore that left a snapshot, projected."""
    restore = await SimulatedRestore(engine.bus).submit()
    await restore.start()
    await restore.complete(**result)
    await Projection(engine.bus).refresh(restore.job_id)
    return restore


async def remembered(engine: Lab, *names: str) -> None:
    """A login, a checkpoint and a base under each of these names."""
    for name in names:
        await (await engine.vault()).put(name, {"target_password": "hunter2"})
        await Records(engine.bus, streams.CHECKPOINTS).write(name, b"{}", last=0)
        await base_store.save(engine.bus, name, io.BytesIO(b"digests"))


async def logins(engine: Lab, *names: str) -> list[bool]:
    entries = [await Records(engine.bus, streams.VAULT).get(name) for name in names]
    return [entry is not None and bool(entry.value) for entry in entries]


async def test_what_ended_restores_remembered_goes_and_what_is_wanted_stays(engine: Lab) -> None:
    running = await SimulatedRestore(engine.bus).submit()
    await running.start()
    kept, gone, failed = await restored(engine), await restored(engine), await SimulatedRestore(engine.bus).submit()
    await engine.bus.publish(Discarded(job_id=gone.job_id, snapshot_id=gone.job_id, reason="discarded"))
    await failed.fail(NO_HOPE)
    stranger = new_id("restore")
    names = [running.job_id, kept.job_id, gone.job_id, failed.job_id, stranger]
    await remembered(engine, *names)
    assert found(await sweep(engine, timedelta(hours=1))) == set()
    removed = {
        *((what, job.job_id) for what in ("login", "checkpoint") for job in (kept, gone)),
        *(("base", name) for name in (gone.job_id, failed.job_id, stranger)),
        ("login", stranger),
    }
    dry = await sweep(engine, dry_run=True)
    assert found(dry) == {(*thing, "found") for thing in removed} | {("checkpoint", stranger, "left")}
    assert await logins(engine, *names) == [True] * 5
    assert found(await sweep(engine)) == {(*thing, "removed") for thing in removed} | {("checkpoint", stranger, "left")}
    assert await logins(engine, *names) == [True, False, False, True, False]
    assert set(await base_store.stored(engine.bus)) == {running.job_id, kept.job_id}


async def test_the_base_of_a_clone_goes_with_it(engine: Lab) -> None:
    living, gone = await Simulated(engine.bus).play(), await Simulated(engine.bus).play()
    await engine.bus.publish(Expire(job_id=gone.job_id, reason="deleted"))
    await engine.bus.publish(Expired(job_id=gone.job_id, reason="deleted"))
    for clone in (living, gone):
        await base_store.save(engine.bus, clone.job_id, io.BytesIO(b"digests"))
    report = await sweep(engine)
    assert found(report) == {("base", gone.job_id, "removed")}
    assert report.looked_at["base"] == 2
    assert set(await base_store.stored(engine.bus)) == {living.job_id}


async def test_the_login_of_a_snapshot_that_waits_for_its_end_stays(engine: Lab) -> None:
    restore = await restored(engine)
    request = discard_request(restore.job_id, target_url=restore.target_url, tenant="local")
    forgotten = discard_of(new_id("restore"))  # scheduled; its snapshot is not in the projection yet
    later = discard_request(new_id("restore"), target_url=restore.target_url, tenant="local")
    await engine.bus.schedule(later, slot=EventType.SCHEDULE_EXPIRE, at=now() + timedelta(hours=1))
    for name in (request.job_id, later.job_id, forgotten):
        await (await engine.vault()).put(name, {"target_password": "hunter2"})
    assert found(await sweep(engine)) == {("login", forgotten, "removed")}
    assert await logins(engine, request.job_id, later.job_id, forgotten) == [True, True, False]


async def test_a_snapshot_whose_schedule_is_lost_is_discarded_once_and_a_failure_is_told(engine: Lab) -> None:
    restore = await restored(engine, snapshot_expires_at=now() - timedelta(hours=1))
    young = await restored(engine)
    assert found(await sweep(engine, dry_run=True)) == {("snapshot", restore.job_id, "found")}
    report = await sweep(engine)
    assert found(report) == {("snapshot", restore.job_id, "expired")}
    assert report.looked_at["snapshot"] == 2
    discard = await SimulatedRestore(engine.bus, job_id=discard_of(restore.job_id)).adopt()
    assert discard.job is not None
    assert (discard.job.action, discard.job.target_url) == ("discard", restore.target_url)
    assert found(await sweep(engine)) == set(), "it is on its way"
    await discard.fail(NO_HOPE)
    [told] = (await sweep(engine)).findings
    assert (told.what, told.id, told.outcome) == ("snapshot", restore.job_id, "left")
    assert "by hand" in told.why
    await engine.bus.publish(Discarded(job_id=restore.job_id, snapshot_id=restore.job_id, reason="discarded"))
    assert found(await sweep(engine)) == set()
    assert (await Projection(engine.bus).behind(discard_of(young.job_id), 0)) == []
