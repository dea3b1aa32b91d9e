"""What each user of the bus may publish and hear: the least its work needs, and nothing of JetStream's beyond it.

    keeper      makes streams, buckets and consumers, and looks after them; no service is it
    gateway, cloner, restorer, status
    operator    a person with the `nats` command: reads the logs and the projections, changes nothing

Every user has inboxes of its own, so nobody hears the answers of somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.contract import streams
from shared.contract.subjects import (
    AUDIT_SUBJECTS,
    KINDS,
    WEBHOOK_SUBJECTS,
    EventType,
    Kind,
    Lane,
    every,
    rpc,
    schedule_due,
    schedule_of,
)
from shared.contract.timetable import SCHEDULER, TIMETABLE

KEEPER, OPERATOR = "keeper", "operator"
SERVICES = ("gateway", "cloner", "restorer", "status")
USERS = (KEEPER, *SERVICES, OPERATOR)
API = "$JS.API"
OBJECTS = f"OBJ_{streams.BASES}"


@dataclass(frozen=True)
class Rights:
    """Subjects with wildcards. `answers`: may answer whoever asks it."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    not_heard: tuple[str, ...] = ()
    """Taken out of `subscribe`."""
    answers: bool = False


def rights(user: str) -> Rights:
    """What one user may do. Raises KeyError for a name that is none of ours."""
    return {
        KEEPER: Rights((">",), (">",)),
        "gateway": Rights(
            (*_common(), *_gateway()),
            (inbox("gateway"), *_heard(streams.JOBS, streams.CLONES, streams.SNAPSHOTS)),
        ),
        "cloner": Rights(
            (*_common(), *_worker("clone"), *_cloner()),
            (inbox("cloner"), every("clone", EventType.CANCEL), rpc("cloner", "*")),
            answers=True,
        ),
        "restorer": Rights(
            (*_common(), *_worker("restore"), *_restorer()),
            (inbox("restorer"), every("restore", EventType.CANCEL)),
        ),
        "status": Rights((*_common(), *_status()), (inbox("status"), *_heard(streams.WEBHOOKS))),
        OPERATOR: Rights(
            _operator(),
            ("_INBOX.>", *(f"{kind}.>" for kind in KINDS)),  # the `nats` command chooses inboxes of its own
            tuple(inbox(name) for name in USERS if name != OPERATOR),
        ),
    }[user]


def inbox_prefix(user: str) -> str:
    """Where answers to this user go."""
    return f"_INBOX.{user}"


def inbox(user: str) -> str:
    """All of the user's inboxes."""
    return f"{inbox_prefix(user)}.>"


# --- what several need


def _common() -> Iterable[str]:
    """The depth of the queues for metrics, whether everything is there, whether it can be written."""
    yield f"{API}.STREAM.NAMES"  # object stores look their stream up
    yield f"{API}.STREAM.INFO.{streams.PROBE}"
    yield streams.PROBE_SUBJECT
    for kind in KINDS:
        yield f"{API}.STREAM.INFO.{streams.STREAMS[kind]}"
        yield f"{API}.CONSUMER.INFO.{streams.STREAMS[kind]}.*"


def _says(kind: Kind, *events: EventType) -> Iterable[str]:
    return (every(kind, event) for event in events)


def _reads(*names: str) -> Iterable[str]:
    """One message, or many, of a stream."""
    for name in names:
        yield f"{API}.STREAM.INFO.{name}"
        yield f"{API}.STREAM.MSG.GET.{name}"
        yield f"{API}.DIRECT.GET.{name}"
        yield f"{API}.DIRECT.GET.{name}.>"


def _buckets(*names: str, write: bool = False, clear: bool = False) -> Iterable[str]:
    for name in names:
        yield from _reads(f"KV_{name}")
        if write:
            yield f"$KV.{name}.>"
        if clear:
            yield f"{API}.STREAM.PURGE.KV_{name}"


def _heard(*buckets: str) -> Iterable[str]:
    """Changes of a bucket, as they happen."""
    return (f"$KV.{name}.>" for name in buckets)


def _pulls(stream: str, *durables: str) -> Iterable[str]:
    for durable in durables:
        yield f"{API}.CONSUMER.INFO.{stream}.{durable}"
        yield f"{API}.CONSUMER.MSG.NEXT.{stream}.{durable}"
        yield f"$JS.ACK.{stream}.{durable}.>"
        yield f"$JS.ACK.*.*.{stream}.{durable}.>"


def _follows(*names: str) -> Iterable[str]:
    """A consumer of its own, which goes with it."""
    for name in names:
        yield f"{API}.STREAM.INFO.{name}"
        yield f"{API}.CONSUMER.CREATE.{name}"
        yield f"{API}.CONSUMER.CREATE.{name}.>"
        yield f"{API}.CONSUMER.DELETE.{name}.*"
        yield f"{API}.CONSUMER.INFO.{name}.*"
        yield f"$JS.FC.{name}.>"


def _bases(*, write: bool) -> Iterable[str]:
    yield from _reads(OBJECTS)
    yield from _follows(OBJECTS)
    if write:
        yield f"$O.{streams.BASES}.>"
        yield f"{API}.STREAM.PURGE.{OBJECTS}"


