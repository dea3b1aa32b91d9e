"""The pure parts of the engine: when to retry, who is next, what a message means, what a person sees."""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.events import CloneRequested, Retry
from shared.contract.jobs import Step, StepState
from shared.contract.subjects import LANES, Lane
from shared.engine.checkpoint import Checkpoint, Verdict, frozen, judge, serialised
from shared.engine.fairness import Waiting, ahead
from shared.engine.lanes import Aging
from shared.engine.limits import scopes
from shared.engine.retry import backoff, wait_delay
from shared.engine.settings import EngineSettings, Limits
from shared.engine.steps import ALMOST, fraction, overall, reconciled
from shared.engine.token import Draining, StopToken
from shared.errors import Cancelled, LeaseLost
from shared.ids import new_id
from tests.engine.light import LightWorkflow, Plan


def command(**more: str) -> CloneRequested:
    fields = {"source_url": "https://a.test/blog", "tenant": "me", **more}
    return CloneRequested(job_id=new_id("clone"), secret_ref="r", ttl_minutes=5, **fields)


class TestBackoff:
    @given(tries=st.integers(1, 1000), base=st.floats(0.01, 10), cap=st.floats(0.01, 1000))
    def test_is_within_its_doubling_range(self, tries: int, base: float, cap: float) -> None:
        ceilings: list[float] = []
        backoff(tries, base=base, cap=cap, uniform=lambda low, high: ceilings.append(high) or low)
        assert ceilings == [min(cap, base * 2 ** min(tries - 1, 60))]
        assert 0 <= backoff(tries, base=base, cap=cap) <= cap

    @given(tries=st.integers(1, 20), asked=st.floats(0, 5000))
    def test_never_earlier_than_the_other_side_asked(self, tries: int, asked: float) -> None:
        assert asked <= backoff(tries, base=2, cap=300, retry_after=asked) <= asked * 1.1 + 1

    def test_front_of_the_line_asks_more_often_than_its_back(self) -> None:
        middle = lambda low, high: (low + high) / 2  # noqa: E731
        delays = [wait_delay(place, step=0.5, least=1, most=15, uniform=middle) for place in range(100)]
        assert delays == sorted(delays)
        assert (delays[0], delays[-1]) == (1, 15)


class TestAging:
    def test_is_strict_until_patience_ends_and_then_everybody_gets_a_turn(self) -> None:
        aging = Aging(patience=5)
        picks = []
        for _ in range(120):  # all lanes always full
            lane = aging.order(LANES)[0]
            aging.picked(lane)
            picks.append(lane)
        assert picks[:5] == [Lane.HIGH] * 5
        for lane in LANES:
            places = [index for index, picked in enumerate(picks) if picked is lane]
            assert max(b - a for a, b in pairwise(places)) <= 7
        assert picks.count(Lane.HIGH) > picks.count(Lane.NORMAL) + picks.count(Lane.LOW)

    def test_an_empty_lane_saves_no_turns(self) -> None:
        aging = Aging(patience=2)
        for _ in range(50):
            aging.picked(Lane.HIGH)
            aging.empty(Lane.LOW)
            aging.empty(Lane.NORMAL)
        assert aging.order(LANES) == list(LANES)

    def test_closed_lanes_are_not_asked(self) -> None:
        assert Aging(patience=0).order((Lane.HIGH,)) == [Lane.HIGH]


class TestProgress:
    @given(
        st.lists(
            st.tuples(st.floats(0.1, 50), st.sampled_from(StepState), st.integers(-5, 200), st.integers(0, 100)),
            min_size=1,
            max_size=9,
        )
    )
    def test_is_a_share_of_the_weights(self, rows: list[tuple[float, StepState, int, int]]) -> None:
        steps = [
            Step(name=str(n), title="", state=state, done=done, total=total)
            for n, (_, state, done, total) in enumerate(rows)
        ]
        weights = {str(n): row[0] for n, row in enumerate(rows)}
        assert 0 <= overall(steps, weights) <= ALMOST
        assert all(0 <= fraction(step) <= 1 for step in steps)
        finished = [step.model_copy(update={"state": StepState.DONE}) for step in steps]
        assert overall(finished, weights) == ALMOST

    def test_weighs_steps(self) -> None:
        steps = [
            Step(name="a", title="", state=StepState.DONE),
            Step(name="b", title="", state=StepState.RUNNING, done=50, total=100),
            Step(name="c", title=""),
        ]
        assert overall(steps, {"a": 1, "b": 2, "c": 7}) == 20

    def test_a_newer_release_keeps_what_it_knows(self, tmp_path: Path) -> None:
        specs = LightWorkflow(tmp_path).steps(command(name=Plan(steps=3).name()))
        known = [Step(name="s2", title="", state=StepState.DONE), Step(name="gone", title="")]
        assert [(step.name, step.state) for step in reconciled(specs, known)] == [
            ("s1", StepState.PENDING),
            ("s2", StepState.DONE),
            ("s3", StepState.PENDING),
        ]


def retry(attempt: int, ticket: int = 0, *, manual: bool = False) -> Retry:
    return Retry(job_id="clone-x", attempt=attempt, ticket=ticket, manual=manual)


