"""The one place that spells streams, consumers and buckets, with the settings that survive kill -9.

Consumers: flat `ack_wait`, high `max_deliver`, no backoff list (a backoff list overrides ack_wait and delays naks:
nats-server#5856). Streams keep their messages (limits retention): they are the replayable log, not a work queue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError

from shared.contract.subjects import (
    AUDIT_SUBJECTS,
    KINDS,
    NOTIFIED,
    WEBHOOK_SUBJECTS,
    EventType,
    Kind,
    Lane,
    every,
    stream_subjects,
    webhook_due,
)
from shared.contract.timetable import SCHEDULER, TIMETABLE, scheduler_config, timetable_config
from shared.log import get

log = get(__name__)

ACK_WAIT = 30.0
"""Seconds until an unacknowledged message is delivered again; longer than a leader election (6.5 s) plus a beat."""
PROJECTOR_ACK_WAIT = 5.0
"""The same for the projector: what a killed replica had taken is folded by another one after this. Too early is
harmless there, for folding again changes nothing."""
HEARTBEAT = 10.0
"""Seconds between a worker's `in_progress` signals."""
MAX_DELIVER = -1
"""No cap at the server: a message over it would never come again, and nobody would know. Workers count (`poison`)."""
MAX_AGE = 90 * 86_400
"""Seconds the log is kept."""
PASSING_AGE = 3600
"""Seconds the log keeps how far a step was: nine tenths of what a job says, and worth nothing once it is over. What
stays are the milestones: each attempt, each step's begin and end, each wait, the end."""
DUPLICATE_WINDOW = 24 * 3600
"""Seconds in which the same Nats-Msg-Id is stored once."""

STREAMS: dict[Kind, str] = {"clone": "CLONES", "restore": "RESTORES"}

JOBS = "jobs"
"""Bucket: job id -> `shared.contract.jobs.Job`, projected from the streams. May be deleted and rebuilt at any time."""
CLONES = "clones"
"""Bucket: clone id -> `shared.contract.jobs.Clone`, the projection of what exists for users."""
SNAPSHOTS = "snapshots"
"""Bucket: snapshot id -> `shared.contract.jobs.Snapshot`, the projection of the ways back."""
LEASES = "leases"
"""Bucket: job id -> who works on it. Entries expire by themselves."""
CHECKPOINTS = "checkpoints"
"""Bucket: job id -> how far the job is; written only by the holder of the lease."""
VAULT = "vault"
"""Bucket: reference -> sealed secret. Entries expire by themselves."""
CONNECTORS = "connectors"
"""Bucket: source -> the connector on it: its sealed key and the jobs that use it."""
IDEMPOTENCY = "idempotency"
"""Bucket: Idempotency-Key digest -> the answer it got. Entries expire by themselves."""
LIMITS = "limits"
"""Bucket: counters shared by all replicas: rate limits, concurrency permits. Entries expire by themselves."""
TICKETS = "tickets"
"""Bucket: SHA-256 of a ticket -> what it allows, once. Entries expire by themselves."""
TICKET_LIFE = 60.0
"""Seconds a ticket may be shown."""
SESSIONS = "sessions"
"""Bucket: SHA-256 of a browser's session -> the key it was begun with. Entries expire by themselves."""
SESSION_LIFE = 12 * 3600.0
"""Seconds until a browser has to sign in again."""
OPERATIONS = "operations"
"""Bucket: operation id -> how far it is, and its members. Entries expire by themselves."""
CALLS = "calls"
"""Bucket: tenant and API key -> how it submitted jobs, by day. Entries expire by themselves."""
KEYS = "keys"
"""Bucket: tenant's token and key id -> `shared.contract.api_keys.ApiKey`."""
KEY_USES = "key_uses"
"""Bucket: key id -> when it was last shown, to some minutes."""
DEFAULTS = "defaults"
"""Bucket: tenant's token -> what the dashboard's form begins with."""
WORKERS = "workers"
"""Bucket: worker -> `shared.contract.workers.WorkerState`. Entries expire by themselves."""
WORKER_LIFE = 15.0
"""Seconds after which a worker that says nothing is gone."""
WEBHOOKS = "webhooks"
"""Bucket: endpoint id -> `shared.contract.webhooks.Endpoint`."""
OUTGOING = "WEBHOOKS"
"""Stream: what is to be sent to webhooks, when it is tried again, and what became of it."""
OUTGOING_MAX_AGE = 14 * 86_400
OUTGOING_LOG = 1000
"""Lines of the delivery log kept for one endpoint."""
NOTIFIER = "notifier"
"""Durable on the job streams: what webhooks are to be told of."""
DELIVERER = "deliverer"
"""Durable on `OUTGOING`: what is to be sent now."""
DELIVERER_ACK_WAIT = 60.0
"""Seconds; longer than a message may wait for its turn and be sent."""
DELIVERER_PENDING = 5000

