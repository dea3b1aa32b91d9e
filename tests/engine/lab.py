"""Everything a test of the engine needs: a real nats-server, workers in this process or in their own, jobs to run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import Cancel, CloneRequested, JobEvent, Message, Retry, decode, fold
from shared.contract.jobs import Job
from shared.contract.subjects import TERMINAL, EventType, Lane, every, parse, story
from shared.engine.records import patiently
from shared.engine.worker import EngineSettings, Limits, Parts, Room, Worker
from shared.ids import new_id
from shared.secrets.vault import KeyRing, Vault
from tests.engine.cluster import Cluster
from tests.engine.light import Ledger, LightWorkflow, Plan
from tests.live.stack import ROOT, NatsHouse, eventually

ACK_WAIT = 3.0
FAST: dict[str, Any] = {
    "ack_wait": ACK_WAIT,
    "heartbeat": 0.5,
    "retry_base": 0.1,
    "retry_cap": 0.3,
    "park": 2.0,
    "wait_step": 0.05,
    "wait_min": 0.1,
    "wait_max": 0.5,
    "stop_grace": 3.0,
}

Told = tuple[int, Message]


def fast(limits: Limits | None = None, **more: Any) -> EngineSettings:
    return EngineSettings(**{**FAST, **more}, limits=limits or Limits())


class Lab:
    """One nats-server with streams, and a directory for ledger and things."""

    def __init__(self, directory: Path, house: Any) -> None:
        self.root = directory
        self.house = house
        self.keys = KeyRing.load(directory / "vault.key")
        self.bus: Bus
        self.fresh_ledger()
        self._processes: list[subprocess.Popen[bytes]] = []

    def fresh_ledger(self) -> None:
        self.things = Path(tempfile.mkdtemp(prefix="things-", dir=self.root))
        self.workflow = LightWorkflow(self.things)

    @property
    def ledger(self) -> Ledger:
        return self.workflow.ledger

    async def vault(self) -> Vault:
        return Vault(await self.bus.bucket(streams.VAULT), self.keys)

    # --- jobs

    async def submit(
        self,
        plan: Plan | None = None,
        *,
        lane: Lane = Lane.NORMAL,
        source: str = "http://a.test",
        tenant: str = "me",
        key: str | None = None,
        key_slots: int | None = None,
    ) -> str:
        job_id = new_id("clone")
        await (await self.vault()).put(job_id, {"password": "hunter2"})
        await self.bus.publish(
            CloneRequested(
                job_id=job_id,
                lane=lane,
                source_url=source,
                secret_ref=job_id,
                ttl_minutes=60,
                tenant=tenant,
                key=key,
                key_slots=key_slots,
                name=(plan or Plan()).name(),
            ),
            msg_id=f"{job_id}:requested",
        )
        return job_id

    async def cancel(self, job_id: str, lane: Lane = Lane.NORMAL) -> None:
        await self.bus.publish(Cancel(job_id=job_id, lane=lane))

    async def retry(self, job_id: str, lane: Lane = Lane.NORMAL, **changes: Any) -> None:
        await self.bus.publish(Retry(job_id=job_id, lane=lane, attempt=0, manual=True, changes=changes))

    async def told(self, job_id: str) -> list[Told]:
        """The job's story, from the stream."""
        return (await self.all_told(story(job_id))).get(job_id, [])

    async def all_told(self, filter_subject: str = every("clone")) -> dict[str, list[Told]]:
        return await patiently(lambda: self._read(filter_subject))

    async def _read(self, filter_subject: str) -> dict[str, list[Told]]:
        sub = await self.bus.js.subscribe(filter_subject, ordered_consumer=True)
        info = await sub.consumer_info()
        found: dict[str, list[Told]] = {}
        for _ in range((info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)):
            raw = await sub.next_msg(timeout=5)
            _, event, _, job_id = parse(raw.subject)
            message = None
            with suppress(ValidationError):  # one test says something nobody can read
                message = decode(event, raw.data)
            if message is not None:
                found.setdefault(job_id, []).append((raw.metadata.sequence.stream, message))
        await sub.unsubscribe()
        return found

    async def job(self, job_id: str) -> Job:
        return folded(await self.told(job_id))

    async def events(self, job_id: str) -> list[EventType]:
        return [EventType(message.type) for _, message in await self.told(job_id)]  # type: ignore[attr-defined]

    async def ended(self, job_id: str, *, timeout: float = 15, attempt: int = 1) -> Job:
        """The job, once it has a terminal event of at least this attempt."""

        async def check() -> Job | None:
            found = [
                message.job
                for _, message in await self.told(job_id)
                if isinstance(message, JobEvent) and message.type in TERMINAL and message.job.attempt >= attempt
            ]
            return found[-1] if found else None

        job: Job = await eventually(check, timeout=timeout, what=f"the end of {job_id}")
        return job

    async def all_acknowledged(self, timeout: float = 10) -> None:
        """No consumer of the engine holds anything any more."""
        names = [*(streams.work_consumer("clone", lane) for lane in Lane), streams.cancel_consumer("clone")]

        async def check() -> bool:
            infos = [await self.bus.js.consumer_info("CLONES", name) for name in names]
            return all(info.num_pending == 0 and info.num_ack_pending == 0 for info in infos)

        await eventually(check, timeout=timeout, what="the last acknowledgement")

    # --- workers

    @asynccontextmanager
    async def worker(
        self,
        slots: int = 4,
        settings: EngineSettings | None = None,
        prepare: Callable[[Bus], None] = lambda bus: None,
        parts: Parts | None = None,
        room: Room | None = None,
    ) -> AsyncIterator[Worker]:
        """A worker in this process, with a connection of its own (which `prepare` may change first)."""
        async with connect(self.house.settings(), service="cloner") as bus:
            prepare(bus)
            vault = Vault(await bus.bucket(streams.VAULT), self.keys)
            worker = Worker(bus, vault, self.workflow, slots=slots, settings=settings or fast(), parts=parts, room=room)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            try:
                yield worker
            finally:
                stop.set()
                await running

    def spawn(self, slots: int = 2, **options: Any) -> subprocess.Popen[bytes]:
        """A worker in a process of its own."""
        limits = options.pop("limits", Limits())
        arguments = json.dumps({**FAST, **options, "limits": asdict(limits)})
        with (self.root / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.engine.worker_process", str(self.things), str(slots), arguments],
                env={**os.environ, **self.house.environment()},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process

    def stop_processes(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self._processes.clear()

    def log(self) -> str:
        path = self.root / "workers.log"
        return path.read_text() if path.exists() else ""


def folded(told: list[Told]) -> Job:
    """The projection of a story."""
    job: Job | None = None
    for seq, message in told:
        job = fold(job, message, seq)
    assert job is not None
    return job


@asynccontextmanager
async def lab(
    make_house: Callable[[Path], NatsHouse | Cluster] = NatsHouse, *, ack_wait: float = ACK_WAIT
) -> AsyncIterator[Lab]:
    directory = Path(tempfile.mkdtemp(prefix="siteferry-", dir="/tmp"))
    directory.chmod(0o711)
    house = make_house(directory)
    made = Lab(directory, house)
    try:
        settings = house.settings()
        async with connect(settings, service="test") as bus:
            made.bus = bus
            await streams.install_when_ready(bus.js, replicas=settings.replicas, ack_wait=ack_wait)
            yield made
    finally:
        made.stop_processes()
        if isinstance(house, Cluster):
            house.close()
        elif house.process.alive():
            house.process.stop()
        shutil.rmtree(directory, ignore_errors=True)
