"""`siteferry dead`: jobs that failed for good, and what to do about each."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.again import next_command
from siteferry.cli.context import api_of
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.render import Json


def dead(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Part of the source's address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List jobs that failed for good: why, after how many attempts, and what to do next.

    \b
    siteferry dead
    siteferry dead --json | jq -r '.jobs[] | select(.error.code == "source_unreachable") | .job_id'
    """
    page = api_of(context).get("/jobs", status=["failed"], source=source, limit=limit, cursor=cursor)
    if as_json:
        for job in page["jobs"]:
            job["next"] = next_for(job)
        return render.print_json(page)
    if not page["jobs"]:
        return render.say("No dead jobs.")
    for number, job in enumerate(page["jobs"]):
        if render.out.is_terminal:
            _print(job, first=number == 0)
    if not render.out.is_terminal:
        render.table(
            ["JOB", "FAILED", "ATTEMPTS", "CODE", "SOURCE", "SAID", "NEXT"], [_row(job) for job in page["jobs"]]
        )
    if page["next_cursor"]:
        render.say(f"More with: siteferry dead --cursor {page['next_cursor']}")
    return None


def next_for(job: Json) -> str:
    """The next thing to do about a failed job."""
    return next_command(job) or "see the message"


def _print(job: Json, *, first: bool) -> None:
    error = job["error"] or {}
    if not first:
        render.out.print()
    head = Text(job["job_id"], style="bold")
    attempts = f"{job['attempt']} attempt{'s' if job['attempt'] != 1 else ''}"
    head.append_text(render.words(f"  {error.get('code', 'unknown')}", style="red"))
    head.append(f"  {attempts}, failed {render.ago(job['finished_at'])}", style="dim")
    render.out.print(head)
    render.out.print(render.words(f"  {job['name'] + '  ' if job['name'] else ''}{job['source_url']}"))
    render.out.print(render.words(f"  {error.get('message') or job['message']}"))
    if error.get("hint"):
        render.out.print(render.words(f"  {error['hint']}", style="dim"))
    render.out.print(render.words(f"  Next: {next_for(job)}", style="cyan"))


def _row(job: Json) -> list[str | Text]:
    error = job["error"] or {}
    return [
        job["job_id"],
        render.when(job["finished_at"]),
        str(job["attempt"]),
        error.get("code", "unknown"),
        job["source_url"],
        error.get("message") or job["message"],
        next_for(job),
    ]