SCHEDULES = "schedules"
"""Bucket: tenant's token and schedule id -> what is to be done again and again, with its sealed login."""
AUDIT = "AUDIT"
"""Stream: who did what (`shared.contract.audit`). Nobody may delete from it; age and size end it."""


@dataclass(frozen=True)
class AuditKept:
    """How long and how large the audit log gets."""

    days: int = 365
    megabytes: int = 256


PROBE = "PROBE"
"""Stream: one message, written again and again to see whether anything can be written. Made last: where it is,
everything is."""
PROBE_SUBJECT = "probe.write"

# No limit_marker_ttl anywhere: an entry that expired by its own message TTL is then simply absent (nats-py 2.16 trips
# over expiry markers in get and create).
BUCKETS: dict[str, KeyValueConfig] = {
    JOBS: KeyValueConfig(bucket=JOBS, history=1, direct=True),
    CLONES: KeyValueConfig(bucket=CLONES, history=1, direct=True),
    SNAPSHOTS: KeyValueConfig(bucket=SNAPSHOTS, history=1, direct=True),
    LEASES: KeyValueConfig(bucket=LEASES, history=1),
    CHECKPOINTS: KeyValueConfig(bucket=CHECKPOINTS, history=1, ttl=14 * 86_400),
    VAULT: KeyValueConfig(bucket=VAULT, history=1, ttl=7 * 86_400),
    CONNECTORS: KeyValueConfig(bucket=CONNECTORS, history=1, ttl=14 * 86_400),
    IDEMPOTENCY: KeyValueConfig(bucket=IDEMPOTENCY, history=1, ttl=24 * 3600),
    LIMITS: KeyValueConfig(bucket=LIMITS, history=1),
    TICKETS: KeyValueConfig(bucket=TICKETS, history=1, ttl=TICKET_LIFE),
    SESSIONS: KeyValueConfig(bucket=SESSIONS, history=1, ttl=SESSION_LIFE),
    OPERATIONS: KeyValueConfig(bucket=OPERATIONS, history=1, ttl=7 * 86_400, direct=True),
    CALLS: KeyValueConfig(bucket=CALLS, history=1, ttl=31 * 86_400, direct=True),
    KEYS: KeyValueConfig(bucket=KEYS, history=1, direct=True),
    KEY_USES: KeyValueConfig(bucket=KEY_USES, history=1, direct=True),
    DEFAULTS: KeyValueConfig(bucket=DEFAULTS, history=1, direct=True),
    WORKERS: KeyValueConfig(bucket=WORKERS, history=1, ttl=WORKER_LIFE, direct=True),
    WEBHOOKS: KeyValueConfig(bucket=WEBHOOKS, history=1, direct=True),
    SCHEDULES: KeyValueConfig(bucket=SCHEDULES, history=1, direct=True),
}
BASES = "bases"
"""Object store: clone id -> what its source was (`shared.wordpress.base`). Objects expire by themselves."""
BASES_MAX_AGE = 90 * 86_400
ATOMIC = frozenset({VAULT})
"""Buckets whose entries may be put in atomic batches."""
PROJECTOR = "projector"


