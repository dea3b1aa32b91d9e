"""What may be removed. Pure: no await, no clock, no NATS.

Nothing is touched whose job has not ended, is in a worker's hands, ended a moment ago, or is not known to the log: a
place without a story may be a clone whose NATS is lost, and a person has to look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.contract.jobs import Clone, CloneState, Job, Snapshot, SnapshotState, Status


class Action(StrEnum):
    """What is to be done with a thing."""

    KEEP = "keep"
    REMOVE = "remove"
    EXPIRE = "expire"
    """The clone's end was missed: ask for it again, so that it is removed and told as usual."""
    UNKNOWN = "unknown"
    """Reported, and left alone."""


@dataclass(frozen=True)
class Verdict:
    """A decision, and its reason for a person."""

    action: Action
    why: str = ""


KEEP = Verdict(Action.KEEP)
STRANGER = Verdict(Action.UNKNOWN, "the log knows no such job")


@dataclass(frozen=True)
class Rules:
    """How long things are left in peace."""

    grace: timedelta
    """After the last message of a job, and after a clone's time was up."""
    keep_failed: timedelta
    """After a failure: for so long a person may have the job run again."""


@dataclass(frozen=True)
class Known:
    """What the stream says about one job."""

    job: Job | None = None
    clone: Clone | None = None
    last_at: datetime | None = None
    """When the last message was stored."""
    in_hands: bool = False
    """Whether a worker holds its lease."""
    snapshot: Snapshot | None = None


def settled(known: Known, rules: Rules, now: datetime) -> bool:
    """Whether the job has ended and nothing has happened to it for a while."""
    if known.job is None or known.last_at is None or known.in_hands:
        return False
    return known.job.status.terminal and now - known.last_at > rules.grace


def place(known: Known, rules: Rules, now: datetime) -> Verdict:
    """A clone's directory, database, user or host name."""
    if known.job is None:
        return STRANGER
    if not settled(known, rules, now):
        return KEEP
    if known.job.status is not Status.COMPLETED:
        return Verdict(Action.REMOVE, f"its job {_ended(known.job)}")
    if known.clone is not None and known.clone.state is CloneState.DELETED:
        return Verdict(Action.REMOVE, f"the clone was removed ({known.clone.reason})")
    return overdue(known, rules, now)


def overdue(known: Known, rules: Rules, now: datetime) -> Verdict:
    """A clone that should be gone by now, whether or not anything of it exists."""
    clone = known.clone
    if clone is None or clone.state is CloneState.DELETED or not settled(known, rules, now):
        return KEEP
    if clone.state is CloneState.DELETING:
        return Verdict(Action.EXPIRE, "its removal was asked for and did not happen")
    if clone.expires_at is not None and now - clone.expires_at > rules.grace:
        return Verdict(Action.EXPIRE, f"its time was up at {clone.expires_at:%Y-%m-%d %H:%M} UTC")
    return KEEP


def secret(known: Known, stored_at: datetime, rules: Rules, now: datetime) -> Verdict:
    """A job's login in the vault. One without a job was stored by a submission that was refused or cut off after it."""
    if now - stored_at <= rules.grace:
        return KEEP
    if known.job is None:
        # with a story but no command: the command is scheduled, and its login waits with it
        return KEEP if known.last_at is not None else Verdict(Action.REMOVE, "no job was accepted with it")
    return _record(known, rules, now)


def promised(known: Known, stored_at: datetime, rules: Rules, now: datetime) -> Verdict:
    """The login of a job that will remove a snapshot, whether or not anything of that job is stored yet."""
    return KEEP if known.job is None else secret(known, stored_at, rules, now)


def checkpoint(known: Known, stored_at: datetime, rules: Rules, now: datetime) -> Verdict:
    """What a job's workers remembered."""
    if now - stored_at <= rules.grace:
        return KEEP
    return STRANGER if known.job is None else _record(known, rules, now)


def connector(users: Iterable[Known], stored_at: datetime, expires_at: float, rules: Rules, now: datetime) -> Verdict:
    """A connector on a source; `users` are the jobs that use or change it, `expires_at` Unix seconds."""
    if now - stored_at <= rules.grace:
        return KEEP
    if now.timestamp() - expires_at > rules.grace.total_seconds():
        return Verdict(Action.REMOVE, "its time was up, so it has removed itself")
    jobs = list(users)
    if any(known.job is None for known in jobs):
        return STRANGER
    return Verdict(Action.REMOVE, "its jobs have ended") if all(settled(k, rules, now) for k in jobs) else KEEP


def base(known: Known, stored_at: datetime, rules: Rules, now: datetime) -> Verdict:
    """What a site was when it was cloned, kept with the clone; or before a restore, kept with its snapshot."""
    if now - stored_at <= rules.grace:
        return KEEP
    if known.job is None:
        # of a clone that outlived the beginning of its story, some of the story is left
        return KEEP if known.last_at is not None else Verdict(Action.REMOVE, "the log knows no such job")
    if not settled(known, rules, now):
        return KEEP
    if known.job.status is not Status.COMPLETED:
        return Verdict(Action.REMOVE, f"its job {_ended(known.job)}")
    if known.clone is not None and known.clone.state is CloneState.DELETED:
        return Verdict(Action.REMOVE, f"the clone was removed ({known.clone.reason})")
    if known.snapshot is not None and known.snapshot.state is not SnapshotState.ACTIVE:
        return Verdict(Action.REMOVE, f"its snapshot was {known.snapshot.state.replace('_', ' ')}")
    return KEEP


def snapshot(restore: Known, discard: Known, rules: Rules, now: datetime) -> Verdict:
    """A way back on production whose time is up; `discard` is the job that removes it by itself."""
    found = restore.snapshot
    if found is None or found.state is not SnapshotState.ACTIVE or not settled(restore, rules, now):
        return KEEP
    if found.expires_at is None or now - found.expires_at <= rules.grace:
        return KEEP
    if discard.job is None:
        return Verdict(Action.EXPIRE, f"its time was up at {found.expires_at:%Y-%m-%d %H:%M} UTC")
    if settled(discard, rules, now) and discard.job.status is not Status.COMPLETED:
        return Verdict(Action.UNKNOWN, f"the job that should remove it {_ended(discard.job)}: discard it by hand")
    return KEEP


def _record(known: Known, rules: Rules, now: datetime) -> Verdict:
    assert known.job is not None
    if not settled(known, rules, now):
        return KEEP
    assert known.last_at is not None
    if known.job.status is Status.FAILED and now - known.last_at <= rules.keep_failed:
        return KEEP
    return Verdict(Action.REMOVE, f"its job {_ended(known.job)}")


def _ended(job: Job) -> str:
    return f"was {job.status}" if job.status is Status.CANCELLED else str(job.status)
