"""Three nats-servers, everything at three replicas: any one of them may be killed, also the one that leads."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest

from shared.contract import streams
from shared.contract.events import JobEvent
from shared.contract.jobs import Status
from shared.contract.subjects import LANES, TERMINAL, EventType
from shared.engine.records import patiently
from shared.engine.worker import Limits
from tests.engine.cluster import NODES, Cluster
from tests.engine.lab import Lab, folded, lab
from tests.engine.light import Plan
from tests.faults.test_engine_faults import _all_ended
from tests.live.stack import eventually

JOBS = 60
WORKERS = 3
SEED = 20261125
ACK_WAIT = 10.0
"""Longer than an election and a beat, as in the product."""
OPTIONS = {"ack_wait": ACK_WAIT, "heartbeat": 2.5, "limits": Limits(per_source=6), "poison_cap": 1000}
FROZEN = 15.0
"""Seconds a node stands still: longer than an election and than a lease."""
LED = [streams.STREAMS["clone"], f"KV_{streams.CHECKPOINTS}", f"KV_{streams.LEASES}"]
"""Streams whose leader is killed, one after the other."""


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab(Cluster, ack_wait=ACK_WAIT) as made:
        yield made


async def test_every_job_ends_once_whichever_node_dies(engine: Lab) -> None:
    cluster: Cluster = engine.house
    rng, begun = random.Random(SEED), time.monotonic()
    assert await _replicated(engine)
    for _ in range(WORKERS):
        engine.spawn(slots=3, **OPTIONS)
    plans = [Plan(steps=3, ticks=rng.randint(4, 12), pause=rng.uniform(0.03, 0.15)) for _ in range(JOBS)]
    for number, plan in enumerate(plans):
        if number % 5 == 1:
            plan.fail = {"s2": 1}
        if number % 10 == 2:
            plan.hopeless = "s3"
    jobs: list[str] = []

    async def submit() -> None:
        for number, plan in enumerate(plans):
            source, lane = f"http://{number % 4}.test", LANES[number % 3]
            jobs.append(await patiently(lambda: engine.submit(plan, lane=lane, source=source)))  # noqa: B023
            await asyncio.sleep(0.3)

    submitting = asyncio.create_task(submit())
    for stream in LED:
        await asyncio.sleep(rng.uniform(0.5, 1.5))
        leader = await patiently(lambda: cluster.leader(engine.bus.js, stream))  # noqa: B023
        await asyncio.to_thread(cluster.kill, leader)
        await asyncio.sleep(rng.uniform(1.0, 6.0))
        await asyncio.to_thread(cluster.start, leader)
    await asyncio.to_thread(cluster.kill, rng.randrange(NODES))  # and stays away to the end
    await submitting
    await eventually(lambda: patiently(lambda: _all_ended(engine, jobs)), timeout=90, what="the end of all jobs")
    await engine.all_acknowledged(timeout=30)
    print(f"{JOBS} jobs, {len(LED) + 1} nodes killed, {time.monotonic() - begun:.1f} s")
    await _check(engine, dict(zip(jobs, plans, strict=True)))


async def _replicated(engine: Lab) -> bool:
    """Whether everything we installed has three copies."""
    js, wanted = engine.bus.js, (streams.work_consumer("clone", lane) for lane in LANES)
    names = (*streams.STREAMS.values(), *(f"KV_{bucket}" for bucket in streams.BUCKETS))
    found = [await js.stream_info(name) for name in names]
    consumers = [await js.consumer_info(streams.STREAMS["clone"], name) for name in wanted]
    copies = {info.config.num_replicas for info in (*found, *consumers)}
    peers = {len(info.cluster.replicas or []) for info in found if info.cluster is not None}
    return copies == {NODES} and peers == {NODES - 1}


async def _check(engine: Lab, jobs: dict[str, Plan]) -> None:
    stories = await engine.all_told()
    for job, plan in jobs.items():
        events = [message for _, message in stories[job] if isinstance(message, JobEvent)]
        ends = [event for event in events if event.type in TERMINAL]
        assert len(ends) == 1, f"{job} ended {len(ends)} times"
        late = {event.type for event in events[events.index(ends[0]) + 1 :]}
        assert late <= {EventType.PROGRESS}, "only progress may lie in the buffers of a node that stands still"
        assert folded(stories[job]).status is ends[0].job.status, f"{job} went on after its end"
        assert ends[0].job.status is (Status.FAILED if plan.hopeless else Status.COMPLETED)
        assert ends[0].job.attempt <= 1 + sum(plan.fail.values()), "an election used up a try"
        entries = engine.ledger.entries(job)
        made = [entry.step for entry in entries if entry.what == "make"]
        assert len(made) == len(set(made)), f"{job}: a thing was made twice"
        fences = [entry.fence for entry in entries]
        assert fences == sorted(fences), f"{job}: an older worker acted after a newer one"
        left = set() if plan.hopeless else {f"{job}.s{number}" for number in (1, 2, 3)}
        assert engine.ledger.things(job) == left


async def test_jobs_go_on_while_the_leading_node_is_frozen(engine: Lab) -> None:
    """Its connections stay open, so nobody is told: the others elect, clients wait and turn to them."""
    cluster: Cluster = engine.house
    for _ in range(2):
        engine.spawn(slots=3, **OPTIONS)
    plans = [Plan(steps=3, ticks=6, pause=0.1, fail={"s2": 1} if number % 5 == 1 else {}) for number in range(20)]
    sources = [f"http://{number % 4}.test" for number in range(len(plans))]
    jobs = [await engine.submit(plan, source=source) for plan, source in zip(plans, sources, strict=True)]
    await eventually(engine.ledger.entries, timeout=30, what="the first job's begin")
    leader = await cluster.leader(engine.bus.js, streams.STREAMS["clone"])
    cluster.freeze(leader)
    try:
        await asyncio.sleep(FROZEN)
    finally:
        cluster.thaw(leader)
    await eventually(lambda: patiently(lambda: _all_ended(engine, jobs)), timeout=60, what="the end of all jobs")
    await engine.all_acknowledged(timeout=30)
    await _check(engine, dict(zip(jobs, plans, strict=True)))


async def test_what_was_made_on_one_node_grows_to_three() -> None:
    async with lab(Cluster, ack_wait=ACK_WAIT) as engine:
        js = engine.bus.js
        await streams.install_when_ready(js, replicas=1, ack_wait=ACK_WAIT)
        assert (await js.stream_info(f"KV_{streams.VAULT}")).config.num_replicas == 1
        await streams.install_when_ready(js, replicas=NODES, ack_wait=ACK_WAIT)
        await eventually(lambda: patiently(lambda: _replicated(engine)), timeout=30, what="three copies of everything")
        assert (await js.stream_info(f"KV_{streams.VAULT}")).config.allow_atomic