class TestJudge:
    @pytest.mark.parametrize(
        ("known", "message", "verdict"),
        [
            (Checkpoint(), command(), Verdict.RUN),
            (Checkpoint(attempt=2), command(), Verdict.ECHO),
            (Checkpoint(ticket=1), command(), Verdict.ECHO),
            (Checkpoint(ticket=1), retry(1, 1), Verdict.RUN),
            (Checkpoint(ticket=2), retry(1, 1), Verdict.ECHO),
            (Checkpoint(attempt=2), retry(1, 7), Verdict.ECHO),
            (Checkpoint(attempt=2), retry(2), Verdict.RUN),
            (Checkpoint(attempt=2), retry(0, manual=True), Verdict.RUN),
            (Checkpoint(ended=50), command(), Verdict.ECHO),
            (Checkpoint(ended=50), retry(9), Verdict.ECHO),
            (Checkpoint(ended=50), retry(0, manual=True), Verdict.NEW_LIFE),
            (Checkpoint(ended=150), retry(0, manual=True), Verdict.ECHO),
        ],
    )
    def test_only_the_awaited_message_moves_a_job(
        self, known: Checkpoint, message: CloneRequested | Retry, verdict: Verdict
    ) -> None:
        assert judge(known, message, seq=100) is verdict


class TestCheckpoint:
    @given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.none())))
    def test_state_survives_as_it_is(self, state: dict[str, object]) -> None:
        stored = serialised(Checkpoint(state={"replaced": True}), frozen(state))
        assert Checkpoint.model_validate_json(stored).state == state


class TestStopToken:
    def test_graver_reasons_win(self) -> None:
        token = StopToken()
        token.check()
        for reason in (Draining, Cancelled, LeaseLost):
            token.stop(reason)
            assert token.reason is reason
        token.stop(Draining)
        with pytest.raises(LeaseLost):
            token.check()

    def test_a_lease_that_ran_out_needs_nobody_to_say_so(self) -> None:
        token = StopToken()
        token.alive_until(time.monotonic() + 60)
        token.check()
        token.alive_until(time.monotonic() - 0.001)
        assert token.stopped
        with pytest.raises(LeaseLost):
            token.check()

    def test_sleep_outlasts_a_lease_that_is_renewed(self) -> None:
        token = StopToken()
        token.alive_until(time.monotonic() + 0.2)
        renewing = threading.Timer(0.1, lambda: token.alive_until(time.monotonic() + 60))
        renewing.start()
        begun = time.monotonic()
        token.sleep(0.4)
        assert time.monotonic() - begun >= 0.4
        renewing.join()

    def test_sleep_ends_with_the_job(self) -> None:
        token = StopToken()
        token.stop(Cancelled)
        begun = time.monotonic()
        with pytest.raises(Cancelled):
            token.sleep(60)
        assert time.monotonic() - begun < 1


class TestLimits:
    def test_scopes_tell_tenants_sources_and_kinds_apart(self) -> None:
        limits = Limits(total=9, per_tenant=3, per_source=1)
        mine = scopes(command(), limits)
        assert [scope.limit for scope in mine] == [9, 3, 1]
        other = scopes(command(tenant="you", source_url="https://b.test"), limits)
        assert [a.name == b.name for a, b in zip(mine, other, strict=True)] == [True, False, False]

    def test_a_source_is_its_host_and_port_whatever_else_the_url_says(self) -> None:
        limits = Limits(per_source=1)
        same = ["https://user:pw@A.test/x", "http://a.test/", "https://a.test"]
        assert len({scopes(command(source_url=url), limits)[0].name for url in same}) == 1
        [scope] = scopes(command(source_url="https://user:hunter2@a.test:81/x"), limits)
        assert scope.why == "Waiting: 1 job is already reading from a.test:81"

    def test_no_limits_no_scopes(self) -> None:
        assert scopes(command(), Limits()) == []


@given(st.floats(1.2, 600))
def test_a_lease_ends_before_its_message_comes_again(ack_wait: float) -> None:
    assert 1 <= EngineSettings(ack_wait=ack_wait).lease_ttl < ack_wait


def test_places_go_to_whom_has_less_than_a_share_then_to_who_came_first() -> None:
    a1, a2, b1, c1 = Waiting("1", "a"), Waiting("2", "a"), Waiting("3", "b"), Waiting("4", "c")
    assert ahead(a2, [a1], set(), Counter(a=9), 10) == 1, "nobody else waits"
    assert ahead(b1, [a1, a2, c1], set(), Counter(a=4), 6) == 0
    assert ahead(c1, [a1, a2, b1], set(), Counter(a=4), 6) == 1
    assert ahead(a1, [a2, b1, c1], set(), Counter(a=4), 6) == 2
    assert ahead(a1, [], {"b"}, Counter(a=3), 4) == 1, "b has not asked yet"
    assert ahead(a1, [], {"b"}, Counter(a=1, b=3), 4) == 0, "b has its share"


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=12),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 5)),
    st.integers(1, 12),
)
def test_a_free_place_is_never_left_to_nobody(tenants: list[str], held: dict[str, int], limit: int) -> None:
    line = [Waiting(str(number).zfill(2), tenant) for number, tenant in enumerate(tenants)]
    before = [ahead(one, [other for other in line if other is not one], set(), Counter(held), limit) for one in line]
    assert sorted(before) == list(range(len(line)))
