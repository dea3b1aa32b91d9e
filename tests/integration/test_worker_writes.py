"""What a job costs the log, in messages that are written through to the disk, counted by the server; and that a job
which has no lease yet is as safe as one that has."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from shared.contract import streams
from shared.contract.events import JobEvent
from shared.contract.jobs import Status
from shared.contract.subjects import TERMINAL, EventType
from shared.engine.checkpoint import HELD, Checkpoint, serialised
from shared.engine.records import Records
from tests.engine.lab import Lab, fast, lab
from tests.engine.light import Plan
from tests.live.stack import eventually

RECORDED = Path(__file__).parents[1] / "engine" / "recorded.json"
"""Log and checkpoints as the release before wrote them: four events a step, and the end told in the checkpoint."""
LOG, CHECKPOINTS, VAULT = "CLONES", f"KV_{streams.CHECKPOINTS}", f"KV_{streams.VAULT}"
LEASES, LIMITS = f"KV_{streams.LEASES}", f"KV_{streams.LIMITS}"
CALM = fast(ack_wait=30.0, heartbeat=10.0, progress_interval=60.0)
"""No heartbeat while a short job runs."""
SLOW_BEAT = 1.5
"""Seconds, of a lease of two: what happens before the first one happens without a lease."""


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


@asynccontextmanager
async def counted(engine: Lab) -> AsyncIterator[Counter[str]]:
    """Stored messages by stream, and removals that removed something: each is a write of its own."""
    found: Counter[str] = Counter()

    async def on_call(msg: Msg) -> None:
        said = json.loads(msg.data)
        call, stream = said["subject"].rpartition(".")[::2]
        if call == "$JS.API.STREAM.PURGE" and json.loads(said["response"]).get("purged"):
            found[stream] += 1

    heard = await engine.bus.nc.subscribe("$JS.EVENT.ADVISORY.API", cb=on_call)
    before = await _last(engine)
    yield found
    await asyncio.sleep(0.2)
    await heard.unsubscribe()
    found.update({stream: last - before[stream] for stream, last in (await _last(engine)).items()})
    for stream in [stream for stream, writes in found.items() if not writes]:
        del found[stream]


async def _last(engine: Lab) -> dict[str, int]:
    return {str(info.config.name): info.state.last_seq for info in await engine.bus.js.streams_info()}


async def test_a_job_of_one_step_costs_six_writes(engine: Lab) -> None:
    """Command, claim, started; how it ends, its end; its login is removed. Before: fifteen."""
    async with engine.worker(settings=CALM):
        async with counted(engine) as writes:
            job_id = await engine.submit(Plan(steps=1, ticks=0))
            assert (await engine.ended(job_id)).status is Status.COMPLETED
            await engine.all_acknowledged()
    writes[VAULT] -= 1  # the login itself, when it was submitted
    assert writes == {LOG: 3, CHECKPOINTS: 2, VAULT: 1}


async def test_a_further_step_costs_two_more(engine: Lab) -> None:
    async with engine.worker(settings=CALM):
        async with counted(engine) as writes:
            job_id = await engine.submit(Plan(steps=3, ticks=0))
            await engine.ended(job_id)
            await engine.all_acknowledged()
    assert writes == {LOG: 5, CHECKPOINTS: 4, VAULT: 2}
    assert await engine.events(job_id) == [
        EventType.REQUESTED,
        EventType.STARTED,
        EventType.PROGRESS,
        EventType.PROGRESS,
        EventType.COMPLETED,
    ]


async def test_a_job_that_outlives_a_heartbeat_has_a_lease_and_a_mark(engine: Lab) -> None:
    async with engine.worker(settings=fast(heartbeat=0.3, progress_interval=60.0)):
        async with counted(engine) as writes:
            job_id = await engine.submit(Plan(steps=1, hold="s1", ticks=0))
            leases, limits = Records(engine.bus, streams.LEASES), Records(engine.bus, streams.LIMITS)
            await eventually(lambda: leases.get(job_id), what="the lease")
            await eventually(lambda: limits.matching(f"clone.*.run.{job_id}"), what="the mark")
            (engine.things / "go").touch()
            await engine.ended(job_id)
            await engine.all_acknowledged()
    assert (writes[LOG], writes[CHECKPOINTS]) == (3, 2)
    assert writes[LEASES] >= 2
    assert writes[LIMITS] >= 2
    assert await leases.get(job_id) is None
    assert await limits.matching("clone.>") == []


async def test_who_died_before_its_first_heartbeat_is_followed_once_its_time_is_over(engine: Lab) -> None:
    doomed = engine.spawn(heartbeat=SLOW_BEAT)
    job_id = await engine.submit(Plan(steps=2, hold="s1"))
    await eventually(lambda: engine.ledger.did(job_id, "enter"), timeout=30, what="the first step")
    doomed.kill()
    doomed.wait()
    stored = await Records(engine.bus, streams.CHECKPOINTS).get(job_id)
    assert stored is not None
    assert json.loads(stored.value or b"")["ticket"] == HELD
    assert await Records(engine.bus, streams.LEASES).get(job_id) is None
    (engine.things / "go").touch()
    async with engine.worker(settings=fast(heartbeat=SLOW_BEAT)):
        job = await engine.ended(job_id, timeout=20)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    assert engine.ledger.did(job_id, "make") == ["s1", "s2"]
    fences = [entry.fence for entry in engine.ledger.entries(job_id)]
    assert fences == sorted(fences)
    assert len(set(fences)) == 2


async def test_a_zombie_without_a_lease_can_do_no_harm(engine: Lab) -> None:
    """Stopped before its first heartbeat, and awake again when another worker has taken its job over."""
    zombie = engine.spawn(heartbeat=SLOW_BEAT)
    job_id = await engine.submit(Plan(steps=2, ticks=200, pause=0.02, hold="s2"))
    await eventually(lambda: "tick3" in engine.ledger.did_all(job_id), timeout=30, what="the first step")
    zombie.send_signal(signal.SIGSTOP)
    assert await Records(engine.bus, streams.LEASES).get(job_id) is None
    async with engine.worker(settings=fast(heartbeat=SLOW_BEAT)):
        mine = await eventually(lambda: _pids(engine, job_id) - {zombie.pid}, timeout=20, what="the heir")
        zombie.send_signal(signal.SIGCONT)
        await eventually(lambda: "another worker has the job" in engine.log(), timeout=20, what="the zombie's insight")
        (engine.things / "go").touch()
        assert (await engine.ended(job_id, timeout=30)).status is Status.COMPLETED
    entries = engine.ledger.entries(job_id)
    awake = next(index for index, entry in enumerate(entries) if entry.pid in mine)
    late = [entry.what for entry in entries[awake:] if entry.pid == zombie.pid]
    assert [what for what in late if not what.startswith("tick")] == []
    assert len(late) <= 1  # the write it was in when it was stopped
    events = await engine.events(job_id)
    assert [event for event in events if event in TERMINAL] == [EventType.COMPLETED]


def _pids(engine: Lab, job_id: str) -> set[int]:
    return {entry.pid for entry in engine.ledger.entries(job_id)}


async def test_a_cancel_that_another_worker_gets_leaves_a_job_without_a_lease_to_its_worker(engine: Lab) -> None:
    """Whoever is given it must not remove what a step is just making: the job ends where it runs."""
    async with engine.worker(settings=CALM) as first:
        job_id = await engine.submit(Plan(steps=1, hold="s1"))
        await eventually(lambda: engine.ledger.did(job_id, "enter"), what="the step")
        async with engine.worker(settings=CALM), engine.worker(settings=CALM):
            [run] = [run for _, run in first._runs.values()]
            run.stop = lambda reason: None  # type: ignore[method-assign] # it has not heard of it
            await engine.cancel(job_id)
            await asyncio.sleep(1.0)
            assert engine.ledger.did(job_id, "undo") == []
            assert await Records(engine.bus, streams.LEASES).get(job_id) is None
            (engine.things / "go").touch()
            assert (await engine.ended(job_id)).status is Status.COMPLETED
            await engine.all_acknowledged()
    assert [event for event in await engine.events(job_id) if event in TERMINAL] == [EventType.COMPLETED]


async def test_two_that_are_given_a_new_job_at_the_same_moment_run_it_once(engine: Lab) -> None:
    jobs = [await engine.submit(Plan(steps=1, ticks=1)) for _ in range(3)]
    raw = [await engine.bus.js.get_last_msg(LOG, f"clone.requested.normal.{job}") for job in jobs]
    async with engine.worker(settings=CALM), engine.worker(settings=CALM):
        for message in raw:
            await engine.bus.js.publish(message.subject or "", message.data or b"")
        for job in jobs:
            assert (await engine.ended(job)).status is Status.COMPLETED
        await engine.all_acknowledged(timeout=20)
    for job in jobs:
        assert engine.ledger.did(job, "enter") == ["s1"]
        assert [event for event in await engine.events(job) if event in TERMINAL] == [EventType.COMPLETED]


async def test_a_login_is_forgotten_also_when_its_worker_died_right_after_the_end(engine: Lab) -> None:
    """The checkpoint of a job that completed does not say that it has: the log does."""
    async with engine.worker():
        job_id = await engine.submit(Plan(steps=1))
        await engine.ended(job_id)
        await engine.all_acknowledged()
    vault = Records(engine.bus, streams.VAULT)
    await vault.write(job_id, b"sealed", last=0)
    raw = await engine.bus.js.get_last_msg(LOG, f"clone.requested.normal.{job_id}")
    async with engine.worker():
        await engine.bus.js.publish(raw.subject or "", raw.data or b"")
        await eventually(lambda: _gone(vault, job_id), what="the login's end")
        await engine.all_acknowledged()
    assert (await engine.events(job_id)).count(EventType.COMPLETED) == 1


async def _gone(records: Records, key: str) -> bool:
    return await records.get(key) is None


async def test_what_an_older_release_left_is_gone_on_with(engine: Lab) -> None:
    recorded = json.loads(RECORDED.read_text())
    jobs = recorded["jobs"]
    await _replay(engine, recorded)
    async with engine.worker():
        ended = {name: await engine.ended(jobs[name], timeout=20) for name in ("running", "waiting")}
        ended["retrying"] = await engine.ended(jobs["retrying"], attempt=3, timeout=20)
        await engine.retry(jobs["failed"])
        failed = await engine.ended(jobs["failed"], attempt=2)
        await engine.all_acknowledged()
    assert {job.status for job in ended.values()} == {Status.COMPLETED}
    entered = {name: engine.ledger.did(job, "enter") for name, job in jobs.items()}
    assert entered == {
        "completed": [],
        "failed": ["s1", "s2"],  # from its beginning: the removals had left nothing
        "retrying": ["s2", "s2"],  # which fails once, wherever it runs
        "running": ["s2", "s3"],
        "waiting": ["s1"],
    }
    assert engine.ledger.did(jobs["running"], "tick1") == ["s3"], "from where it was in the step"
    assert (failed.status, failed.attempt) == (Status.FAILED, 2)
    stories = await engine.all_told()
    ends = {
        name: [m.type for _, m in stories[job] if isinstance(m, JobEvent) and m.type in TERMINAL]
        for name, job in jobs.items()
    }
    once = [EventType.COMPLETED]
    both = [EventType.FAILED, EventType.FAILED]
    assert ends == {"completed": once, "failed": both, "retrying": once, "running": once, "waiting": once}


async def _replay(engine: Lab, recorded: dict[str, object]) -> None:
    """Store it again under the same sequences; what was not recorded had expired."""
    last = 0
    for entry in recorded["log"]:  # type: ignore[attr-defined]
        while last + 1 < entry["seq"]:
            last = (await engine.bus.js.publish("clone.progress.low.clone-0000000000000000", b"{}")).seq
        body = json.dumps(entry["payload"]).encode()
        last = (await engine.bus.js.publish(entry["subject"], body, headers=dict(entry["headers"]))).seq
        assert last == entry["seq"]
    checkpoints = Records(engine.bus, streams.CHECKPOINTS)
    for job, value in recorded["checkpoints"].items():  # type: ignore[attr-defined]
        await checkpoints.write(job, json.dumps(value).encode(), last=0)


class Before(BaseModel):
    """What older releases read of a checkpoint, as far as it matters here."""

    attempt: int = 1
    ticket: int = 0
    fence: int = 0


def test_older_workers_leave_a_job_without_a_lease_alone() -> None:
    held = Checkpoint(fence=3, held_for=20.5)
    with pytest.raises(ValidationError):
        Before.model_validate_json(serialised(held, "{}"))
    assert Checkpoint.model_validate_json(serialised(held, "{}")) == held
    free = Checkpoint(fence=3, ticket=2)
    assert Before.model_validate_json(serialised(free, "{}")).ticket == 2
    assert Checkpoint.model_validate_json(serialised(free, "{}")) == free
