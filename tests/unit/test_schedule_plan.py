"""When a schedule is due: what is read, what is refused with which words, and the days clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.schedules.plan import Plan

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "pattern", "shortest"),
    [
        ("30 2 * * 1-5", "0 30 2 * * 1-5", 86_400),
        ("*/15 * * * *", "0 */15 * * * *", 900),
        ("* * * * * *", "* * * * * *", 1),
        ("5/20 8-17 * JAN-mar Mon-Fri", "0 5/20 8-17 * jan-mar mon-fri", 1200),
        ("0,50 23,0 ? * *", "0 0,50 23,0 * * *", 600),
        ("@weekly", "0 0 0 * * 0", 86_400),
        ("0 0 29 2 *", "0 0 0 29 2 *", 86_400),
    ],
)
def test_what_is_understood(cron: str, pattern: str, shortest: int) -> None:
    plan = Plan.read(cron, BERLIN)
    assert (plan.pattern, plan.shortest()) == (pattern, shortest)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("", "0 fields"),
        ("30 2 * *", "4 fields"),
        ("61 * * * *", "bad minute"),
        ("0 22-3 * * *", "bad hour"),
        ("*/0 * * * *", "bad minute"),
        ("a * * * *", "“a” for the minute"),
        ("１ * * * *", "for the minute"),
        ("0 0 L * *", "“l” for the day of the month"),
        ("0 0 * * sun#1", "day of the week"),
        ("0 0 * * 7", "Sunday 7; write 0"),
        ("0 0 * * mon/2", "write where it ends"),
        ("0 0 */2 * 1", "list them"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 31 2,4 *", "bad day-of-month"),
        ("@every 90m", "@every"),
        ("@reboot", "1 fields"),
    ],
)
def test_what_is_refused_says_why(cron: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        Plan.read(cron, BERLIN)


@pytest.mark.parametrize("zone", ["Mars/X", "europe/berlin", "../../etc/passwd", "Local", "", "UTC+1"])
def test_a_time_zone_is_one_of_iana(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        Plan.read("@daily", zone)


def test_what_is_due_once_a_night_is_so_when_clocks_change() -> None:
    plan = Plan.read("30 2 * * *", BERLIN)
    # 02:30 is not there on 29 March 2026: it is due when the hour is over
    assert plan.following(utc("2026-03-28T12:00")) == utc("2026-03-29T01:00")
    assert plan.following(utc("2026-03-29T01:00")) == utc("2026-03-30T00:30")
    # and there twice on 25 October: the first counts, also within the hour that comes twice
    assert plan.following(utc("2026-10-24T12:00")) == utc("2026-10-25T00:30")
    assert plan.following(utc("2026-10-25T00:30")) == utc("2026-10-26T01:30")
    for minute in (30, 59, 89, 90, 200):
        assert plan.latest(utc("2026-10-25T00:00") + timedelta(minutes=minute)) == utc("2026-10-25T00:30")


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
PLANS = st.sampled_from(
    ["*/20 * * * *", "30 2 * * *", "0 0 1 * *", "15 1,3 * * sun", "7 */5 13 * fri", "*/9 * * * * *"]
)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(PLANS, ZONES, MOMENTS)
def test_latest_and_following_meet(cron: str, zone: str, at: datetime) -> None:
    plan = Plan.read(cron, zone)
    latest, following = plan.latest(at), plan.following(at)
    assert latest <= at < following
    assert plan.following(latest) == following, "a time between them is passed over"
    assert plan.latest(following) == following
    instants = [latest, following, plan.following(following)]
    assert all(one < other for one, other in pairwise(instants))
