"""Figures about jobs, counted from the list of jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.recent import Recent
from services.gateway.statistics import LONGEST, PIECES, count, spread
from shared.contract.jobs import ErrorInfo, Job, Status
from shared.contract.subjects import Lane

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def job(number: int, *, accepted: float, begun: float | None = None, ended: float | None = None, **more: Any) -> Job:
    """A job by minutes before `NOW`."""

    def at(minutes: float | None) -> datetime | None:
        return None if minutes is None else NOW - timedelta(minutes=minutes)

    created = NOW - timedelta(minutes=accepted)
    return Job(
        job_id=f"clone-{number:016d}",
        type=more.pop("type", "clone"),
        created_at=created,
        updated_at=created,
        started_at=at(begun),
        finished_at=at(ended),
        **more,
    )


def failed(number: int, code: str, **more: Any) -> Job:
    return job(number, status=Status.FAILED, error=ErrorInfo(code=code, message="m", hint="h"), **more)


def test_an_hour_of_jobs() -> None:
    told = count(
        [
            job(1, accepted=50, begun=49, ended=44, status=Status.COMPLETED, lane=Lane.HIGH),
            job(2, accepted=20, begun=10, ended=1, status=Status.COMPLETED),
            job(3, accepted=90, begun=80, ended=61, status=Status.COMPLETED),
            job(4, accepted=70, begun=65, ended=30, status=Status.COMPLETED, type="restore"),
            failed(5, "wrong_password", accepted=6, begun=5, ended=4),
            failed(6, "wrong_password", accepted=6, begun=5, ended=4),
            failed(7, "tls_error", accepted=6, begun=5, ended=4),
            job(8, accepted=3, ended=2, status=Status.CANCELLED),
            job(9, accepted=200, status=Status.PENDING, lane=Lane.LOW),
            job(10, accepted=15, status=Status.PENDING, lane=Lane.LOW),
            job(11, accepted=15, begun=14, status=Status.RUNNING),
        ],
        window="hour",
        until=NOW,
    )
    assert (told.submitted, told.completed, told.failed, told.cancelled) == (8, 3, 3, 1)
    assert told.success_rate == 0.5
    assert [(each.code, each.count) for each in told.failures] == [("wrong_password", 2), ("tls_error", 1)]
    high, normal, low = told.lanes
    assert (high.queued, high.oldest_queued_seconds, high.wait.p50) == (0, None, 60)
    assert (low.queued, low.oldest_queued_seconds, low.running) == (2, 200 * 60, 0)
    assert (normal.running, normal.wait.count, normal.wait.p50, normal.wait.p95) == (1, 5, 60, 600)
    clones, restores = told.kinds
    assert (clones.duration.count, clones.duration.p50, clones.duration.longest) == (2, 300, 540)
    assert (restores.duration.count, restores.duration.p95) == (1, 35 * 60)
    assert (told.pieces[-1].completed, told.pieces[-1].failed, told.pieces[-1].cancelled) == (1, 3, 1)
    assert sum(piece.completed for piece in told.pieces) == 3
    assert told.pieces[0].start == told.since == NOW - timedelta(hours=1)


def test_a_job_that_runs_again_has_not_ended() -> None:
    """Retried by hand, it still knows when it ended first."""
    told = count([job(1, accepted=9, begun=8, ended=5, status=Status.RUNNING)], window="hour", until=NOW)
    assert (told.completed, told.failed, told.cancelled) == (0, 0, 0)
    assert all(piece.completed == piece.failed == piece.cancelled == 0 for piece in told.pieces)


def test_nothing_is_no_division() -> None:
    told = count([], window="day", until=NOW)
    assert told.success_rate is None
    assert len(told.pieces) == 24
    assert told.kinds[0].duration.p50 is None


@given(st.lists(st.floats(0, 3000), max_size=60), st.sampled_from(["hour", "day"]))
def test_every_job_that_ended_in_the_window_is_in_one_piece(minutes: list[float], window: Any) -> None:
    jobs = [job(n, accepted=m, begun=m, ended=m, status=Status.COMPLETED) for n, m in enumerate(minutes)]
    told = count(jobs, window=window, until=NOW)
    number, length = PIECES[window]
    inside = sum(1 for each in jobs if each.finished_at and each.finished_at > NOW - number * length)
    assert told.completed == sum(piece.completed for piece in told.pieces) == inside
    for piece in told.pieces:
        assert told.since <= piece.start < told.until


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_of_what_was_there(seconds: list[float]) -> None:
    told = spread(seconds)
    assert told.p50 in seconds
    assert told.p95 in seconds
    assert told.p50 is not None
    assert told.p95 is not None
    assert told.p50 <= told.p95 <= (told.longest or 0) == max(seconds)
    assert sum(each <= told.p50 for each in seconds) * 2 >= len(seconds)


changes = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from(["me", "other"]),
        st.one_of(st.none(), st.floats(0, 3000)),
        st.sampled_from(["put", "put", "put", "drop", "clear"]),
    ),
    max_size=40,
)


@given(changes, st.floats(0, 3000))
def test_what_is_kept_beside_the_list_counts_like_the_whole_list(
    told: list[tuple[int, str, float | None, str]], later: float
) -> None:
    moment = [NOW]
    recent, everything = Recent(LONGEST, lambda: moment[0]), dict[str, Job]()
    for number, tenant, ended, what in told:
        status = Status.RUNNING if ended is None else Status.COMPLETED
        one = job(number, accepted=(ended or 0) + 9, begun=(ended or 0) + 5, ended=ended, status=status, tenant=tenant)
        known = everything.get(one.job_id)
        if known is not None:
            one = one.model_copy(update={"tenant": known.tenant})  # which never changes
        if what == "clear":
            recent.clear()
            everything.clear()
        elif what == "put":
            recent.put(one.job_id, one)
            everything[one.job_id] = one
        elif known is not None:
            recent.drop(one.job_id, everything.pop(one.job_id))
    moment[0] += timedelta(minutes=later)
    for tenant in ("me", "other"):
        mine = [each for each in everything.values() if each.tenant == tenant]
        for window in PIECES:
            assert count(recent.of(tenant), window=window, until=moment[0]) == count(
                mine, window=window, until=moment[0]
            )
    kept = [each for tenant in ("me", "other") for each in recent.of(tenant)]
    assert all(each.finished_at is None or each.finished_at > moment[0] - LONGEST for each in kept)
