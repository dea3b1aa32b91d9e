"""`siteferry workers`: who works, and on what."""

from __future__ import annotations

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.context import api_of
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.log_size import amount


def workers(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show who works on what.

    The workers with their slots, the jobs in them, and the room on their disks. For operators.

    \b
    siteferry workers
    """
    told = api_of(context).get("/workers")
    if as_json:
        return render.print_json(told)
    if not told["workers"]:
        return render.say("No worker has been heard of in the last 15 seconds.")
    rows: list[list[str | Text]] = []
    for worker in told["workers"]:
        free = "-" if worker["free_bytes"] is None else amount(worker["free_bytes"])
        rows.append([worker["id"], worker["type"], f"{len(worker['jobs'])} of {worker['slots']}", free, ""])
        rows += [
            ["", job["job_id"], "" if job["progress"] is None else f"{job['progress']:.0f} %", "", job["message"] or ""]
            for job in worker["jobs"]
        ]
    return render.table(["WORKER", "JOBS", "SLOTS", "FREE", "DOES"], rows)