# --- one by one


def _gateway() -> Iterable[str]:
    wishes = (EventType.REQUESTED, EventType.CANCEL, EventType.RETRY)
    for kind in KINDS:
        yield from _says(kind, *wishes)
        yield from _reads(streams.STREAMS[kind])
    yield from _says("clone", EventType.EXPIRE, EventType.EXTENDED, EventType.SCHEDULE_EXPIRE)
    yield from _buckets(streams.JOBS, streams.CLONES, streams.SNAPSHOTS, streams.WORKERS)
    written = (streams.VAULT, streams.IDEMPOTENCY, streams.LIMITS, streams.TICKETS, streams.SESSIONS, streams.WEBHOOKS)
    owned = (streams.OPERATIONS, streams.CALLS, streams.KEYS, streams.KEY_USES, streams.DEFAULTS)
    yield from _buckets(*written, *owned, write=True)
    yield from _reads(streams.OUTGOING)
    yield f"{API}.CONSUMER.INFO.{streams.OUTGOING}.{streams.DELIVERER}"
    yield "webhook.due.>"
    yield from _buckets(streams.SCHEDULES, write=True)
    yield from _reads(TIMETABLE)
    yield from _pulls(TIMETABLE, SCHEDULER)
    yield schedule_of("*", "*")
    yield schedule_due("*", "*")
    yield f"{API}.STREAM.PURGE.{TIMETABLE}"  # of a schedule that is no more
    yield from _reads(streams.AUDIT)
    yield AUDIT_SUBJECTS
    yield from (rpc("cloner", operation) for operation in ("mail", "preflight", "login", "states", "images"))


def _worker(kind: Kind) -> Iterable[str]:
    told = (
        EventType.STARTED,
        EventType.PROGRESS,
        EventType.WAITING,
        EventType.RETRYING,
        EventType.COMPLETED,
        EventType.FAILED,
        EventType.CANCELLED,
        EventType.RETRY,
        EventType.SCHEDULE_RETRY,
        EventType.SCHEDULE_EXPIRE,
        EventType.EXPIRE,
        EventType.EXPIRED,
    )
    stream = streams.STREAMS[kind]
    yield from _says(kind, *told)
    yield from _reads(stream)
    yield f"{API}.STREAM.PURGE.{stream}"  # schedules that are no longer wanted, progress of jobs that have ended
    durables = [streams.work_consumer(kind, lane) for lane in Lane]
    yield from _pulls(stream, *durables, streams.cancel_consumer(kind))
    kept = (streams.LEASES, streams.CHECKPOINTS, streams.VAULT, streams.LIMITS, streams.CONNECTORS)
    yield from _buckets(*kept, write=True, clear=True)
    yield f"$KV.{streams.WORKERS}.>"


def _cloner() -> Iterable[str]:
    """Beside its jobs: the ends of clones, and the sweep over everything that jobs leave."""
    yield from _pulls(streams.STREAMS["clone"], streams.expiry_consumer("clone"))
    yield from _reads(streams.STREAMS["restore"])
    yield from _buckets(streams.CLONES, streams.SNAPSHOTS)
    yield from _bases(write=True)
    yield from _says("restore", EventType.REQUESTED)  # a snapshot whose discard never began


def _restorer() -> Iterable[str]:
    yield from _says("restore", EventType.REQUESTED, EventType.ROLLED_BACK)  # the discard of a snapshot, scheduled
    yield from _buckets(streams.SNAPSHOTS, streams.CLONES)
    yield from _bases(write=True)


def _status() -> Iterable[str]:
    for kind in KINDS:
        stream = streams.STREAMS[kind]
        yield from _reads(stream)
        yield from _follows(stream)
        yield f"{API}.CONSUMER.MSG.NEXT.{stream}.*"
        yield from _pulls(stream, streams.PROJECTOR, streams.NOTIFIER)
    projections = (streams.JOBS, streams.CLONES, streams.SNAPSHOTS)
    yield from _buckets(*projections, write=True)
    yield from _follows(*(f"KV_{name}" for name in projections))
    yield from _buckets(streams.TICKETS, streams.SESSIONS, streams.WEBHOOKS, write=True)
    yield from _buckets(streams.KEYS)
    yield from _reads(streams.OUTGOING)
    yield WEBHOOK_SUBJECTS
    yield from _pulls(streams.OUTGOING, streams.DELIVERER)


def _operator() -> tuple[str, ...]:
    """What `nats stream`, `nats consumer`, `nats kv` ask to show logs and projections: nothing sealed, no session."""
    logs = [*streams.STREAMS.values(), streams.OUTGOING, streams.AUDIT]
    projections = [f"KV_{name}" for name in (streams.JOBS, streams.CLONES, streams.SNAPSHOTS)]
    shown = [f"{API}.INFO", f"{API}.STREAM.NAMES", f"{API}.STREAM.LIST"]
    for name in [*logs, *projections]:
        shown += [*_reads(name), *_follows(name), f"{API}.CONSUMER.NAMES.{name}", f"{API}.CONSUMER.LIST.{name}"]
        shown.append(f"{API}.CONSUMER.MSG.NEXT.{name}.*")
    return tuple(shown)
