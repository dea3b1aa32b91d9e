"""`siteferry sweep`: have a cloner remove what jobs left behind, and say what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.client import Exit
from siteferry.cli.jobs import JsonFlag

if TYPE_CHECKING:
    from services.cloner.sweeper.report import Finding, Report

COLOURS = {"removed": "green", "expired": "green", "found": "yellow", "left": "yellow", "failed": "red"}
WORDS = {"expired": "its end asked for", "found": "would be removed", "left": "left alone", "failed": "not removed"}
THINGS = {
    "place": "places",
    "connector": "connectors",
    "checkpoint": "checkpoints",
    "login": "logins",
    "base": "bases",
    "snapshot": "snapshots",
    "image": "images",
}


def sweep(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove what jobs and clones left behind. Nothing is touched whose job may still want it.

    Cloners do the same by themselves every hour. Exit code 1 when something could not be removed.
    """
    from siteferry.cli import over_nats

    report = over_nats.sweep(context.obj, dry_run=dry_run)
    if as_json:
        render.print_json(report.model_dump())
    else:
        _print(report)
    raise typer.Exit(Exit.FAILED if report.count("failed") else Exit.OK)


def _row(finding: Finding) -> list[str | Text]:
    outcome = WORDS.get(finding.outcome, finding.outcome) + (f": {finding.error}" if finding.error else "")
    return [finding.what, finding.id, finding.why, render.words(outcome, style=COLOURS[finding.outcome])]


def _print(report: Report) -> None:
    if report.findings:
        render.table(["WHAT", "WHICH", "WHY", "OUTCOME"], [_row(finding) for finding in report.findings])
    looked_at = ", ".join(f"{number:,} {THINGS.get(what, what)}" for what, number in report.looked_at.items())
    told = "" if report.findings else "Nothing was left behind. "
    render.say(f"{told}Looked at {looked_at} in {render.duration(report.seconds)}.")
