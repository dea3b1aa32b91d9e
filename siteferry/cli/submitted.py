"""What commands that submit a job do with it: say its id, or stay until it has ended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from siteferry.cli import render
from siteferry.cli.client import Api
from siteferry.cli.watch import watch

FollowFlag = Annotated[bool, typer.Option("--watch", "--wait", "-w", help="Stay and show how it goes.")]
TimeoutOption = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="With --watch: stay so long at most; then exit code 4.")
]
PriorityOption = Annotated[
    str | None, typer.Option(metavar="LANE", help="high, normal or low.  [default: the API key's, or normal]")
]


def finish(api: Api, accepted: dict[str, Any], *, follow: bool, timeout: float | None, as_json: bool) -> None:
    """Tell about an accepted job. Raises typer.Exit with how it ended when it is followed."""
    job_id = accepted["job_id"]
    if follow:
        render.say(f"Job {job_id}")
        raise typer.Exit(watch(api, [job_id], as_json=as_json, timeout=timeout))
    if as_json:
        render.print_json(accepted)
    else:
        render.out.print(job_id)
        render.say(f"Watch it with: siteferry watch {job_id}")