def work_consumer(kind: Kind, lane: Lane) -> str:
    """Durable that feeds workers of one lane."""
    return f"{kind}-work-{lane}"


def cancel_consumer(kind: Kind) -> str:
    """Durable that feeds cancels: whoever pulls one ends a job that nobody runs."""
    return f"{kind}-cancel"


def expiry_consumer(kind: Kind) -> str:
    """Durable that feeds expiries and deletions."""
    return f"{kind}-expire"


def stream_config(kind: Kind, *, replicas: int) -> StreamConfig:
    """The log of one kind of job."""
    return StreamConfig(
        name=STREAMS[kind],
        subjects=stream_subjects(kind),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        max_age=MAX_AGE,
        duplicate_window=DUPLICATE_WINDOW,
        allow_direct=True,
        allow_msg_ttl=True,
        allow_msg_schedules=True,
        allow_atomic=True,
    )


def consumer_configs(kind: Kind, *, replicas: int, ack_wait: float = ACK_WAIT) -> list[ConsumerConfig]:
    """Every durable consumer of a stream. Made at install time: one added later would start at the first message."""

    def durable(name: str, filters: list[str], max_ack_pending: int = 1000) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=name,
            filter_subjects=filters,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            max_deliver=MAX_DELIVER,
            max_ack_pending=max_ack_pending,
            num_replicas=replicas,
        )

    work = [
        durable(work_consumer(kind, lane), [every(kind, EventType.REQUESTED, lane), every(kind, EventType.RETRY, lane)])
        for lane in Lane
    ]
    cancel = durable(cancel_consumer(kind), [every(kind, EventType.CANCEL)])
    expiry = [durable(expiry_consumer(kind), [every(kind, EventType.EXPIRE)])] if kind == "clone" else []
    projector = ConsumerConfig(
        durable_name=PROJECTOR,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=PROJECTOR_ACK_WAIT,
        max_ack_pending=2000,
        num_replicas=replicas,
    )
    notifier = ConsumerConfig(
        durable_name=NOTIFIER,
        filter_subjects=[every(kind, event) for event in sorted(NOTIFIED)],
        deliver_policy=DeliverPolicy.NEW,  # nobody had registered before it was there
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        max_ack_pending=1000,
        num_replicas=replicas,
    )
    return [*work, cancel, *expiry, projector, notifier]


