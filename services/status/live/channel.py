"""One job as this process follows it for its viewers. Pure: no await, no clock."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.status.live import shape
from services.status.live.outbox import Change
from services.status.projection import State
from services.status.story import Entry
from shared.contract.events import JobEvent
from shared.contract.subjects import TERMINAL, EventType
from shared.contract.times import stamp

REPLAY = 64
"""Changes kept for clients that come back; who missed more gets a snapshot."""


class Viewer(Protocol):
    """Whoever watches one job or one list."""

    def changed(self, change: Change) -> None:
        """Something visible happened."""

    def outdated(self) -> None:
        """What the viewer has may be wrong: it needs a snapshot."""


@dataclass
class Channel:
    """A followed job: its state, the last changes, and who watches."""

    job_id: str
    state: State | None = None
    """None while it is being read; entries wait in `early`."""
    early: list[Entry] = field(default_factory=list)
    recent: deque[Change] = field(default_factory=lambda: deque(maxlen=REPLAY))
    since: int = 0
    """`recent` holds every change behind this sequence."""
    viewers: set[Viewer] = field(default_factory=set)
    shown: State | None = None
    """What viewers have been shown, while later changes wait to be shown together."""
    idle_since: float | None = None

    def begin(self, state: State) -> list[Entry]:
        """Take the state that was read; returns the entries that came meanwhile and are still to be applied."""
        self.state, self.since = state, state.seq
        self.recent.clear()
        early, self.early = self.early, []
        return early

    def apply(self, entry: Entry, *, show: bool = True) -> tuple[State, State] | None:
        """The states before and after an entry; None when nothing visible changed.

        Without `show` the change waits for the next entry and is shown with that one.
        """
        assert self.state is not None
        before = self.shown or self.state
        self.state = after = self.state.after([entry])
        self.shown = None if show else before
        if not show:
            return None
        if after.job is None or _visible(before) == _visible(after):
            return None
        return before, after

    def record(self, change: Change) -> None:
        """Keep a change for those who come back."""
        if len(self.recent) == REPLAY:
            self.since = self.recent[0].seq
        self.recent.append(change)

    def missed(self, seq: int) -> list[Change] | None:
        """What a client that saw everything up to `seq` has missed; None when that is no longer known."""
        if self.state is None or not self.since <= seq <= max(self.state.seq, self.since):
            return None
        return [change for change in self.recent if change.seq > seq]


def _visible(state: State) -> tuple[object, ...]:
    way_back = () if state.snapshot is None else (state.snapshot.state,)
    return (-1 if state.job is None else state.job.n, *clone_face(state), *way_back)


def clone_face(state: State) -> tuple[object, ...]:
    """What can be seen to change of a clone."""
    clone = state.clone
    return () if clone is None else (clone.state, clone.expires_at, clone.deleted_at)


def outlasted(entries: Sequence[Entry]) -> list[bool]:
    """For each of some entries: whether a later one of the same job tells the progress of the same step anew."""
    following: dict[str, tuple[object, ...] | None] = {}
    found: list[bool] = []
    for entry in reversed(entries):
        step = _step(entry)
        found.append(step is not None and following.get(entry.job_id) == step)
        following[entry.job_id] = step
    found.reverse()
    return found


def _step(entry: Entry) -> tuple[object, ...] | None:
    message = entry.message
    if entry.event is not EventType.PROGRESS or not isinstance(message, JobEvent):
        return None
    return message.job.attempt, message.job.step


def change_of(entry: Entry, before: State, state: State) -> Change:
    """A change of a job, with everything a job page shows."""
    assert state.job is not None
    merged = 0 if before.job is None else max(0, state.job.n - before.job.n - 1)
    return _change(entry, state, "job", shape.job_detail_text(state), merged)


def listed_change(entry: Entry, state: State) -> Change:
    """A change of a job in a list."""
    return _change(entry, state, "job", _text(shape.listed_job(state)))


def clone_change(entry: Entry, state: State) -> Change:
    """A change of a clone in a list."""
    assert state.clone is not None
    return _change(entry, state, "clone", _text(shape.clone_summary(state.clone)))


def _change(entry: Entry, state: State, key: str, record: str, merged: int = 0) -> Change:
    job = state.job
    assert job is not None
    assert entry.message is not None
    event = f'{{"type":"{entry.event}","time":"{stamp(entry.message.time)}","{key}":{record}}}'
    merge = f"{job.attempt}:{job.step}" if entry.event is EventType.PROGRESS else None
    ends = str(job.status) if entry.event in TERMINAL and job.status.terminal else None
    body = f'"seq":{job.seq},"n":{job.n},"event":{event}'
    return Change(job.job_id, job.seq, job.n, body, merge, ends, job.tenant, merged)


def _text(record: shape.Json) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)
