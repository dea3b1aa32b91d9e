"""`siteferry statistics`: throughput, queues, waits and failures of the last hour or day."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.context import api_of
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.render import Json


class Window(StrEnum):
    """How far back."""

    HOUR = "hour"
    DAY = "day"


def statistics(
    context: typer.Context,
    window: Annotated[Window, typer.Option(help="The last hour, or the last day.")] = Window.HOUR,
    calls: Annotated[
        bool, typer.Option("--calls", help="Who submitted how in the last 30 days, by API key and form of call.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Count jobs of the last hour or day: how they ended, what waits in which lane, how long they took, what failed.

    \b
    siteferry statistics --window day
    siteferry statistics --calls
    siteferry statistics --json | jq '.lanes[] | {lane, queued, oldest_queued_seconds}'
    """
    if calls:
        return _calls(api_of(context).get("/statistics/calls"), as_json=as_json)
    told = api_of(context).get("/statistics", window=window.value)
    if as_json:
        return render.print_json(told)
    rate = told["success_rate"]
    render.pairs(
        [
            ("Submitted", str(told["submitted"])),
            ("Ended", f"{told['completed']} completed, {told['failed']} failed, {told['cancelled']} cancelled"),
            ("Success", "-" if rate is None else f"{rate:.1%}"),
        ]
    )
    render.out.print()
    lanes: list[list[str | Text]] = [_lane(lane) for lane in told["lanes"]]
    render.table(["LANE", "QUEUED", "OLDEST", "RUNNING", "BEGUN", "WAIT P50", "WAIT P95"], lanes)
    render.out.print()
    kinds: list[list[str | Text]] = [[kind["type"], *_spread(kind["duration"])] for kind in told["kinds"]]
    render.table(["JOB", "COMPLETED", "P50", "P95", "LONGEST"], kinds)
    if told["failures"]:
        render.out.print()
        failures: list[list[str | Text]] = [[each["code"], str(each["count"])] for each in told["failures"]]
        render.table(["FAILED WITH", "JOBS"], failures)
    return None


FORMS = {"v1": "/api/v1, has to move", "waiting": "waiting", "async": "asynchronous"}


def _calls(told: Json, *, as_json: bool) -> None:
    if as_json:
        return render.print_json(told)
    if not told["calls"]:
        return render.say(f"Nobody has submitted anything in {told['days']} days.")
    rows: list[list[str | Text]] = [
        [each["key"], FORMS[each["form"]], str(each["count"]), each["last_day"]] for each in told["calls"]
    ]
    return render.table(["KEY", "FORM", "CALLS", "LAST"], rows)


def _lane(lane: Json) -> list[str | Text]:
    begun, p50, p95, _longest = _spread(lane["wait"])
    oldest = _seconds(lane["oldest_queued_seconds"])
    return [lane["lane"], str(lane["queued"]), oldest, str(lane["running"]), begun, p50, p95]


def _spread(told: Json) -> tuple[str, str, str, str]:
    return str(told["count"]), _seconds(told["p50"]), _seconds(told["p95"]), _seconds(told["longest"])


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"
