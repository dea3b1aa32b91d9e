"""The job engine's face: a worker, and what a kind of job is made of.

    worker = Worker(bus, vault, workflow, slots=4, settings=EngineSettings(limits=Limits(per_source=2)))
    await worker.run(stop)          # until `stop` is set and every job is handed back

A workflow is a list of named, idempotent steps (`StepSpec`). The engine pulls jobs by lane, holds a lease on each,
saves how far they are, tells about it, tries again, and removes what a failed or cancelled job made.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus.connection import Bus
from shared.contract.streams import STREAMS, cancel_consumer, work_consumer
from shared.contract.subjects import LANES, EventType, Lane, every, parse
from shared.engine import metrics
from shared.engine.carriers.pool import Carriers
from shared.engine.context import JobContext
from shared.engine.fairness import Queue
from shared.engine.held import Shop
from shared.engine.lanes import Aging, Puller
from shared.engine.parts import AllParts, Disk, NoParts, OwnPartAway, Parts
from shared.engine.room import NoRoom, Places, Room
from shared.engine.run import JobRun
from shared.engine.settings import EngineSettings, Limits
from shared.engine.steps import StepSpec, Workflow
from shared.engine.token import Draining, StopToken
from shared.errors import Cancelled, LeaseLost
from shared.log import get
from shared.secrets.vault import Vault

__all__ = [
    "AllParts",
    "Cancelled",
    "Disk",
    "Draining",
    "EngineSettings",
    "JobContext",
    "LeaseLost",
    "Limits",
    "NoParts",
    "NoRoom",
    "OwnPartAway",
    "Parts",
    "Places",
    "Room",
    "StepSpec",
    "StopToken",
    "Worker",
    "Workflow",
]

log = get(__name__)

CANCEL = "cancel"
BATCH_HEADER = "Nats-Batch-Id"
"""Marks a message of an atomic batch: we hear it when it is sent, and it may yet come to nothing."""
CANCELS = 4
"""Cancels of jobs that do not run, carried out at the same time, beside the slots."""
GUESTS = 2
"""Jobs beyond the slots, of tenants that have none running while others fill the slots."""
THREADS = 3
"""Threads a job may use at the same time through `JobContext.blocking`."""


class Worker:
    """Runs jobs of one kind in this process. Any number of processes may do so."""

    def __init__(
        self,
        bus: Bus,
        vault: Vault,
        workflow: Workflow,
        *,
        slots: int = 4,
        settings: EngineSettings | None = None,
        parts: Parts | None = None,
        carriers: Carriers | None = None,
        room: Room | None = None,
    ) -> None:
        """`slots`: jobs at the same time; of two or more, one is kept for the high lane, if that is one of ours.

        `parts`: what of our own the steps need; a job waits while one of them is away. `carriers`: for kinds of jobs
        that read what a site sent. `room`: places for what jobs make; a job waits while all are taken.
        """
        self.settings = settings or EngineSettings()
        self._kind = workflow.kind
        self._slots = slots
        self._bus = bus
        self._alive_at = time.monotonic()
        self._threads = ThreadPoolExecutor(THREADS * (slots + GUESTS + CANCELS), thread_name_prefix="step")
        self._queue = Queue(bus, self._kind)
        self._guests = 0
        """Tenants that wait, and have no job running here."""
        self._shop = Shop(
            bus,
            vault,
            workflow,
            self.settings,
            bus.source,
            self._alive,
            self._threads,
            parts or NoParts(),
            slots,
            self._queue,
            lambda: len(self.running) > slots or self._ordinary() > slots - self._kept,
            carriers,
            room,
        )
        durables = {lane.value: work_consumer(self._kind, lane) for lane in Lane}
        durables[CANCEL] = cancel_consumer(self._kind)
        self._puller = Puller(bus, STREAMS[self._kind], durables, park=self.settings.park)
        self._aging = Aging(self.settings.aging)
        self._runs: dict[asyncio.Task[None], tuple[str, JobRun]] = {}
        self._returning: set[asyncio.Task[None]] = set()
        metrics.SLOTS.labels(self._kind).set(slots)
        metrics.RUNNING.labels(self._kind).set(0)

    @property
    def healthy(self) -> bool:
        """Whether a pull or a heartbeat succeeded lately: being alive is not enough."""
        last = max(self._alive_at, self._puller.last_answer)
        return time.monotonic() - last < self.settings.healthy_within

    @property
    def problems(self) -> list[str]:
        """Why it can not do all of its work, in words."""
        found = [] if self.healthy else ["no pull or heartbeat succeeded lately"]
        return found + [f"the queue {source} of {self._kind} jobs is gone" for source in self._puller.missing]

    @property
    def running(self) -> list[str]:
        """Ids of the jobs in the slots."""
        return [run.job_id for source, run in self._runs.values() if source != CANCEL]

    async def run(self, stop: asyncio.Event) -> None:
        """Take and run jobs until `stop`; then hand back what runs, and return.

        Raises nats errors when NATS can not be reached at start.
        """
        await self._puller.open()
        listening = await self._bus.nc.subscribe(every(self._kind, EventType.CANCEL), cb=self._on_cancel)
        stopping = asyncio.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                await self._serve()
        finally:
            stopping.cancel()
            await self._drain(listening)

    async def _serve(self) -> None:
        """Start what has arrived; ask for more where there is room; wait."""
        try:
            self._start_arrived()
            if await self._ask():
                return
            await self._puller.wait()
        except Exception:
            log.exception("pulling failed")
            await asyncio.sleep(0.5)

    async def _ask(self) -> bool:
        """Probe every source with room, in order; park on them when none has anything. True: something arrived.

        What comes first and is empty is parked on at once: then it need not be probed for every job of the others.
        """
        await self._look_for_guests()
        sources = self._sources_with_room()
        for source in sources:
            if await self._puller.probe(source, self._room(source)):
                return True
            if source != CANCEL:
                self._aging.empty(Lane(source))
            if source == CANCEL or (source == Lane.HIGH and self._kept):
                await self._puller.park([source])
        await self._puller.park(sources)
        return False

    def _room(self, source: str) -> int:
        """Messages of a source that can be begun at once."""
        if source == CANCEL:
            return CANCELS - sum(taken == CANCEL for taken, _ in self._runs.values())
        lane, free = Lane(source), self._slots - len(self.running)
        if lane is not Lane.HIGH:
            free = min(free, self._slots - self._kept - self._ordinary())
        return max(1, min(free, self._aging.turns(lane)))

    def _sources_with_room(self) -> list[str]:
        lanes = [lane.value for lane in self._aging.order(self._open_lanes())]
        cancels = sum(source == CANCEL for source, _ in self._runs.values())
        return [CANCEL, *lanes] if cancels < CANCELS else lanes

    def _open_lanes(self) -> tuple[Lane, ...]:
        busy, ours = len(self.running), self.settings.lanes
        if self._guests and busy < self._slots + GUESTS:
            return ours
        if busy >= self._slots:
            return ()
        return ours if self._ordinary() < self._slots - self._kept else (Lane.HIGH,)

    @property
    def _kept(self) -> int:
        """Slots for the high lane alone."""
        return 1 if self._slots > 1 and Lane.HIGH in self.settings.lanes else 0

    def _ordinary(self) -> int:
        """Jobs of the other lanes in the slots."""
        return sum(source not in {CANCEL, Lane.HIGH} for source, _ in self._runs.values())

    async def _look_for_guests(self) -> None:
        """Whether tenants wait that have nothing running, while others fill the slots."""
        full = self._ordinary() >= self._slots - self._kept
        if not self.settings.fair or not full or len(self.running) >= self._slots + GUESTS:
            self._guests = 0
            return
        here = {run.tenant for source, run in self._runs.values() if source != CANCEL}
        self._guests = 0 if None in here else len(await self._queue.tenants() - here)

    def _start_arrived(self) -> None:
        order = [CANCEL, *LANES]
        for source, delivery in sorted(self._puller.collect(), key=lambda pair: order.index(pair[0])):
            if source in self._sources_with_room():
                self._start(source, delivery)
            else:
                self._spawn_return(delivery)

    def _start(self, source: str, delivery: Msg) -> None:
        run = JobRun(self._shop, delivery)
        task = asyncio.create_task(run.handle(), name=f"job {run.job_id}")
        self._runs[task] = (source, run)
        task.add_done_callback(self._ended)
        if source != CANCEL:
            self._aging.picked(Lane(source))
        metrics.RUNNING.labels(self._kind).set(len(self.running))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._runs.pop(task, None)
        metrics.RUNNING.labels(self._kind).set(len(self.running))
        self._puller.wake()
        if not task.cancelled() and task.exception() is not None:
            log.error("a run ended with an error", error=repr(task.exception()))

    def _spawn_return(self, delivery: Msg) -> None:
        """No room for it any more: it goes to somebody else at once."""
        returning = asyncio.create_task(delivery.nak())
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)

    async def _on_cancel(self, message: Msg) -> None:
        """The fast way to a running job; the stream and its consumer are the sure one."""
        job_id = parse(message.subject)[3]
        maybe = BATCH_HEADER in (message.headers or {})
        for source, run in self._runs.values():
            if run.job_id == job_id and source != CANCEL:
                run.look_for_cancel() if maybe else run.stop(Cancelled)

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._puller.wake()

    async def _drain(self, listening: Subscription) -> None:
        for _, run in self._runs.values():
            run.stop(Draining)
        with suppress(Exception):
            await self._puller.close()
            await listening.unsubscribe()
        if self._runs:
            log.info("handing back", jobs=len(self._runs))
            await asyncio.wait(set(self._runs), timeout=2 * self.settings.stop_grace)
        self._threads.shutdown(wait=False)
        with suppress(Exception):
            await self._bus.nc.flush(timeout=2)

    def _alive(self) -> None:
        self._alive_at = time.monotonic()
