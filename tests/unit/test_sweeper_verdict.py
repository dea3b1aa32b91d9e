"""What a sweep may touch, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.cloner.sweeper import verdict
from services.cloner.sweeper.verdict import Action, Known, Rules
from shared.contract.jobs import Clone, CloneState, Job, Phase, Snapshot, SnapshotState, Status

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
RULES = Rules(grace=timedelta(minutes=30), keep_failed=timedelta(days=1))
OLD, NEW = NOW - timedelta(hours=2), NOW - timedelta(minutes=5)
ANCIENT = NOW - timedelta(days=2)


def known(status: Status, *, at: datetime = OLD, in_hands: bool = False, clone: Clone | None = None) -> Known:
    job = Job(job_id="clone-0", type="clone", status=status, created_at=ANCIENT, updated_at=at)
    return Known(job, clone, at, in_hands)


def clone(state: CloneState = CloneState.ACTIVE, expires_at: datetime | None = None) -> Clone:
    names = {name: "" for name in ("source_url", "clone_url", "admin_url", "username", "sealed_password")}
    return Clone(clone_id="clone-0", state=state, created_at=ANCIENT, expires_at=expires_at, **names)


PLACES = {
    "unknown to the log": (Known(), Action.UNKNOWN),
    "pending": (known(Status.PENDING), Action.KEEP),
    "running": (known(Status.RUNNING), Action.KEEP),
    "failed": (known(Status.FAILED), Action.REMOVE),
    "failed long ago": (known(Status.FAILED, at=ANCIENT), Action.REMOVE),
    "cancelled": (known(Status.CANCELLED), Action.REMOVE),
    "failed a moment ago": (known(Status.FAILED, at=NEW), Action.KEEP),
    "failed, in hands": (known(Status.FAILED, in_hands=True), Action.KEEP),
    "a living clone": (known(Status.COMPLETED, clone=clone(expires_at=NOW + timedelta(hours=1))), Action.KEEP),
    "a clone without an end": (known(Status.COMPLETED, clone=clone()), Action.KEEP),
    "a clone just over its time": (known(Status.COMPLETED, clone=clone(expires_at=NEW)), Action.KEEP),
    "a clone long over its time": (known(Status.COMPLETED, clone=clone(expires_at=OLD)), Action.EXPIRE),
    "extended a moment ago": (known(Status.COMPLETED, at=NEW, clone=clone(expires_at=OLD)), Action.KEEP),
    "a removal that never came": (known(Status.COMPLETED, clone=clone(CloneState.DELETING)), Action.EXPIRE),
    "a clone that is gone": (known(Status.COMPLETED, clone=clone(CloneState.DELETED)), Action.REMOVE),
    "completed, but no clone": (known(Status.COMPLETED), Action.KEEP),
}


@pytest.mark.parametrize(("about", "action"), PLACES.values(), ids=PLACES)
def test_places(about: Known, action: Action) -> None:
    found = verdict.place(about, RULES, NOW)
    assert found.action is action
    assert bool(found.why) is (action is not Action.KEEP)


RECORDS = {
    "completed": (known(Status.COMPLETED), OLD, Action.REMOVE, Action.REMOVE),
    "cancelled": (known(Status.CANCELLED), OLD, Action.REMOVE, Action.REMOVE),
    "failed, may run again": (known(Status.FAILED), OLD, Action.KEEP, Action.KEEP),
    "failed days ago": (known(Status.FAILED, at=ANCIENT), ANCIENT, Action.REMOVE, Action.REMOVE),
    "running": (known(Status.RUNNING), OLD, Action.KEEP, Action.KEEP),
    "written a moment ago": (known(Status.COMPLETED), NEW, Action.KEEP, Action.KEEP),
    "unknown to the log": (Known(), OLD, Action.REMOVE, Action.UNKNOWN),
    "unknown, a moment ago": (Known(), NEW, Action.KEEP, Action.KEEP),
}


@pytest.mark.parametrize(("about", "at", "secret", "checkpoint"), RECORDS.values(), ids=RECORDS)
def test_logins_and_checkpoints(about: Known, at: datetime, secret: Action, checkpoint: Action) -> None:
    assert verdict.secret(about, at, RULES, NOW).action is secret
    assert verdict.checkpoint(about, at, RULES, NOW).action is checkpoint


def way_back(state: SnapshotState = SnapshotState.ACTIVE, expires_at: datetime | None = OLD) -> Known:
    names = {"snapshot_id": "restore-0", "target_url": "http://shop.test"}
    return replace(
        known(Status.COMPLETED), snapshot=Snapshot(state=state, created_at=ANCIENT, expires_at=expires_at, **names)
    )


BASES = {
    "running": (known(Status.RUNNING), Action.KEEP),
    "failed": (known(Status.FAILED), Action.REMOVE),
    "a living clone": (known(Status.COMPLETED, clone=clone()), Action.KEEP),
    "a clone that is gone": (known(Status.COMPLETED, clone=clone(CloneState.DELETED)), Action.REMOVE),
    "a way back": (way_back(), Action.KEEP),
    "rolled back": (way_back(SnapshotState.ROLLED_BACK), Action.REMOVE),
    "unknown to the log": (Known(), Action.REMOVE),
    "older than the log": (Known(last_at=OLD), Action.KEEP),
}


@pytest.mark.parametrize(("about", "action"), BASES.values(), ids=BASES)
def test_bases(about: Known, action: Action) -> None:
    assert verdict.base(about, OLD, RULES, NOW).action is action
    assert verdict.base(about, NEW, RULES, NOW).action is Action.KEEP


SNAPSHOTS = {
    "nothing began": (way_back(), Known(), Action.EXPIRE),
    "only its schedule is there": (way_back(), Known(last_at=ANCIENT), Action.EXPIRE),
    "its discard runs": (way_back(), known(Status.RUNNING), Action.KEEP),
    "its discard failed": (way_back(), known(Status.FAILED), Action.UNKNOWN),
    "its discard failed a moment ago": (way_back(), known(Status.FAILED, at=NEW), Action.KEEP),
    "just over its time": (way_back(expires_at=NEW), Known(), Action.KEEP),
    "without an end": (way_back(expires_at=None), Known(), Action.KEEP),
    "discarded": (way_back(SnapshotState.DISCARDED), Known(), Action.KEEP),
    "no snapshot": (known(Status.COMPLETED), Known(), Action.KEEP),
}


@pytest.mark.parametrize(("restore", "discard", "action"), SNAPSHOTS.values(), ids=SNAPSHOTS)
def test_snapshots(restore: Known, discard: Known, action: Action) -> None:
    assert verdict.snapshot(restore, discard, RULES, NOW).action is action


def test_a_login_waits_with_its_scheduled_command() -> None:
    assert verdict.secret(Known(last_at=ANCIENT), ANCIENT, RULES, NOW).action is Action.KEEP
    assert verdict.promised(Known(), ANCIENT, RULES, NOW).action is Action.KEEP
    assert verdict.promised(known(Status.COMPLETED), ANCIENT, RULES, NOW).action is Action.REMOVE


CONNECTORS = {
    "all ended": ([known(Status.FAILED), known(Status.COMPLETED)], OLD, Action.REMOVE),
    "one runs": ([known(Status.FAILED), known(Status.RUNNING)], OLD, Action.KEEP),
    "one is unknown": ([known(Status.FAILED), Known()], OLD, Action.UNKNOWN),
    "nobody": ([], OLD, Action.REMOVE),
    "changed a moment ago": ([], NEW, Action.KEEP),
}


@pytest.mark.parametrize(("users", "at", "action"), CONNECTORS.values(), ids=CONNECTORS)
def test_connectors(users: list[Known], at: datetime, action: Action) -> None:
    later = (NOW + timedelta(hours=5)).timestamp()
    assert verdict.connector(users, at, later, RULES, NOW).action is action


def test_a_connector_over_its_time_is_forgotten_whoever_used_it() -> None:
    users = [known(Status.RUNNING)]
    assert verdict.connector(users, ANCIENT, OLD.timestamp(), RULES, NOW).action is Action.REMOVE


def test_a_job_that_waits_for_its_retry_is_not_settled() -> None:
    waiting = known(Status.PENDING)
    assert waiting.job is not None
    waiting.job.phase = Phase.RETRYING
    assert not verdict.settled(waiting, RULES, NOW)
