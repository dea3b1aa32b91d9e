"""What Prometheus sees of the status service."""

from __future__ import annotations

import asyncio

from nats.errors import Error as NatsError
from prometheus_client import Counter, Gauge, Histogram

from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.subjects import KINDS
from shared.engine.metrics import QUEUE

FOLDED = Counter("siteferry_projection_messages_total", "Messages folded into the projection", ["kind"])
SKIPPED = Counter("siteferry_projection_skipped_total", "Messages that could not be read and were skipped", ["kind"])
CONFLICTS = Counter("siteferry_projection_conflicts_total", "Writes lost to another replica and folded again", ["kind"])
FAILED = Counter("siteferry_projection_failures_total", "Stories that could not be stored; delivered again", ["kind"])
LAG = Gauge("siteferry_projection_lag_seconds", "Age of the last message when its state was stored", ["kind"])
PENDING = Gauge("siteferry_projection_pending_messages", "Messages that are not yet in the projection", ["kind"])

CONNECTIONS = Gauge("siteferry_live_connections", "Open live connections", ["transport"])
SUBSCRIPTIONS = Gauge("siteferry_live_subscriptions", "Open subscriptions of all live connections")
SENT = Counter("siteferry_live_frames_total", "Frames sent to browsers", ["type"])
MERGED = Counter("siteferry_live_merged_total", "Progress events merged into a later one for the same client")
RESYNCS = Counter("siteferry_live_resyncs_total", "Fresh snapshots sent because a client could not keep up")
CLOSED = Counter("siteferry_live_closed_total", "Live connections closed by the server", ["code"])
WEBHOOKS = Counter("siteferry_webhook_attempts_total", "Attempts to send a webhook", ["outcome"])
EVENT_AGE = Histogram(
    "siteferry_live_event_age_seconds",
    "Age of an event when it is handed to the connections",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

PATIENCE = 2.0


async def refresh(bus: Bus | None) -> None:
    """Bring up to date what is read from NATS. While it is away, those series vanish instead of growing old."""
    await QUEUE.refresh(bus)
    try:
        async with asyncio.timeout(PATIENCE):
            pending = {} if bus is None or not bus.nc.is_connected else await _pending(bus)
    except (NatsError, TimeoutError):
        pending = {}
    PENDING.clear()
    for kind, messages in pending.items():
        PENDING.labels(kind).set(messages)


async def _pending(bus: Bus) -> dict[str, int]:
    """Messages of each stream no replica has folded: not delivered, or not acknowledged yet."""
    found: dict[str, int] = {}
    for kind in KINDS:
        info = await bus.js.consumer_info(streams.STREAMS[kind], streams.PROJECTOR)
        found[kind] = (info.num_pending or 0) + (info.num_ack_pending or 0)
    return found
