"""The state of a batch follows from its jobs; a request's defaults apply field by field."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.batch import (
    BatchStatus,
    cost_of,
    make_batch,
    members,
    progress_of,
    status_of,
    with_defaults,
)
from shared.bus.batch import MOST
from shared.contract.jobs import Job, Phase, Status
from shared.ids import batch_member, is_batch_id, is_job_id, new_batch_id

AT = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = Status


def job(status: Status = PENDING, progress: float = 0.0, **more: Any) -> Job:
    return Job(job_id="clone-x", type="clone", status=status, progress=progress, created_at=AT, updated_at=AT, **more)


def test_members_follow_from_the_id_and_are_in_order() -> None:
    batch_id = new_batch_id()
    ids = members(batch_id, MOST)
    assert is_batch_id(batch_id)
    assert all(is_job_id(job_id) for job_id in ids)
    assert len(set(ids)) == MOST
    assert ids == sorted(ids)
    assert ids[0].removeprefix("clone-") == batch_id.removeprefix("batch-")
    assert not is_batch_id(batch_id[:-1] + "1")
    for number in (-1, 1024):
        with pytest.raises(ValueError, match="at most"):
            batch_member(batch_id, number)


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ([PENDING, PENDING], "pending"),
        ([PENDING, RUNNING], "running"),
        ([PENDING, COMPLETED], "running"),
        ([PENDING, CANCELLED], "running"),
        ([RUNNING, FAILED], "running"),
        ([COMPLETED, COMPLETED], "completed"),
        ([COMPLETED, FAILED], "partially_completed"),
        ([COMPLETED, CANCELLED], "partially_completed"),
        ([FAILED, CANCELLED], "failed"),
        ([FAILED, FAILED], "failed"),
        ([CANCELLED, CANCELLED], "cancelled"),
    ],
)
def test_state_of_the_whole(statuses: list[Status], whole: str) -> None:
    assert status_of(Counter(statuses)) == whole
    assert BatchStatus(whole).terminal == (not {PENDING, RUNNING} & set(statuses))


def test_progress_is_the_mean_and_ended_jobs_count_whole() -> None:
    assert progress_of([job(RUNNING, 50), job(PENDING)], 2) == 25.0
    assert progress_of([job(COMPLETED, 100), job(FAILED, 40), job(CANCELLED, 0)], 3) == 100.0
    assert progress_of([job(RUNNING, 50)], 4) == 12.5  # the others are not projected yet
    assert progress_of([job(COMPLETED, 100)] * 999 + [job(RUNNING, 99.9)], 1000) == 99.9


@given(st.lists(st.tuples(st.sampled_from(list(Status)), st.floats(0, 100)), min_size=1, max_size=60))
def test_progress_is_100_exactly_when_every_job_has_ended(jobs: list[tuple[Status, float]]) -> None:
    found = [job(status, min(progress, 99.0)) for status, progress in jobs]
    progress = progress_of(found, len(found))
    assert 0 <= progress <= 100
    assert (progress == 100) == all(status.terminal for status, _ in jobs)


def test_jobs_nobody_has_folded_yet_are_pending() -> None:
    batch = make_batch("batch-0k3v9x2m7c1p5t00", 3, [job(RUNNING, 30)])
    assert (batch.counts[PENDING], batch.counts[RUNNING], batch.status) == (2, 1, "running")
    assert sum(batch.counts.values()) == batch.total == 3


def test_batch_is_cancelling_when_all_that_is_left_is() -> None:
    wished = job(RUNNING, 10, phase=Phase.CANCELLING)
    assert make_batch("b", 2, [wished, job(COMPLETED)]).phase is Phase.CANCELLING
    assert make_batch("b", 2, [wished, job(PENDING)]).phase is None
    assert make_batch("b", 2, [wished]).phase is None
    assert make_batch("b", 1, [job(CANCELLED)]).phase is None


LOGIN = {"username": "agency", "password": "common"}


@pytest.mark.parametrize(
    ("clone", "defaults", "merged"),
    [
        ({}, LOGIN, LOGIN),
        ({"password": "own"}, LOGIN, {"username": "agency", "password": "own"}),
        ({"pairing_key": "k"}, LOGIN, {"pairing_key": "k"}),
        ({"username": "u", "password": "p"}, {"pairing_key": "k"}, {"username": "u", "password": "p"}),
        ({"ttl_minutes": 5}, {"ttl_minutes": 60, "priority": "low"}, {"ttl_minutes": 5, "priority": "low"}),
        (
            {"options": {"exclude_paths": ["a"]}},
            {"options": {"exclude_paths": ["b"], "keep_transients": True}},
            {"options": {"exclude_paths": ["a"], "keep_transients": True}},
        ),
        ({"options": "wrong"}, {"options": {}}, {"options": "wrong"}),
    ],
)
def test_defaults_apply_field_by_field(clone: dict[str, Any], defaults: dict[str, Any], merged: dict[str, Any]) -> None:
    assert with_defaults(clone, defaults) == merged


def test_ten_clones_cost_as_much_as_one_call() -> None:
    assert [cost_of(clones) for clones in (1, 10, 11, 1000)] == [1, 1, 2, 100]
