"""The stream of schedules and its consumer. `streams` makes them with all others."""

from __future__ import annotations

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from shared.contract.subjects import TIMETABLE_SUBJECTS, schedule_due

TIMETABLE = "SCHEDULES"
"""Stream: the server's own schedule (ADR-51) of each of ours, and the last time it was due."""
SCHEDULER = "scheduler"
"""Durable on `TIMETABLE`: what is due. All gateways share it."""


def timetable_config(*, replicas: int) -> StreamConfig:
    """Of each schedule it holds two messages: when it fires, and the last time it did. Without an age: a schedule of
    once a year is there for a year."""
    return StreamConfig(
        name=TIMETABLE,
        subjects=[TIMETABLE_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=replicas,
        max_msgs_per_subject=1,
        allow_direct=True,
        allow_msg_ttl=True,
        allow_msg_schedules=True,
    )


def scheduler_config(*, replicas: int, ack_wait: float) -> ConsumerConfig:
    """The one durable that tells gateways what is due."""
    return ConsumerConfig(
        durable_name=SCHEDULER,
        filter_subject=schedule_due("*", "*"),
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_deliver=-1,
        max_ack_pending=1000,
        num_replicas=replicas,
    )
