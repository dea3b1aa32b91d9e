"""What a job remembers and tells has a largest size; what another version wrote may not be understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from services.cloner.expiry import Expiry
from services.cloner.metrics import UNREADABLE
from shared.contract import streams
from shared.contract.events import Expire, decode
from shared.contract.jobs import Job, Phase, Status
from shared.contract.reading import understood
from shared.contract.subjects import EventType, Lane, subject
from shared.engine.records import Records
from tests.engine.lab import Lab, lab
from tests.engine.light import Plan
from tests.engine.light_driver import LightDriver
from tests.live.stack import eventually


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


async def test_a_plan_of_thirty_thousand_tables_survives_its_worker(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(names=30_000, hold="s2"))
        await eventually(lambda: "s2" in engine.ledger.did(job_id, "tick2"), timeout=30, what="the remembered plan")
    (engine.ledger.directory / "go").touch()
    async with engine.worker():
        assert (await engine.ended(job_id, timeout=30)).status is Status.COMPLETED
    ticks = [what for what in engine.ledger.did_all(job_id) if what.startswith("tick")]
    assert len(ticks) == 6, "the second worker read what the first had remembered"


async def test_too_much_to_remember_fails_once_and_says_so(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(noise=4_000_000))
        ended = await engine.ended(job_id, timeout=30)
    assert ended.error is not None
    assert (ended.error.code, ended.attempt) == ("too_much_to_remember", 1)
    assert engine.ledger.things(job_id) == set()
    await engine.all_acknowledged()


async def test_a_checkpoint_of_a_later_version_is_left_to_it_and_ends_typed_without_it(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(hold="s2"))
        await eventually(lambda: "s2" in engine.ledger.did(job_id, "enter"), timeout=15, what="step s2")
    records = Records(engine.bus, streams.CHECKPOINTS)
    entry = await records.get(job_id)
    assert entry is not None
    known = json.loads(entry.value or b"")
    known["steps"][1]["state"] = "hibernating"
    await records.write(job_id, json.dumps(known).encode(), last=entry.revision)
    async with engine.worker():
        ended = await engine.ended(job_id, timeout=60)
        assert ended.status is Status.FAILED
        assert ended.error is not None
        assert ended.error.code == "newer_version"
        await engine.all_acknowledged()
        await engine.retry(job_id)
        (engine.ledger.directory / "go").touch()
        again = await engine.ended(job_id, timeout=30, attempt=2)
    assert again.status is Status.COMPLETED, "a person's retry begins anew"


async def test_an_expiry_nobody_can_read_stops_nothing(engine: Lab) -> None:
    expiry = Expiry(engine.bus, LightDriver(engine.things))
    before = UNREADABLE._value.get()
    running = asyncio.create_task(expiry.run())
    try:
        for payload in (b"", b"{", b'{"job_id": 7}'):
            await engine.bus.js.publish(subject("clone", EventType.EXPIRE, Lane.NORMAL, "clone-strange"), payload)
        await engine.bus.publish(Expire(job_id="clone-576x4ca65f17knz3", lane=Lane.NORMAL))

        async def done() -> bool:
            info = await engine.bus.js.consumer_info("CLONES", streams.expiry_consumer("clone"))
            return info.num_pending == 0 and info.num_ack_pending == 0

        await eventually(done, timeout=20, what="all of them acknowledged")
        assert not running.done()
        assert UNREADABLE._value.get() == before + 3
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


JOB = {
    "job_id": "clone-1",
    "type": "clone",
    "status": "running",
    "created_at": "2026-11-29T10:00:00Z",
    "updated_at": "2026-11-29T10:00:00Z",
    "phase": "waiting",
    "steps": [{"name": "files", "title": "Copy files", "state": "running", "unit": "bytes"}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "hibernating"},
        {"steps": [{"name": "files", "title": "Copy files", "state": "folded", "unit": "petabytes"}]},
        {"result": {"kind": "merge", "branches": []}},
        {"lane": "express"},
        {"error": {"code": "new", "message": 7}},
        {"colour": "blue"},
    ],
)
def test_what_a_later_version_says_is_read_as_far_as_it_is_understood(change: dict[str, object]) -> None:
    job = understood(Job, json.dumps({**JOB, **change}))
    assert job.job_id == "clone-1"
    assert job.phase in {Phase.WAITING, None}
    event = {"job_id": "clone-1", "type": "progress", "job": {**JOB, **change}}
    message = decode(EventType.PROGRESS, json.dumps(event).encode())
    assert message is not None
    assert message.job_id == "clone-1"


def test_what_is_no_job_at_all_is_not_made_one() -> None:
    for nothing in (b"", b"{}", b"[]", b'{"job_id": 1}'):
        with pytest.raises(ValueError, match="validation error"):
            understood(Job, nothing)
