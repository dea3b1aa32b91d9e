"""What Prometheus sees of a worker, and of the queue behind it.

Counters are of this process; the queue's depth is the same whichever process is asked.
"""

from __future__ import annotations

import asyncio
import time

from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from shared.bus.connection import Bus
from shared.contract.streams import STREAMS
from shared.contract.subjects import KINDS, Kind, Lane
from shared.engine.depth import Depth, depth
from shared.engine.records import unreachable

SLOTS = Gauge("siteferry_worker_slots", "Jobs this worker may run at the same time", ["kind"])
RUNNING = Gauge("siteferry_worker_running_jobs", "Jobs in this worker's slots", ["kind"])
ENDED = Counter("siteferry_jobs_ended_total", "Jobs this worker ended", ["kind", "outcome"])
RETRIES = Counter("siteferry_job_retries_total", "Attempts scheduled after a temporary failure", ["kind", "code"])
WAITS = Counter("siteferry_job_waits_total", "Jobs put back because a limit was reached", ["kind"])
TAKEOVERS = Counter("siteferry_job_takeovers_total", "Jobs taken over from a worker that died or fell silent", ["kind"])
HANDED_BACK = Counter("siteferry_job_handed_back_total", "Jobs given to another worker while draining", ["kind"])
LEASES_LOST = Counter("siteferry_job_leases_lost_total", "Jobs this worker lost to another one", ["kind"])

PART_WAITS = Counter(
    "siteferry_job_part_waits_total", "Times a job was put back because a part of ours was away", ["kind", "part"]
)
LONG = (0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600, 7200)
JOB_SECONDS = Histogram("siteferry_job_seconds", "From a job's begin to its end", ["kind", "outcome"], buckets=LONG)
STEP_SECONDS = Histogram(
    "siteferry_step_seconds", "From a step's begin to its end, of steps that were done", ["kind", "step"], buckets=LONG
)

FRESH = 0.5
"""Seconds for which an answer about the queue is good enough for the next scrape."""
PATIENCE = 2.0
"""Seconds a scrape waits for NATS."""


class QueueGauges:
    """The depth of the work consumers: what an autoscaler looks at.

    Read when Prometheus asks. While NATS is away the series vanish and `siteferry_queue_readable` is 0: an old number
    or a zero would have an autoscaler remove workers that are needed.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        labels = ["kind", "lane"]
        self._waiting = Gauge("siteferry_queue_waiting", "Messages no worker has yet", labels, registry=registry)
        self._running = Gauge("siteferry_queue_running", "Messages in the hands of workers", labels, registry=registry)
        self._lag = Gauge("siteferry_queue_lag", "Waiting and running: what to scale on", labels, registry=registry)
        self._log = Gauge("siteferry_log_bytes", "Bytes the log holds", ["kind"], registry=registry)
        self._readable = Gauge("siteferry_queue_readable", "Whether the queue could be read", registry=registry)
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def refresh(self, bus: Bus | None) -> None:
        """Bring the gauges up to date. Never raises for a NATS that is away, never waits long for it."""
        async with self._reading:
            if time.monotonic() - self._read_at < FRESH:
                return
            try:
                found, logs = await self._read(bus)
            except Exception as error:
                if not unreachable(error) and not isinstance(error, NotFoundError):  # not found: not installed yet
                    raise
                found, logs = {}, {}
            self._show(found, logs)
            self._read_at = time.monotonic()

    async def _read(self, bus: Bus | None) -> tuple[dict[Kind, dict[Lane, Depth]], dict[Kind, int]]:
        if bus is None or not bus.nc.is_connected:
            return {}, {}
        async with asyncio.timeout(PATIENCE):
            lanes = {kind: await depth(bus, kind) for kind in KINDS}
            logs = {kind: (await bus.js.stream_info(STREAMS[kind])).state.bytes or 0 for kind in KINDS}
            return lanes, logs

    def _show(self, found: dict[Kind, dict[Lane, Depth]], logs: dict[Kind, int]) -> None:
        self._readable.set(bool(found))
        for gauge in (self._waiting, self._running, self._lag, self._log):
            gauge.clear()
        for kind, used in logs.items():
            self._log.labels(kind).set(used)
        for kind, lanes in found.items():
            for lane, known in lanes.items():
                self._waiting.labels(kind, lane).set(known.waiting)
                self._running.labels(kind, lane).set(known.running)
                self._lag.labels(kind, lane).set(known.lag)


QUEUE = QueueGauges()
"""The default registry's: one for the process, whatever asks for it."""
