"""A worker on a real nats-server: jobs run, fail, are tried again, cancelled, handed back, resumed; each ends once."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from shared.contract import streams
from shared.contract.events import JobEvent
from shared.contract.jobs import Job, Phase, Status, StepState
from shared.contract.subjects import TERMINAL, EventType, Lane, subject
from shared.engine.parking import AGAIN
from shared.engine.records import Records
from shared.secrets.vault import SecretGone
from tests.engine.lab import ACK_WAIT, Lab, fast, folded, lab
from tests.engine.light import Plan
from tests.live.stack import eventually


@pytest.fixture(scope="module")
async def the_lab() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


@pytest.fixture
async def engine(the_lab: Lab) -> AsyncIterator[Lab]:
    the_lab.fresh_ledger()
    yield the_lab
    await the_lab.all_acknowledged()
    the_lab.stop_processes()
    leases = Records(the_lab.bus, streams.LEASES)
    info = await the_lab.bus.js.stream_info(leases.stream)
    assert info.state.messages == 0, "a lease was left behind"


def terminals(events: list[EventType]) -> list[EventType]:
    return [event for event in events if event in TERMINAL]


async def running_in(engine: Lab, job_id: str, step: str) -> None:
    await eventually(lambda: step in engine.ledger.did(job_id, "enter"), what=f"{step} of {job_id}")


async def secret_is_there(engine: Lab, job_id: str) -> bool:
    try:
        await (await engine.vault()).get(job_id)
    except SecretGone:
        return False
    return True


async def test_a_job_runs_to_its_end_and_says_so(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(steps=3))
        job = await engine.ended(job_id)
        await engine.all_acknowledged()
    assert (job.status, job.progress, job.attempt) == (Status.COMPLETED, 100, 1)
    assert [(step.name, step.state, step.done, step.total) for step in job.steps] == [
        (f"s{n}", StepState.DONE, 2, 2) for n in (1, 2, 3)
    ]
    assert job.result is not None
    assert [note.code for note in job.result.notes] == ["light"]
    assert set(job.result.timings) == {"s1", "s2", "s3"}
    told = await engine.told(job_id)
    progress = [message.job.progress for _, message in told if isinstance(message, JobEvent)]
    assert progress == sorted(progress)
    assert folded(told).status is Status.COMPLETED
    assert not await secret_is_there(engine, job_id)


async def test_progress_is_told_a_few_times_a_second_however_often_it_is_reported(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(steps=1, ticks=200, pause=0.005))
        await engine.ended(job_id)
    told = [m for _, m in await engine.told(job_id) if isinstance(m, JobEvent) and m.type is EventType.PROGRESS]
    took = (told[-1].time - told[0].time).total_seconds()
    assert 3 <= len(told) <= 4 * took + 4
    assert (await engine.job(job_id)).steps[0].done == 200


async def test_a_temporary_failure_is_retried_by_a_schedule_and_resumes(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(fail={"s2": 2}))
        job = await engine.ended(job_id, attempt=3)
    events = await engine.events(job_id)
    assert events.count(EventType.RETRYING) == 2
    assert terminals(events) == [EventType.COMPLETED]
    assert engine.ledger.did(job_id, "enter") == ["s1", "s2", "s2", "s2", "s3"]  # s1 is not done again
    assert job.error is None
    retrying = next(m.job for _, m in await engine.told(job_id) if m.type is EventType.RETRYING)  # type: ignore[attr-defined]
    assert (retrying.status, retrying.phase, retrying.attempt) == (Status.PENDING, Phase.RETRYING, 1)
    assert retrying.error is not None
    assert retrying.error.code == "unlucky"
    assert retrying.error.hint == AGAIN


async def test_what_the_other_side_asked_for_is_waited(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(steps=1, fail={"s1": 1}, retry_after=1.0))
        await engine.ended(job_id, attempt=2)
    times: dict[EventType, datetime] = {m.type: m.time for _, m in await engine.told(job_id)}  # type: ignore[attr-defined]
    assert (times[EventType.COMPLETED] - times[EventType.RETRYING]).total_seconds() >= 1.0


async def test_the_budget_of_a_step_ends_and_everything_is_removed(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(fail={"s2": 99}))
        job = await engine.ended(job_id, attempt=3)
    assert job.status is Status.FAILED
    assert job.error is not None
    assert job.error.code == "unlucky"
    assert AGAIN not in job.error.hint, "nothing is tried again any more"
    assert [(past["attempt"], past["step"]) for past in job.error.details["history"]] == [
        (1, "s2"),
        (2, "s2"),
        (3, "s2"),
    ]
    assert engine.ledger.things(job_id) == set()
    assert engine.ledger.did(job_id, "undo") == ["s2", "s1"]
    assert len(engine.ledger.did(job_id, "cleanup")) == 1


async def test_a_permanent_failure_ends_at_once_and_may_be_retried_by_hand(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(hopeless="s3"))
        job = await engine.ended(job_id)
        assert job.error is not None
        assert (job.status, job.attempt, job.error.code, job.error.hint) == (
            Status.FAILED,
            1,
            "hopeless",
            "Give up.",
        )
        assert engine.ledger.things(job_id) == set()
        assert await secret_is_there(engine, job_id)
        await engine.retry(job_id)
        job = await engine.ended(job_id, attempt=2)
    assert (job.status, job.attempt) == (Status.FAILED, 2)
    assert engine.ledger.did(job_id, "enter") == ["s1", "s2", "s3"] * 2  # the removals had left nothing
    assert terminals(await engine.events(job_id)) == [EventType.FAILED] * 2


async def test_what_is_wanted_otherwise_holds_from_that_retry_on(engine: Lab) -> None:
    """For the attempt, for the worker that takes it over, and for a later retry that says nothing of it."""
    otherwise = Plan(hopeless="s3", hold="s2", fail={"s1": 1}).name()
    async with engine.worker():
        job_id = await engine.submit(Plan(hopeless="s1"))
        await engine.ended(job_id)
        await engine.retry(job_id, name=otherwise)
        await running_in(engine, job_id, "s2")
    async with engine.worker():
        (engine.ledger.directory / "go").touch()
        job = await engine.ended(job_id, attempt=3)
        assert (job.status, job.step, job.name) == (Status.FAILED, "s3", otherwise)
        await engine.retry(job_id)
        job = await engine.ended(job_id, attempt=4)
    assert (job.status, job.step, job.name) == (Status.FAILED, "s3", otherwise)


async def test_an_unforeseen_error_tells_nothing_of_its_text(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit(Plan(bug="s1"))
        job = await engine.ended(job_id, attempt=3)
    assert job.error is not None
    assert job.error.code == "internal_error"
    assert job.error.details["incident"] in job.error.hint
    assert "hunter2" not in job.model_dump_json()


async def test_a_crashed_worker_uses_no_try_and_its_job_resumes_where_it_was(engine: Lab) -> None:
    workers = {process.pid: process for process in (engine.spawn(), engine.spawn())}
    job_id = await engine.submit(Plan(steps=3, ticks=40, pause=0.02, fail={"s3": 1}))
    await eventually(lambda: "s2" in engine.ledger.did(job_id, "tick5"), what="the middle of s2")
    doomed = workers[engine.ledger.entries(job_id)[0].pid]
    doomed.kill()
    doomed.wait()
    died = engine.ledger.entries(job_id)[-1].time
    job = await engine.ended(job_id, attempt=2)
    assert (job.status, job.attempt) == (Status.COMPLETED, 2)
    assert engine.ledger.did(job_id, "enter") == ["s1", "s2", "s2", "s3", "s3"]
    assert engine.ledger.did(job_id, "make") == ["s1", "s2", "s3"]
    assert engine.ledger.did(job_id, "tick1") == ["s1", "s2", "s3"]  # cursors are not walked twice
    again = next(entry for entry in engine.ledger.entries(job_id) if entry.time > died and entry.what == "enter")
    assert again.time - died < 3.0 + 2
    fences = [entry.fence for entry in engine.ledger.entries(job_id)]
    assert fences == sorted(fences)
    assert len(set(fences)) == 3


async def test_a_zombie_can_do_no_harm(engine: Lab) -> None:
    zombie = engine.spawn()
    job_id = await engine.submit(Plan(steps=2, ticks=60, pause=0.02, hold="s2"))
    await eventually(lambda: "s1" in engine.ledger.did(job_id, "tick20"), what="the middle of s1")
    zombie.send_signal(signal.SIGSTOP)
    heir = engine.spawn()
    await eventually(lambda: any(entry.pid == heir.pid for entry in engine.ledger.entries(job_id)), what="the heir")
    zombie.send_signal(signal.SIGCONT)
    await eventually(lambda: "another worker has the job" in engine.log(), what="the zombie's insight")
    (engine.things / "go").touch()
    job = await engine.ended(job_id)
    assert job.status is Status.COMPLETED
    entries = engine.ledger.entries(job_id)
    awake = next(index for index, entry in enumerate(entries) if entry.pid == heir.pid)
    late = [entry for entry in entries[awake:] if entry.pid == zombie.pid]
    assert [entry.what for entry in late if not entry.what.startswith("tick")] == []
    assert len(late) <= 1  # the write it was in when it was stopped
    assert terminals(await engine.events(job_id)) == [EventType.COMPLETED]
    told = [message.job.fence for _, message in await engine.told(job_id) if isinstance(message, JobEvent)]
    assert told == sorted(told)
    assert zombie.poll() is None  # it lives and takes new jobs
    heir.kill()
    heir.wait()
    other = await engine.submit()
    assert (await engine.ended(other)).status is Status.COMPLETED


async def test_a_job_longer_than_every_timeout_runs_once_while_its_worker_lives(engine: Lab) -> None:
    engine.spawn()
    engine.spawn()
    job_id = await engine.submit(Plan(steps=1, ticks=1, pause=9.0))  # three times ack_wait and lease
    assert (await engine.ended(job_id, timeout=20)).status is Status.COMPLETED
    assert engine.ledger.did(job_id, "enter") == ["s1"]
    assert (await engine.events(job_id)).count(EventType.STARTED) == 1


async def test_a_job_that_kills_its_workers_is_poison(engine: Lab) -> None:
    job_id = await engine.submit(Plan(deadly="s2"))
    worker = engine.spawn(poison_cap=2)

    async def ended() -> Job | None:
        nonlocal worker
        if worker.poll() is not None:
            worker = engine.spawn(poison_cap=2)
        job = await engine.job(job_id)
        return job if job.status.terminal else None

    job: Job = await eventually(ended, timeout=30, what="the poison verdict")
    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (Status.FAILED, "poison", 1)
    assert [(failure["step"], failure["code"]) for failure in job.error.details["history"]] == [("s2", "poison")]
    await eventually(lambda: "code=poison" in engine.log(), what="its line, which comes after it was told")
    assert engine.ledger.did(job_id, "die") == ["s2"] * 2
    assert engine.ledger.things(job_id) == set()
    assert worker.poll() is None


async def test_a_draining_worker_hands_its_job_over_at_once(engine: Lab) -> None:
    first = engine.spawn()
    job_id = await engine.submit(Plan(steps=2, ticks=200, pause=0.02, hold="s2"))
    await eventually(lambda: "s1" in engine.ledger.did(job_id, "tick10"), what="the middle of s1")
    second = engine.spawn()
    await asyncio.sleep(1.5)  # standing by, so that the start of Python is not part of what is measured
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=10) == 0
    await running_in(engine, job_id, "s2")
    taken = next(entry for entry in engine.ledger.entries(job_id) if entry.pid == second.pid)
    left = [entry for entry in engine.ledger.entries(job_id) if entry.pid == first.pid][-1].time
    assert taken.time - left < ACK_WAIT - 1, "handed over, not waited for"
    (engine.things / "go").touch()
    job = await engine.ended(job_id)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    checkpoint = await Records(engine.bus, streams.CHECKPOINTS).get(job_id)
    assert checkpoint is not None
    assert json.loads(checkpoint.value or b"")["crashes"] <= 1
    assert engine.ledger.did(job_id, "tick1") == ["s1", "s2"]


@pytest.mark.parametrize("state", ["pending", "running", "retrying"])
async def test_cancel_ends_a_job_in_every_state(engine: Lab, state: str) -> None:
    slow_retry = fast(retry_base=1000.0, retry_cap=1000.0)
    job_id = await engine.submit(Plan(steps=2, hold="s2", fail={"s1": 1} if state == "retrying" else {}))
    if state == "pending":
        await engine.cancel(job_id)
    async with engine.worker(settings=slow_retry):
        if state == "running":
            await running_in(engine, job_id, "s2")
        if state == "retrying":
            await eventually(lambda: _has(engine, job_id, EventType.RETRYING), what="the schedule")
        await engine.cancel(job_id)
        await engine.cancel(job_id)
        job = await engine.ended(job_id, timeout=4)
        await engine.all_acknowledged()
    assert (job.status, job.error) == (Status.CANCELLED, None)
    told = await engine.told(job_id)
    asked = next(message.time for _, message in told if message.type is EventType.CANCEL)  # type: ignore[attr-defined]
    assert job.finished_at is not None
    if state != "pending":
        assert (job.finished_at - asked).total_seconds() < 2
    assert terminals(await engine.events(job_id)) == [EventType.CANCELLED]
    assert engine.ledger.things(job_id) == set()
    assert not await secret_is_there(engine, job_id)
    assert await _schedules(engine, job_id) == 0
    if state == "running":
        phases = [folded(told[: index + 1]).phase for index in range(len(told))]
        assert Phase.CANCELLING in phases


async def test_a_cancel_after_the_end_changes_nothing(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit()
        await engine.ended(job_id)
        await engine.cancel(job_id)
        await engine.all_acknowledged()
    assert (await engine.job(job_id)).status is Status.COMPLETED
    assert terminals(await engine.events(job_id)) == [EventType.COMPLETED]


async def test_a_cancel_reaches_a_job_of_another_worker_process(engine: Lab) -> None:
    engine.spawn()
    job_id = await engine.submit(Plan(hold="s1"))
    await running_in(engine, job_id, "s1")
    async with engine.worker():  # its consumer may get the cancel: it must not believe the job is its own
        await engine.cancel(job_id)
        assert (await engine.ended(job_id, timeout=3)).status is Status.CANCELLED


async def test_a_finished_job_delivered_again_is_acknowledged_and_no_more(engine: Lab) -> None:
    async with engine.worker():
        job_id = await engine.submit()
        await engine.ended(job_id)
        before = await engine.events(job_id)
        raw = await engine.bus.js.get_last_msg("CLONES", subject("clone", EventType.REQUESTED, Lane.NORMAL, job_id))
        await engine.bus.js.publish(raw.subject or "", raw.data or b"")
        await engine.all_acknowledged()
        assert await engine.events(job_id) == [*before, EventType.REQUESTED]
        # also when only the stream remembers it
        await engine.bus.js.purge_stream("KV_checkpoints")
        await engine.bus.js.publish(raw.subject or "", raw.data or b"")
        await engine.all_acknowledged()
        assert await engine.events(job_id) == [*before, EventType.REQUESTED, EventType.REQUESTED]
        # and progress came out of a node that stood still, after the end
        where = subject("clone", EventType.PROGRESS, Lane.NORMAL, job_id)
        late = await engine.bus.js.get_last_msg("CLONES", where)
        await engine.bus.js.publish(where, late.data or b"")
        await engine.bus.js.publish(raw.subject or "", raw.data or b"")
        await engine.all_acknowledged()
        assert (await engine.events(job_id))[len(before) + 2 :] == [EventType.PROGRESS, EventType.REQUESTED]
        assert (await engine.job(job_id)).status is Status.COMPLETED


async def test_a_command_nobody_can_read_fails_visibly(engine: Lab) -> None:
    async with engine.worker():
        where = subject("clone", EventType.REQUESTED, Lane.LOW, "clone-0000000000000000")
        await engine.bus.js.publish(where, b'{"job_id": "clone-0000000000000000", "lane": "low", "password": "x"}')

        async def failed() -> JobEvent | None:
            found = (await engine.all_told()).get("clone-0000000000000000", [])
            return next((message for _, message in found if isinstance(message, JobEvent)), None)

        event = await eventually(failed, what="the refusal")
        assert event.job.error.code == "invalid_command"


async def test_nats_killed_for_a_while_costs_nothing(engine: Lab, tmp_path: Path) -> None:
    process = engine.spawn()
    jobs = [await engine.submit(Plan(steps=2, ticks=30, pause=0.05)) for _ in range(3)]
    await eventually(lambda: "s1" in engine.ledger.did(jobs[0], "tick3"), what="a running job")
    engine.house.kill()
    engine.house.start()
    for job_id in jobs:
        assert (await engine.ended(job_id, timeout=30)).status is Status.COMPLETED
        assert terminals(await engine.events(job_id)) == [EventType.COMPLETED]
        assert engine.ledger.did(job_id, "make") == ["s1", "s2"]
    assert process.poll() is None


async def _has(engine: Lab, job_id: str, event: EventType) -> bool:
    return event in await engine.events(job_id)


async def _schedules(engine: Lab, job_id: str) -> int:
    where = subject("clone", EventType.SCHEDULE_RETRY, Lane.NORMAL, job_id)
    info = await engine.bus.js.stream_info("CLONES", subjects_filter=where)
    return sum((info.state.subjects or {}).values())