def outgoing_config(*, replicas: int) -> StreamConfig:
    """The stream of webhooks."""
    return StreamConfig(
        name=OUTGOING,
        subjects=[WEBHOOK_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        max_age=OUTGOING_MAX_AGE,
        max_msgs_per_subject=OUTGOING_LOG,
        duplicate_window=DUPLICATE_WINDOW,
        allow_direct=True,
        allow_msg_ttl=True,
        allow_msg_schedules=True,
    )


def deliverer_config(*, replicas: int) -> ConsumerConfig:
    """The one durable that feeds senders of webhooks."""
    return ConsumerConfig(
        durable_name=DELIVERER,
        filter_subject=webhook_due("*", "*"),
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=DELIVERER_ACK_WAIT,
        max_deliver=MAX_DELIVER,
        max_ack_pending=DELIVERER_PENDING,
        num_replicas=replicas,
    )


def bases_config(*, replicas: int) -> StreamConfig:
    """The stream below the object store `BASES`, laid out as clients expect it."""
    return StreamConfig(
        name=f"OBJ_{BASES}",
        subjects=[f"$O.{BASES}.C.>", f"$O.{BASES}.M.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        num_replicas=replicas,
        max_age=BASES_MAX_AGE,
        allow_rollup_hdrs=True,
        allow_direct=True,
    )


def audit_config(kept: AuditKept, *, replicas: int) -> StreamConfig:
    """The audit log. `deny_*`: not even who holds the gateway's login can take something out of it again."""
    return StreamConfig(
        name=AUDIT,
        subjects=[AUDIT_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        max_age=kept.days * 86_400,
        max_bytes=kept.megabytes * 1000**2,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        allow_atomic=True,
    )


def probe_config(*, replicas: int) -> StreamConfig:
    """The stream whose only message shows that storing works."""
    return StreamConfig(
        name=PROBE,
        subjects=["probe.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        max_msgs_per_subject=1,
    )


def expected() -> dict[str, list[str]]:
    """Every stream (those below buckets too) and its durables."""
    logs = {STREAMS[kind]: [str(c.durable_name) for c in consumer_configs(kind, replicas=1)] for kind in KINDS}
    buckets: dict[str, list[str]] = {f"KV_{name}": [] for name in BUCKETS}
    return {**logs, OUTGOING: [DELIVERER], TIMETABLE: [SCHEDULER], AUDIT: [], f"OBJ_{BASES}": [], **buckets, PROBE: []}


async def install(
    js: JetStreamContext, *, replicas: int = 1, ack_wait: float = ACK_WAIT, audit: AuditKept | None = None
) -> None:
    """Create or update every stream, consumer and bucket. Idempotent; any service may call it at start.

    `ack_wait` must be the workers' `EngineSettings.ack_wait`, and the same whoever calls. `audit` None leaves that log
    as it is, where it is.
    Raises nats errors when JetStream is not available.
    """
    for kind in KINDS:
        await _upsert_stream(js, stream_config(kind, replicas=replicas))
        for config in consumer_configs(kind, replicas=replicas, ack_wait=ack_wait):
            await js.add_consumer(STREAMS[kind], config)
    await _upsert_stream(js, outgoing_config(replicas=replicas))
    await js.add_consumer(OUTGOING, deliverer_config(replicas=replicas))
    await _upsert_stream(js, timetable_config(replicas=replicas))
    await js.add_consumer(TIMETABLE, scheduler_config(replicas=replicas, ack_wait=ack_wait))
    await _upsert_stream(js, audit_config(audit or await _audit_kept(js), replicas=replicas))
    await _upsert_stream(js, bases_config(replicas=replicas))
    for bucket in BUCKETS.values():
        await _ensure_bucket(js, bucket, replicas)
    await _upsert_stream(js, probe_config(replicas=replicas))


async def install_when_ready(
    js: JetStreamContext,
    *,
    replicas: int = 1,
    ack_wait: float = ACK_WAIT,
    allowed: bool = True,
    audit: AuditKept | None = None,
) -> None:
    """`install`, however long JetStream needs to be there. Not `allowed`: wait until somebody else has done it."""
    while True:
        try:
            if allowed:
                await install(js, replicas=replicas, ack_wait=ack_wait, audit=audit)
            else:
                await js.stream_info(PROBE)
        except (NatsError, APIError, TimeoutError) as error:
            log.warning("JetStream is not ready, trying again", error=repr(error))
            await asyncio.sleep(1)
        else:
            return


async def _audit_kept(js: JetStreamContext) -> AuditKept:
    try:
        config = (await js.stream_info(AUDIT)).config
    except NotFoundError:
        return AuditKept()
    return AuditKept(int((config.max_age or 0) / 86_400), (config.max_bytes or 0) // 1000**2)


async def _upsert_stream(js: JetStreamContext, config: StreamConfig) -> None:
    try:
        await js.add_stream(config)
    except BadRequestError:
        await js.update_stream(config)


async def _ensure_bucket(js: JetStreamContext, config: KeyValueConfig, replicas: int) -> None:
    stream = f"KV_{config.bucket}"
    try:
        await js.stream_info(stream)
    except NotFoundError:
        await js.create_key_value(config, replicas=replicas)
    kept = (await js.stream_info(stream)).config
    atomic = config.bucket in ATOMIC  # nats-py's KeyValueConfig knows nothing of it
    if (atomic and not kept.allow_atomic) or kept.num_replicas != replicas:
        await js.update_stream(kept, allow_atomic=atomic or kept.allow_atomic, num_replicas=replicas)
