"""Who is served when: lanes, the slot kept for high, aging, and the limits over all replicas."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from shared.contract import streams
from shared.contract.events import JobEvent, Retry
from shared.contract.jobs import Job, Phase, Status
from shared.contract.subjects import EventType, Lane
from shared.engine.depth import Depth, depth
from shared.engine.fairness import share
from shared.engine.records import Records
from shared.engine.worker import Limits
from tests.engine.lab import Lab, fast, lab
from tests.engine.light import Entry, Plan
from tests.live.stack import eventually

QUICK = Plan(steps=1, ticks=0, pause=0)


@pytest.fixture(scope="module")
async def the_lab() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


@pytest.fixture
async def engine(the_lab: Lab) -> AsyncIterator[Lab]:
    the_lab.fresh_ledger()
    yield the_lab
    try:
        await the_lab.all_acknowledged(timeout=30)
    except AssertionError:  # the jobs of one failed test are not the next one's
        await the_lab.bus.js.purge_stream(streams.STREAMS["clone"])
        raise
    finally:
        the_lab.stop_processes()
    info = await the_lab.bus.js.stream_info(Records(the_lab.bus, streams.LIMITS).stream, subjects_filter=">")
    slots = [name for name in info.state.subjects or {} if re.search(r"\.(slot|run|place|claim|counting)\.", name)]
    assert slots == [], "a permit was left behind"


def entered(engine: Lab) -> list[str]:
    return [entry.job for entry in engine.ledger.entries() if entry.what == "enter"]


def most_at_once(entries: list[Entry], jobs: set[str]) -> int:
    running, most = 0, 0
    for entry in entries:
        if entry.job in jobs:
            running += (entry.what == "enter") - (entry.what == "leave")
            most = max(most, running)
    return most


async def all_ended(engine: Lab, jobs: list[str], timeout: float = 30) -> list[Job]:
    return [await engine.ended(job, timeout=timeout) for job in jobs]


async def test_high_first_then_normal_then_low(engine: Lab) -> None:
    low = [await engine.submit(QUICK, lane=Lane.LOW) for _ in range(4)]
    normal = [await engine.submit(QUICK) for _ in range(4)]
    high = [await engine.submit(QUICK, lane=Lane.HIGH) for _ in range(4)]
    async with engine.worker(slots=1, settings=fast(aging=100)):
        await all_ended(engine, low)
    assert entered(engine) == [*high, *normal, *low]


async def test_a_worker_of_one_lane_leaves_the_others_alone(engine: Lab) -> None:
    high = await engine.submit(QUICK, lane=Lane.HIGH)
    low = [await engine.submit(QUICK, lane=Lane.LOW) for _ in range(3)]
    async with engine.worker(slots=2, settings=fast(lanes=(Lane.LOW,))):
        await all_ended(engine, low)
        assert set(entered(engine)) == set(low)
        assert (await depth(engine.bus, "clone"))[Lane.HIGH].waiting == 1
        await engine.cancel(high, Lane.HIGH)
        assert (await engine.ended(high)).status is Status.CANCELLED, "a cancel is every worker's"
    async with engine.worker():  # takes what is left of it out of the lane
        await engine.all_acknowledged(timeout=30)


async def test_depth_tells_what_waits_and_what_runs(engine: Lab) -> None:
    jobs = [await engine.submit(Plan(steps=1, ticks=0, hold="s1")) for _ in range(3)]
    jobs.append(await engine.submit(QUICK, lane=Lane.LOW))
    assert await depth(engine.bus, "clone") == {Lane.HIGH: Depth(0, 0), Lane.NORMAL: Depth(3, 0), Lane.LOW: Depth(1, 0)}
    async with engine.worker(slots=2):
        await eventually(lambda: len(entered(engine)) == 1, what="a running job")
        assert (await depth(engine.bus, "clone"))[Lane.NORMAL] == Depth(2, 1)
        (engine.things / "go").touch()
        await all_ended(engine, jobs)


async def test_a_low_job_is_not_passed_over_for_ever(engine: Lab) -> None:
    low = await engine.submit(QUICK, lane=Lane.LOW)
    high = [await engine.submit(QUICK, lane=Lane.HIGH) for _ in range(12)]
    async with engine.worker(slots=1, settings=fast(aging=5)):
        await all_ended(engine, [low, *high])
    assert entered(engine).index(low) == 5


async def test_a_high_job_finds_a_slot_kept_for_it(engine: Lab) -> None:
    async with engine.worker(slots=3):
        held = [await engine.submit(Plan(steps=1, ticks=0, hold="s1")) for _ in range(4)]
        await eventually(lambda: len(entered(engine)) == 2, what="two running jobs")
        high = await engine.submit(QUICK, lane=Lane.HIGH)
        job = await engine.ended(high)
        assert job.started_at is not None
        assert (job.started_at - job.created_at).total_seconds() < 0.2
        assert len(entered(engine)) == 3
        (engine.things / "go").touch()
        await all_ended(engine, held)
    assert most_at_once(engine.ledger.entries(), set(held)) == 2


async def test_blocking_steps_of_all_slots_run_at_once_whatever_the_processors(engine: Lab) -> None:
    async with engine.worker(slots=12):
        held = [await engine.submit(Plan(steps=1, ticks=0, hold="s1")) for _ in range(11)]
        await eventually(lambda: set(entered(engine)) == set(held), what="eleven blocked threads")
        (engine.things / "go").touch()
        await all_ended(engine, held)


async def test_a_high_job_behind_300_normal_ones_waits_only_for_a_free_slot(engine: Lab) -> None:
    normal = [await engine.submit(Plan(steps=1, ticks=1, pause=0.005)) for _ in range(300)]
    waits = []
    async with engine.worker(slots=1, settings=fast(aging=100)):
        for _ in range(10):
            high = await engine.submit(QUICK, lane=Lane.HIGH)
            await eventually(lambda job=high: job in entered(engine), what="the high job")
            waits.append(_wait_for_slot(engine, high))
        assert len(set(entered(engine)) & set(normal)) < 290, "the high jobs were not among waiting normal ones"
        for job in normal[100:]:
            await engine.cancel(job)
        await engine.all_acknowledged(timeout=60)
    print(f"high job after a free slot, ms: max {max(waits) * 1000:.1f}")
    assert max(waits) < 1.5  # the benchmark measures closely; this machine is shared


def _wait_for_slot(engine: Lab, job: str) -> float:
    """Seconds between the end of the work before, and the start of this job."""
    entries = engine.ledger.entries()
    start = next(index for index, entry in enumerate(entries) if entry.job == job and entry.what == "enter")
    return entries[start].time - entries[start - 1].time


async def test_jobs_over_a_limit_wait_visibly_in_order_and_never_fail(engine: Lab) -> None:
    limits = Limits(per_source=2)
    plan = Plan(steps=1, ticks=5, pause=0.03)
    async with engine.worker(slots=5, settings=fast(limits)), engine.worker(slots=5, settings=fast(limits)):
        busy = [await engine.submit(plan, source="http://busy.test/x") for _ in range(8)]
        other = await engine.submit(plan, source="http://other.test")
        ended = await all_ended(engine, [*busy, other])
        await engine.all_acknowledged()
    assert {job.status for job in ended} == {Status.COMPLETED}
    assert {job.attempt for job in ended} == {1}
    assert most_at_once(engine.ledger.entries(), set(busy)) == 2
    assert entered(engine).index(other) <= 3
    waiting = [await _waits(engine, job) for job in busy]
    assert sum(bool(told) for told in waiting) >= 5
    for told in filter(None, waiting):
        assert [(event.job.status, event.job.phase) for event in told] == [(Status.PENDING, Phase.WAITING)]
        assert told[0].job.message == "Waiting: 2 jobs are already reading from busy.test"
    order = [entered(engine).index(job) for job in busy]
    assert sum(abs(place - rank) for rank, place in enumerate(order)) <= 2 * len(busy)


async def _waits(engine: Lab, job: str) -> list[JobEvent]:
    return [m for _, m in await engine.told(job) if isinstance(m, JobEvent) and m.type is EventType.WAITING]


@pytest.mark.parametrize("limits", [Limits(total=1), Limits(per_tenant=1)], ids=["total", "tenant"])
async def test_limits_hold_over_processes(engine: Lab, limits: Limits) -> None:
    for _ in range(2):
        engine.spawn(slots=4, limits=limits)
    plan = Plan(steps=1, ticks=3, pause=0.03)
    jobs = [await engine.submit(plan, source=f"http://{n}.test") for n in range(5)]
    await all_ended(engine, jobs)
    assert most_at_once(engine.ledger.entries(), set(jobs)) == 1


async def test_a_keys_share_of_slots_holds_for_its_jobs_alone(engine: Lab) -> None:
    """Over workers; jobs of other keys of the same tenant, or without one, do not wait for it."""
    plan = Plan(steps=1, ticks=3, pause=0.03)
    async with engine.worker(slots=4, settings=fast(Limits())), engine.worker(slots=4, settings=fast(Limits())):
        mine = [await engine.submit(plan, source=f"http://{n}.test", key="ci", key_slots=1) for n in range(4)]
        theirs = [await engine.submit(plan, source=f"http://t{n}.test", key="boss", key_slots=3) for n in range(2)]
        others = [await engine.submit(plan, source=f"http://o{n}.test") for n in range(2)]
        ended = await all_ended(engine, [*mine, *theirs, *others])
        await engine.all_acknowledged()
    assert {(job.status, job.attempt) for job in ended} == {(Status.COMPLETED, 1)}
    entries = engine.ledger.entries()
    assert most_at_once(entries, set(mine)) == 1
    assert most_at_once(entries, {*mine, *theirs, *others}) > 1
    waiting = [event for job in mine for event in await _waits(engine, job)]
    assert waiting
    assert {event.job.reason for event in waiting} == {"limit:key"}
    assert {event.job.message for event in waiting} == {"Waiting: 1 job of this API key is already running"}
    assert [event for job in (*theirs, *others) for event in await _waits(engine, job)] == []


async def test_the_permit_of_a_killed_worker_comes_back(engine: Lab) -> None:
    limits = Limits(per_source=1)
    doomed = engine.spawn(slots=3, limits=limits)
    first = await engine.submit(Plan(steps=1, hold="s1"))
    await eventually(lambda: entered(engine) == [first], what="the first job")
    second = await engine.submit(QUICK)
    await eventually(lambda: _is_waiting(engine, second), what="the second job's wait")
    doomed.kill()
    doomed.wait()
    (engine.things / "go").touch()
    engine.spawn(limits=limits)
    assert {job.status for job in await all_ended(engine, [first, second])} == {Status.COMPLETED}


async def test_cancel_ends_a_waiting_job(engine: Lab) -> None:
    limits = Limits(per_source=1)
    async with engine.worker(slots=4, settings=fast(limits, wait_min=30.0, wait_max=30.0)):
        first = await engine.submit(Plan(steps=1, hold="s1"))
        await eventually(lambda: entered(engine) == [first], what="the first job")
        second = await engine.submit(QUICK)
        await eventually(lambda: _is_waiting(engine, second), what="the second job's wait")
        await engine.cancel(second)
        assert (await engine.ended(second, timeout=2)).status is Status.CANCELLED
        (engine.things / "go").touch()
        await engine.ended(first)
    assert entered(engine) == [first]


async def test_jobs_wait_in_line_for_places_that_others_keep(engine: Lab) -> None:
    """Four places, ten jobs: what a job made stays when it has ended, and the next one waits until it is removed."""
    engine.workflow.most = 4
    async with (
        engine.worker(slots=6, room=engine.workflow),
        engine.worker(slots=6, room=engine.workflow),
    ):
        jobs = [await engine.submit(QUICK, source=f"http://{number}.test") for number in range(10)]
        made = await eventually(lambda: _with_places(engine, 4), what="four jobs")
        later = [job for job in jobs if job not in made]
        await eventually(lambda: _all_wait(engine, later), what="six jobs that wait")
        for job in later:
            gone = made.pop(0)
            assert (await engine.ended(gone)).status is Status.COMPLETED
            for thing in engine.ledger.things(gone):
                (engine.things / thing).unlink()
            made = await eventually(lambda: _with_places(engine, 4), what="the next job")
            assert job in made, "first in, first out"
        ended = await all_ended(engine, jobs)
    assert {job.attempt for job in ended} == {1}
    told = [await _waits(engine, job) for job in later]
    assert {event.job.reason for events in told for event in events} == {"quota"}
    assert [len(events) for events in told] == [1] * 6, "told once"


async def test_of_many_who_ask_in_one_instant_one_gets_the_last_place(engine: Lab) -> None:
    """Nobody finds out only when it makes its clone, long after it has signed in to its source."""
    engine.workflow.most = 1
    jobs = [await engine.submit(QUICK, source=f"http://{number}.test") for number in range(12)]
    async with engine.worker(slots=8, room=engine.workflow), engine.worker(slots=8, room=engine.workflow):
        made = await eventually(lambda: _with_places(engine, 1), what="the first job")
        await eventually(lambda: _all_wait(engine, [job for job in jobs if job not in made]), what="the others")
        assert [entry for entry in engine.ledger.entries() if entry.what == "refused"] == []
        engine.workflow.most = None
        await all_ended(engine, jobs)


async def test_a_tenant_with_its_share_of_the_places_lets_others_go_first(engine: Lab) -> None:
    engine.workflow.most = 4
    async with engine.worker(slots=6, room=engine.workflow):
        many = [await engine.submit(QUICK, tenant="many") for _ in range(8)]
        made = await eventually(lambda: _with_places(engine, 4), what="four jobs of one tenant")
        await all_ended(engine, made)
        later = [job for job in many if job not in made]
        few = [await engine.submit(QUICK, tenant="few") for _ in range(3)]
        await eventually(lambda: _all_wait(engine, [*later, *few]), what="the rest")
        got = []
        for _ in range(3):
            gone = made.pop(0)
            for thing in engine.ledger.things(gone):
                (engine.things / thing).unlink()
            made = await eventually(lambda: _with_places(engine, 4), what="the next job")
            got.append(made[-1])
            await engine.ended(made[-1])
        assert got == [*few[:2], later[0]], "two of four places are a share; then who came first"
        engine.workflow.most = None
        await all_ended(engine, [*many, *few])


async def test_jobs_do_not_count_on_the_same_free_space(engine: Lab) -> None:
    engine.workflow.free = 100
    plan = Plan(steps=2, hold="s1", space=40)
    async with engine.worker(slots=6), engine.worker(slots=6):
        jobs = [await engine.submit(plan, source=f"http://{number}.test") for number in range(5)]
        await eventually(lambda: len(entered(engine)) == 2, what="two jobs that fit")
        await eventually(lambda: _some_wait(engine, jobs, 3), what="three jobs that wait")
        assert len(entered(engine)) == 2
        (engine.things / "go").touch()
        ended = await all_ended(engine, jobs)
    assert {(job.status, job.attempt) for job in ended} == {(Status.COMPLETED, 1)}
    waits = [event.job.reason for job in jobs for event in await _waits(engine, job)]
    assert set(waits) == {"limit:space"}


async def test_a_job_that_another_worker_takes_over_keeps_its_space(engine: Lab) -> None:
    engine.workflow.free = 100
    async with engine.worker(slots=2) as first:
        job_id = await engine.submit(Plan(steps=1, hold="s1", space=70))
        await eventually(lambda: len(entered(engine)) == 1, what="the job that fits")
    del first
    async with engine.worker(slots=4):
        await eventually(lambda: len(entered(engine)) == 2, what="the same job, here")
        other = await engine.submit(Plan(steps=1, space=70), source="http://b.test")
        await eventually(lambda: _is_waiting(engine, other), what="the other, which waits")
        (engine.things / "go").touch()
        await all_ended(engine, [job_id, other])
    assert most_at_once(engine.ledger.entries(), {job_id, other}) <= 2


async def _some_wait(engine: Lab, jobs: list[str], number: int) -> bool:
    return sum([await _is_waiting(engine, job) for job in jobs]) == number


def _with_places(engine: Lab, number: int) -> list[str]:
    """The jobs that have one, in the order they got it, once there are so many."""
    places = engine.workflow.places()
    assert places is not None
    assert len(places.taken) <= number
    entered_in_order = [entry.job for entry in engine.ledger.entries() if entry.what == "make"]
    return [job for job in entered_in_order if job in places.taken] if len(places.taken) == number else []


async def _all_wait(engine: Lab, jobs: list[str]) -> bool:
    return all([await _is_waiting(engine, job) for job in jobs])


async def test_whoever_makes_the_place_has_the_last_word(engine: Lab) -> None:
    """Nobody counts here beforehand, as when two ask at the same moment: who finds no room waits all the same."""
    engine.workflow.most = 1
    async with engine.worker(slots=4):
        first = await engine.submit(QUICK)
        assert (await engine.ended(first)).status is Status.COMPLETED
        second = await engine.submit(QUICK)
        await eventually(lambda: engine.ledger.did(second, "refused")[3:], what="more refusals than a step has tries")
        job = await engine.job(second)
        assert (job.phase, job.reason, job.attempt) == (Phase.WAITING, "quota", 1)
        for thing in engine.ledger.things(first):
            (engine.things / thing).unlink()
        job = await engine.ended(second)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)


async def _is_waiting(engine: Lab, job: str) -> bool:
    return (await engine.job(job)).phase is Phase.WAITING


async def test_a_hand_retry_of_a_scheduled_job_runs_now_and_once(engine: Lab) -> None:
    async with engine.worker(settings=fast(retry_base=1000.0, retry_cap=1000.0)):
        job_id = await engine.submit(Plan(steps=2, fail={"s2": 1}))

        async def scheduled() -> datetime | None:
            told = await engine.told(job_id)
            return next((m.time for _, m in told if isinstance(m, JobEvent) and m.type is EventType.RETRYING), None)

        await eventually(scheduled, what="the schedule")
        await engine.bus.publish(Retry(job_id=job_id, attempt=2, manual=True))
        job = await engine.ended(job_id, attempt=2)
        await asyncio.sleep(0)
    assert job.status is Status.COMPLETED
    assert engine.ledger.did(job_id, "enter") == ["s1", "s2", "s2"]


async def test_a_tenant_with_three_jobs_does_not_wait_for_the_sixty_of_another(engine: Lab) -> None:
    """No limits are set: the share is there by default, and nobody is held back while nobody else waits."""
    step = Plan(steps=1, ticks=1, pause=0.6)  # longer than what is known of the queue stays fresh
    many = [await engine.submit(step, source=f"http://a{number}.test", tenant="many") for number in range(40)]
    async with engine.worker(slots=4):
        await eventually(lambda: len(entered(engine)) >= 6, timeout=30, what="the first jobs")
        few = [await engine.submit(step, source=f"http://b{number}.test", tenant="few") for number in range(3)]
        await all_ended(engine, [*many, *few], timeout=120)
    order = entered(engine)
    entries = [entry for entry in engine.ledger.entries() if entry.what in {"enter", "leave"}]
    assert max(order.index(job) for job in few) < len(order) - 8, "they came last"
    assert most_at_once(entries, set(many)) == 3, "alone, a tenant has all slots but the one kept for high"
    told = [message for job in many for _, message in await engine.told(job) if isinstance(message, JobEvent)]
    assert "limit:fair" in {event.job.reason for event in told if event.type is EventType.WAITING}


async def test_a_tenant_whose_jobs_never_end_does_not_keep_another_from_beginning(engine: Lab) -> None:
    """All slots are taken before the other comes; it gets one more, and the first tenant does not."""
    limits = Limits(per_source=None)
    async with engine.worker(slots=4, settings=fast(limits)):
        held = Plan(steps=1, hold="s1")
        many = [await engine.submit(held, source=f"http://a{number}.test", tenant="many") for number in range(8)]
        await eventually(lambda: len(entered(engine)) >= 3, timeout=30, what="full slots")
        few = [await engine.submit(QUICK, source=f"http://b{number}.test", tenant="few") for number in range(2)]
        ended = [await engine.ended(job, timeout=60) for job in few]
        assert {job.status for job in ended} == {Status.COMPLETED}
        assert len(set(entered(engine)) & set(many)) == 3, "nobody else got more"
        (engine.things / "go").touch()
        await all_ended(engine, many, timeout=120)


async def test_shares_leave_no_slot_empty() -> None:
    assert [share(4, tenants) for tenants in (1, 2, 3, 4, 9)] == [4, 2, 2, 1, 1]
