"""The queue of one live connection: whatever is put in and however slowly it is read, the reader ends right."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.status.live.outbox import Change, Outbox

JOBS = ("a", "b", "c")


def change(job: str, seq: int, n: int, step: str | None, ends: str | None = None) -> Change:
    body = f'"seq":{seq},"n":{n},"event":{{"job":"{job}","step":{json.dumps(step)}}}'
    return Change(job, seq, n, body, step, ends)


class Reader:
    """A client that keeps the rules of the protocol for one subscription."""

    def __init__(self) -> None:
        self.seq = self.n = 0
        self.state: str | None = None
        self.kept: list[int] = []

    def take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "snap":
            assert frame["seq"] >= self.seq
            self.seq, self.n, self.state = frame["seq"], frame["n"], frame["state"]
            return
        assert frame["seq"] > self.seq, "out of order or twice"
        assert frame["n"] - frame.get("merged", 0) == self.n + 1, "a gap that was not said"
        self.seq, self.n, self.state = frame["seq"], frame["n"], frame["event"]["step"]
        self.kept.append(self.n)


steps = st.sampled_from(["files", "files", "files", "database", None])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(JOBS), steps), st.tuples(st.just("take"), st.integers(1, 9))
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(actions=actions, limit=st.integers(1, 12))
def test_a_reader_of_any_speed_sees_order_no_unsaid_gap_and_the_last_state(actions: list[Any], limit: int) -> None:
    box = Outbox(limit)
    truth = {job: (0, 0, None) for job in JOBS}
    readers = {job: Reader() for job in JOBS}
    important: dict[str, list[int]] = {job: [] for job in JOBS}
    resynced: set[str] = set()
    seq = 0

    def read(most: int) -> None:
        if not len(box):
            for job in sorted(box.resync):
                resynced.add(job)
                last, n, state = truth[job]
                box.snapshot(job, json.dumps({"type": "snap", "id": job, "seq": last, "n": n, "state": state}))
        for text in box.take(most):
            frame = json.loads(text)
            readers[frame["id"]].take(frame)

    for action in actions:
        if action[0] == "take":
            read(action[1])
            continue
        _, job, step = action
        seq += 1
        n = truth[job][1] + 1
        truth[job] = (seq, n, step)
        if step is None:
            important[job].append(n)
        box.change(job, json.dumps(job), change(job, seq, n, step))
        assert len(box) <= limit
    while not box.idle:
        read(3)
    for job in JOBS:
        assert (readers[job].seq, readers[job].n, readers[job].state) == truth[job]
        if job not in resynced:
            assert set(important[job]) <= set(readers[job].kept), "a state change was merged away"


def test_progress_merges_only_with_its_neighbour_of_the_same_job_and_step() -> None:
    box = Outbox()
    for seq, (job, step) in enumerate([("a", "files"), ("b", "files"), ("a", "files"), ("a", None), ("a", "files")], 1):
        box.change("list", '"list"', change(job, seq, seq, step))
    frames = [json.loads(text) for text in box.take()]
    assert [(frame["seq"], frame.get("merged", 0)) for frame in frames] == [(3, 2), (2, 0), (4, 0), (5, 0)]
    assert box.merged == 1


def test_overflow_forgets_the_changes_of_those_who_are_late_and_nothing_else() -> None:
    box = Outbox(limit=2)
    box.put('{"type":"pong"}')
    box.change("one", '"one"', change("a", 1, 1, None))
    box.change("two", '"two"', change("b", 2, 1, None))
    assert box.resync == {"one", "two"}
    box.change("one", '"one"', change("a", 3, 2, None))
    assert [json.loads(text)["type"] for text in box.take()] == ["pong"]
