"""What jobs left behind is found and removed; what is wanted, running, unknown or fresh is never touched."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.cloner.sweeper.report import Report
from services.cloner.sweeper.serve import serve_sweeps
from services.cloner.sweeper.sources import Sources
from services.cloner.sweeper.sweep import Busy, Sweeper
from shared.bus.connector_registry import Connectors
from shared.contract import streams
from shared.contract.events import Expire, Expired, Extended, now
from shared.contract.jobs import Status
from shared.contract.subjects import EventType, rpc
from shared.engine.lease import Lease, leases
from shared.engine.records import Records
from shared.engine.token import StopToken
from shared.ids import new_id
from tests.engine.carried import carriers
from tests.engine.lab import Lab, lab
from tests.engine.light import Plan
from tests.engine.light_driver import LightDriver
from tests.live.stack import eventually

AT_ONCE = timedelta(0)


@pytest.fixture(scope="module")
async def the_lab() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


@pytest.fixture
async def engine(the_lab: Lab) -> AsyncIterator[Lab]:
    the_lab.fresh_ledger()
    yield the_lab
    for bucket in (streams.VAULT, streams.CHECKPOINTS, streams.CONNECTORS, streams.CLONES):
        await the_lab.bus.js.purge_stream(f"KV_{bucket}")


async def connectors(engine: Lab) -> Connectors:
    return Connectors(await engine.bus.bucket(streams.CONNECTORS), engine.keys, lifetime=3600 * 4)


async def sweeper(engine: Lab, grace: timedelta = AT_ONCE) -> Sweeper:
    sources = Sources(await connectors(engine), carriers(), owner="sweeper", allow_private=True)
    return Sweeper(engine.bus, LightDriver(engine.things), sources, grace=grace)


def found(report: Report) -> set[tuple[str, str, str]]:
    return {(finding.what, finding.id, finding.outcome) for finding in report.findings}


async def has(engine: Lab, bucket: str, key: str) -> bool:
    entry = await Records(engine.bus, bucket).get(key)
    return entry is not None and bool(entry.value)


async def completed(engine: Lab) -> str:
    job = await engine.submit(Plan(steps=1, ticks=0))
    assert (await engine.ended(job)).status is Status.COMPLETED
    await engine.all_acknowledged()
    return job


async def test_nothing_left_behind_is_said_so(engine: Lab) -> None:
    report = await (await sweeper(engine)).sweep()
    assert report.findings == []
    assert report.looked_at == dict.fromkeys(("place", "checkpoint", "login", "base", "connector", "snapshot"), 0)


async def test_left_overs_of_ended_jobs_go_and_a_clone_stays(engine: Lab) -> None:
    async with engine.worker():
        clone = await completed(engine)
        failed = await engine.submit(Plan(steps=2, hopeless="s2"))
        await engine.ended(failed)
        await engine.all_acknowledged()
    for job in (clone, failed):
        engine.ledger.thing(job, "more").touch()
    await (await engine.vault()).put(clone, {"password": "hunter2"})  # a worker died before it forgot it
    here = await sweeper(engine)
    tried = await here.sweep(dry_run=True)
    assert found(tried) == {("place", failed, "found"), ("checkpoint", clone, "found"), ("login", clone, "found")}
    assert await has(engine, streams.VAULT, clone)
    report = await here.sweep()
    assert found(report) == {
        ("place", failed, "removed"),
        ("checkpoint", clone, "removed"),
        ("login", clone, "removed"),
    }
    assert engine.ledger.things(failed) == set()
    assert engine.ledger.things(clone) == {f"{clone}.s1", f"{clone}.more"}
    assert not await has(engine, streams.VAULT, clone)
    # a person may still have the failed one run again
    assert await has(engine, streams.VAULT, failed)
    assert await has(engine, streams.CHECKPOINTS, failed)
    assert (await here.sweep()).findings == []


async def test_a_swept_job_that_runs_again_goes_on_from_the_stream(engine: Lab) -> None:
    async with engine.worker():
        job = await engine.submit(Plan(steps=2, hopeless="s2"))
        await engine.ended(job)
        await engine.all_acknowledged()
        entry = await Records(engine.bus, streams.CHECKPOINTS).get(job)
        assert entry is not None
        await Records(engine.bus, streams.CHECKPOINTS).drop(job, revision=entry.revision)
        await engine.retry(job)
        again = await engine.ended(job, attempt=2)
    assert again.status is Status.FAILED
    assert again.error is not None
    assert [failure["attempt"] for failure in again.error.details["history"]] == [1, 2]


async def test_what_runs_is_fresh_or_unknown_is_not_touched(engine: Lab) -> None:
    async with engine.worker():
        running = await engine.submit(Plan(steps=1, ticks=0, hold="s1"))
        cancelled = await engine.submit(Plan(steps=2, hold="s2"))
        await eventually(lambda: len(engine.ledger.things()) >= 3, what="two running jobs")
        await engine.cancel(cancelled)
        await engine.ended(cancelled)
        stranger = new_id("clone")
        for job in (cancelled, stranger):
            engine.ledger.thing(job, "more").touch()
        await (await engine.vault()).put(stranger, {"password": "hunter2"})
        fresh = await (await sweeper(engine, timedelta(minutes=5))).sweep()
        assert found(fresh) == {("place", stranger, "left")}
        held = Lease(leases(engine.bus), cancelled, "somebody", 30, StopToken())
        await eventually(held.take, what="the lease")
        assert found(await (await sweeper(engine)).sweep()) == {
            ("place", stranger, "left"),
            ("login", stranger, "removed"),  # a submission that was cut off after its login was stored
        }
        await held.release()
        assert ("place", cancelled, "removed") in found(await (await sweeper(engine)).sweep())
        assert engine.ledger.things(running)
        (engine.things / "go").touch()
        assert (await engine.ended(running)).status is Status.COMPLETED
        await engine.all_acknowledged()
    assert engine.ledger.things(stranger)


async def test_a_missed_end_is_made_up_for(engine: Lab) -> None:
    async with engine.worker():
        overdue, living, gone = [await completed(engine) for _ in range(3)]
    for job, minutes in ((overdue, -10), (living, 10)):
        await engine.bus.publish(Extended(job_id=job, expires_at=now() + timedelta(minutes=minutes)))
    await engine.bus.publish(Expire(job_id=gone, reason="deleted"))
    await engine.bus.publish(Expired(job_id=gone, reason="deleted"))
    report = await (await sweeper(engine)).sweep()
    assert {finding for finding in found(report) if finding[0] != "checkpoint"} == {
        ("clone", overdue, "expired"),
        ("place", gone, "removed"),
    }
    assert (await engine.events(overdue))[-1] is EventType.EXPIRE
    assert EventType.EXPIRE not in await engine.events(living)
    assert engine.ledger.things(overdue), "the expiry removes it, and says so"
    assert engine.ledger.things(gone) == set()


async def test_records_that_can_not_be_read_keep_nothing_from_being_swept(engine: Lab) -> None:
    async with engine.worker():
        overdue = await completed(engine)
    await engine.bus.publish(Extended(job_id=overdue, expires_at=now() - timedelta(minutes=10)))
    for bucket in (streams.CLONES, streams.SNAPSHOTS, streams.CONNECTORS, streams.VAULT, streams.CHECKPOINTS):
        for payload in (b"null", b"{", b'{"jobs": 7, "state": []}'):
            await (await engine.bus.bucket(bucket)).put(new_id("clone"), payload)
    try:
        assert ("clone", overdue, "expired") in found(await (await sweeper(engine)).sweep())
    finally:
        await engine.bus.js.purge_stream(f"KV_{streams.SNAPSHOTS}")


async def test_a_connector_nobody_uses_is_forgotten_and_a_used_one_kept(engine: Lab) -> None:
    seats = await connectors(engine)
    async with engine.worker():
        ended = await completed(engine)
        running = await engine.submit(Plan(steps=1, ticks=0, hold="s1"))
        await eventually(lambda: engine.ledger.things(running), what="the running job")
        for source, users in {"http://127.0.0.1:9/left": [ended], "http://127.0.0.1:9/used": [ended, running]}.items():
            for job in users:
                if (await seats.join(source, job)).must_install:
                    await seats.installed(source, job)
        report = await (await sweeper(engine)).sweep()
        told = [finding for finding in report.findings if finding.what == "connector"]
        # nothing answers there: said, and tried again by the next sweep
        assert [(finding.id, finding.outcome) for finding in told] == [("http://127.0.0.1:9/left", "failed")]
        assert told[0].error
        (engine.things / "go").touch()
        await engine.ended(running)
        await engine.all_acknowledged()


async def test_one_sweeps_at_a_time_and_a_person_may_ask(engine: Lab) -> None:
    here = await sweeper(engine)
    lease = Lease(leases(engine.bus), "sweeper", "somebody", 30, StopToken())
    assert await lease.take()
    with pytest.raises(Busy):
        await here.sweep()
    serving = asyncio.create_task(serve_sweeps(engine.bus, here, every=0))
    try:

        async def ask() -> dict[str, object]:
            reply = await engine.bus.nc.request(rpc("cloner", "sweep"), b'{"dry_run": true}', timeout=10)
            answer: dict[str, object] = json.loads(reply.data)
            return answer

        await asyncio.sleep(0)
        assert "Another sweep" in str((await ask())["error"])
        await lease.release()
        assert Report.model_validate(await ask()).dry_run
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_the_command_line_shows_what_was_found(engine: Lab) -> None:
    async with engine.worker():
        failed = await engine.submit(Plan(steps=2, hopeless="s2"))
        await engine.ended(failed)
        await engine.all_acknowledged()
    engine.ledger.thing(failed, "more").touch()
    serving = asyncio.create_task(serve_sweeps(engine.bus, await sweeper(engine), every=0))

    async def siteferry(*arguments: str) -> tuple[int, str, str]:
        environment = {**os.environ, **engine.house.environment(), "SITEFERRY_STATE": str(engine.root / "none")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from siteferry.cli.app import main; main()",
            *arguments,
            env=environment,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    try:
        code, out, err = await siteferry("sweep", "--dry-run")
        assert code == 0, err
        assert f"place\t{failed}\tits job failed\twould be removed" in out
        assert engine.ledger.things(failed)
        code, out, err = await siteferry("sweep", "--json")
        assert (code, [finding["id"] for finding in json.loads(out)["findings"]]) == (0, [failed])
        assert not engine.ledger.things(failed)
        code, out, err = await siteferry("sweep")
        assert (code, out) == (0, "")
        assert err.startswith("Nothing was left behind. Looked at 0 places")
    finally:
        serving.cancel()
        await asyncio.wait([serving])
    code, out, err = await siteferry("sweep")
    assert code == 3, (out, err)
