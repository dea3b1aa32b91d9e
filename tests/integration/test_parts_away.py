"""A part of our own that is away, or was started anew, is never a job's failure. Real NATS, processes as parts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.contract.events import JobEvent
from shared.contract.jobs import Job, Phase, Status
from shared.contract.subjects import EventType
from shared.standing import Standing, StandingParts, serialised
from tests.engine.lab import Lab, fast, lab
from tests.engine.light import Plan
from tests.live.stack import eventually

Process = subprocess.Popen[bytes]


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


class Keeper:
    """Keeps one part and writes how it stands, as the supervisor does."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.process: Process = subprocess.Popen(["sleep", "600"])
        self.starts += 1
        self.say(ready=True)

    def say(self, *, ready: bool) -> None:
        known = {
            "mariadb": Standing(self.process.pid, self.starts, ready, True),
            "gateway": Standing(1, 1, True, False),
        }
        self.file.write_text(serialised(known))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def keeper(engine: Lab) -> Iterator[Keeper]:
    made = Keeper(engine.root / "parts.json")
    try:
        yield made
    finally:
        made.kill()


async def waiting(engine: Lab, job_id: str) -> Job:
    async def check() -> Job | None:
        job = await engine.job(job_id)
        return job if job.phase is Phase.WAITING else None

    job: Job = await eventually(check, timeout=20, what="the job to wait")
    return job


def trouble(kind: str) -> Plan:
    """A job that fails in its second step: for good, by a bug, or for now."""
    return {
        "permanent": Plan(hopeless="s2"),
        "bug": Plan(bug="s2"),
        "temporary": Plan(fail={"s2": 1}),
    }[kind]


@pytest.mark.parametrize("kind", ["permanent", "bug", "temporary"])
async def test_a_failure_while_a_part_is_away_is_waiting(engine: Lab, keeper: Keeper, kind: str) -> None:
    keeper.kill()
    async with engine.worker(parts=StandingParts(keeper.file)):
        job_id = await engine.submit(trouble(kind))
        job = await waiting(engine, job_id)
        assert (job.status, job.reason, job.attempt) == (Status.PENDING, "part_away:mariadb", 1)
        assert job.message == "Waiting for the clones' database server"
        assert job.error is None
        keeper.start()
        ended = await engine.ended(job_id, timeout=30, attempt=1)
    told = [message for _, message in await engine.told(job_id) if isinstance(message, JobEvent)]
    assert [event.type for event in told].count(EventType.WAITING) == 1, "told once, however often it looked again"
    if kind == "temporary":
        assert (ended.status, ended.attempt) == (Status.COMPLETED, 1), "no attempt was used"
        assert engine.ledger.did(job_id, "make") == ["s1", "s2", "s3"], "it went on from its checkpoint"
        assert engine.ledger.did(job_id, "enter").count("s1") == 1
    elif kind == "permanent":
        assert ended.error is not None, "once the part is there, the job's own failure counts"
        assert ended.error.code == "hopeless"


class Restarting:
    """A part that is killed and back again within a moment, while the step `s2` runs for the first time."""

    def __init__(self, engine: Lab) -> None:
        self.engine = engine

    def look(self, job_id: str) -> dict[str, str | None]:
        entered = self.engine.ledger.did(job_id, "enter").count("s2")
        return {"php-fpm": "1" if entered == 0 else "2"}


async def test_a_part_that_was_started_anew_explains_a_failure_too(engine: Lab) -> None:
    async with engine.worker(parts=Restarting(engine)):
        job_id = await engine.submit(Plan(hopeless="s2"))
        ended = await engine.ended(job_id, timeout=20)
    told = [message for _, message in await engine.told(job_id) if isinstance(message, JobEvent)]
    waits = [event.job.reason for event in told if event.type is EventType.WAITING]
    assert waits == ["part_away:php-fpm"], "the failure was not believed the first time"
    assert ended.error is not None, "the part stood still the second time"
    assert ended.error.code == "hopeless"


async def test_a_stopped_process_is_away(engine: Lab, keeper: Keeper) -> None:
    os.kill(keeper.process.pid, signal.SIGSTOP)
    async with engine.worker(parts=StandingParts(keeper.file)):
        job_id = await engine.submit(Plan(hopeless="s1"))
        assert (await waiting(engine, job_id)).reason == "part_away:mariadb"
        os.kill(keeper.process.pid, signal.SIGCONT)
        ended = await engine.ended(job_id, timeout=30)
    assert ended.error is not None
    assert ended.error.code == "hopeless"


async def test_a_wait_is_bounded(engine: Lab, keeper: Keeper) -> None:
    keeper.kill()
    settings = fast(part_patience=2.0, removal_patience=0.5)
    async with engine.worker(parts=StandingParts(keeper.file), settings=settings):
        job_id = await engine.submit(Plan(hopeless="s2"))
        ended = await engine.ended(job_id, timeout=40)
    assert ended.error is not None
    assert ended.error.code == "part_away"
    assert "the clones' database server, a part of Siteferry" in ended.error.message
    assert engine.ledger.things(job_id) == set(), "what it had made is gone"


async def test_a_waiting_job_can_be_cancelled(engine: Lab, keeper: Keeper) -> None:
    keeper.kill()
    async with engine.worker(parts=StandingParts(keeper.file)):
        job_id = await engine.submit(Plan(hopeless="s2"))
        await waiting(engine, job_id)
        keeper.start()
        await engine.cancel(job_id)
        assert (await engine.ended(job_id)).status in {Status.CANCELLED, Status.FAILED}


async def test_a_removal_waits_for_the_part_it_needs(engine: Lab, keeper: Keeper) -> None:
    """A job that fails while all stand; then a part goes away, and the removal fails for as long."""
    async with engine.worker(parts=StandingParts(keeper.file), settings=fast(removal_tries=1)):
        job_id = await engine.submit(Plan(hold="s2"))
        await eventually(lambda: "s2" in engine.ledger.did(job_id, "enter"), timeout=15, what="step s2")
        blocked = engine.ledger.thing(job_id, "s1")
        blocked.unlink()
        blocked.mkdir()  # unlink fails: what a removal does without its database
        keeper.kill()
        await engine.cancel(job_id)
        await eventually(lambda: not engine.ledger.thing(job_id, "s2").exists(), timeout=15, what="the first removal")
        blocked.rmdir()
        blocked.touch()
        keeper.start()
        ended = await engine.ended(job_id, timeout=30)
    assert ended.status is Status.CANCELLED
    assert engine.ledger.things(job_id) == set()
