"""Jobs handed in at the real gateway while gateway, status, workers and NATS are killed: none is lost or doubled."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import httpx2
import pytest

from services.cloner.sweeper.sources import Sources
from services.cloner.sweeper.sweep import Sweeper
from services.status.rebuild import rebuild
from shared.bus.connector_registry import Connectors
from shared.contract import streams
from shared.contract.events import CloneRequested, JobEvent
from shared.contract.jobs import Status
from shared.contract.subjects import KINDS, TERMINAL, EventType
from shared.engine.records import Records
from shared.engine.worker import Limits
from siteferry.embedded.servers.ports import free_port
from tests.engine.carried import carriers
from tests.engine.lab import Lab, Told, lab
from tests.engine.light import Plan
from tests.engine.light_driver import LightDriver
from tests.integration.gateway_process import launch
from tests.live.stack import StatusProcess, eventually

JOBS = 110
WORKERS, SLOTS = 3, 4
REPLICAS = 2
"""Of the status service."""
VICTIMS = {"worker": 5, "gateway": 4, "status": 3, "nats": 4}
"""How often each is killed, in an order the seed decides."""
SEED = 20261124
OPTIONS = {"limits": Limits(per_source=8), "poison_cap": 1000, "removal_tries": 1}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with lab() as engine:
        made = Town(engine, random.Random(SEED))
        try:
            made.start()
            yield made
        finally:
            made.stop()


class Town:
    """A gateway, two status services, three workers and a nats-server, each of which can be killed."""

    def __init__(self, engine: Lab, rng: random.Random) -> None:
        self.engine, self.rng = engine, rng
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.kills: Counter[str] = Counter()
        self.gateway: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.status: list[StatusProcess] = []

    def start(self) -> None:
        self.start_gateway()
        self.workers = [self.engine.spawn(slots=SLOTS, **OPTIONS) for _ in range(WORKERS)]
        self.status = [StatusProcess(self.engine.house, ack_wait="3") for _ in range(REPLICAS)]

    def start_gateway(self) -> None:
        server = self.engine.house.server
        self.gateway, _ = launch(self.engine.root, server, self.port, ack_wait=3, rate_limit_per_minute=0)

    def stop(self) -> None:
        self.gateway.kill()
        self.gateway.wait()
        for status in self.status:
            status.close()

    async def strike(self, victim: str) -> None:
        """Kill one of them, and start it again."""
        await asyncio.sleep(self.rng.uniform(0.3, 1.3))
        self.kills[victim] += 1
        if victim == "worker":
            number = self.rng.randrange(WORKERS)
            self.workers[number].kill()
            self.workers[number].wait()
            self.workers[number] = self.engine.spawn(slots=SLOTS, **OPTIONS)
        elif victim == "gateway":
            self.gateway.kill()
            self.gateway.wait()
            self.start_gateway()
        elif victim == "status":
            number = self.rng.randrange(REPLICAS)
            self.status[number].close()
            self.status[number] = StatusProcess(self.engine.house, ack_wait="3")
        else:
            await asyncio.to_thread(self.engine.house.kill)
            await asyncio.sleep(self.rng.uniform(0.0, 1.0))
            await asyncio.to_thread(self.engine.house.start)

    async def submit(self, client: httpx2.AsyncClient, number: int, plan: Plan) -> str:
        """Hand a job in as a careful client does: again, with the same key, until it is accepted."""
        wish = {
            "source_url": f"https://site{number % 4}.example.com",
            "username": "admin",
            "password": "hunter2",
            "name": plan.name(),
            "priority": ("high", "normal", "low")[number % 3],
        }
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx2.HTTPError):
                answer = await client.post("/clone", json=wish, headers={"Idempotency-Key": f"wish-{number}"})
                if answer.status_code == 202:
                    return str(answer.json()["job_id"])
                assert answer.status_code in {409, 503}, answer.text
                assert int(answer.headers["retry-after"]) > 0
            await asyncio.sleep(0.1)
        raise AssertionError(f"job {number} was never accepted")


def plans(rng: random.Random) -> list[Plan]:
    """Most succeed, some at a later try; some fail, and of those some leave something behind."""
    made = []
    for number in range(JOBS):
        plan = Plan(ticks=rng.randint(2, 6), pause=round(rng.uniform(0.01, 0.05), 3))
        if number % 5 == 1:
            plan.fail = {rng.choice(["s1", "s2", "s3"]): 1}
        if number % 6 == 2:
            plan.hopeless = "s3"
            plan.stubborn = "s2" if number % 12 == 2 else ""
        made.append(plan)
    return made


async def test_every_accepted_job_ends_exactly_once_and_one_sweep_leaves_nothing(town: Town) -> None:
    engine, made, begun = town.engine, plans(town.rng), time.monotonic()
    async with httpx2.AsyncClient(base_url=town.url, timeout=5, trust_env=False) as client:
        room = asyncio.Semaphore(3)

        async def one(number: int) -> str:
            async with room:
                return await town.submit(client, number, made[number])

        submitting = asyncio.gather(*(one(number) for number in range(JOBS)))
        victims = [victim for victim, times in VICTIMS.items() for _ in range(times)]
        town.rng.shuffle(victims)
        for victim in victims:
            await town.strike(victim)
        jobs = await submitting
    assert len(set(jobs)) == JOBS, "two wishes got one job"
    await eventually(lambda: _all_ended(engine, jobs), timeout=60, what="the end of all jobs")
    await engine.all_acknowledged(timeout=30)
    await eventually(lambda: _projected(engine), timeout=30, what="a projection that is not behind")
    print(f"{JOBS} jobs, kills {dict(town.kills)}, {time.monotonic() - begun:.1f} s")

    stories = await engine.all_told()
    asked_for = {job for job, told in stories.items() if any(isinstance(m, CloneRequested) for _, m in told)}
    assert asked_for == set(jobs), "a wish was stored under two ids"
    report = await rebuild(engine.bus)
    assert (report.jobs, report.changed, report.removed) == (JOBS, 0, 0), "the projection was not the fold of the log"
    await _check_ends(engine, dict(zip(jobs, made, strict=True)), stories)
    await _check_sweep(engine, dict(zip(jobs, made, strict=True)))


async def _all_ended(engine: Lab, jobs: list[str]) -> bool:
    infos = await engine.bus.js.stream_info("CLONES", subjects_filter="clone.*.*.*")
    ended = {name.split(".")[3] for name in infos.state.subjects or {} if EventType(name.split(".")[1]) in TERMINAL}
    return set(jobs) <= ended


async def _projected(engine: Lab) -> bool:
    infos = [await engine.bus.js.consumer_info(streams.STREAMS[kind], streams.PROJECTOR) for kind in KINDS]
    return all(info.num_pending == 0 and info.num_ack_pending == 0 for info in infos)


async def _check_ends(engine: Lab, jobs: dict[str, Plan], stories: dict[str, list[Told]]) -> None:
    for job, plan in jobs.items():
        events = [message for _, message in stories[job] if isinstance(message, JobEvent)]
        ends = [event for event in events if event.type in TERMINAL]
        assert len(ends) == 1, f"{job} ended {len(ends)} times"
        assert ends[0].job.status is (Status.FAILED if plan.hopeless else Status.COMPLETED)
        made = engine.ledger.did(job, "make")
        assert len(made) == len(set(made)), f"{job}: a thing was made twice"
        if plan.hopeless:
            assert ends[0].job.error is not None
            assert ends[0].job.error.details["history"][-1]["code"] == "hopeless"


async def _check_sweep(engine: Lab, jobs: dict[str, Plan]) -> None:
    stubborn = {job for job, plan in jobs.items() if plan.stubborn}
    failed = {job for job, plan in jobs.items() if plan.hopeless}
    assert {name.partition(".")[0] for name in engine.ledger.things()} == set(jobs) - failed | stubborn
    connectors = Connectors(await engine.bus.bucket(streams.CONNECTORS), engine.keys, lifetime=3600)
    sources = Sources(connectors, carriers(), owner="sweeper", allow_private=True)
    report = await Sweeper(engine.bus, LightDriver(engine.things), sources, grace=timedelta(0)).sweep()
    assert {finding.outcome for finding in report.findings} == {"removed"}
    assert {finding.id for finding in report.findings if finding.what == "place"} == stubborn
    assert engine.ledger.things() == {f"{job}.s{n}" for job in set(jobs) - failed for n in (1, 2, 3)}
    for bucket, wanted in {streams.LEASES: set(), streams.CHECKPOINTS: failed, streams.VAULT: failed}.items():
        assert await _keys(engine, bucket) == wanted, f"left in {bucket}"
    assert {key for key in await _keys(engine, streams.LIMITS) if ".slot." in key} == set()
    assert "hunter2" not in engine.log() + (engine.root / "gateway.log").read_text()


async def _keys(engine: Lab, bucket: str) -> set[str]:
    records = Records(engine.bus, bucket)
    info = await engine.bus.js.stream_info(records.stream, subjects_filter=">")
    keys = {name.removeprefix(records.prefix) for name in info.state.subjects or {}}
    entries = {key: await records.get(key) for key in keys}
    return {key for key, entry in entries.items() if entry is not None and entry.value is not None}
