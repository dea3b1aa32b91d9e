"""`siteferry sweep`: have a cloner remove what jobs left behind, and say what it found."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from rich.text import Text

from services.cloner.sweeper.report import Finding, Report
from shared import log
from shared.bus.connection import connect
from shared.contract.subjects import rpc
from shared.settings import Settings
from siteferry.cli import render
from siteferry.cli.client import CliError, Exit, Unreachable
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.operate import CONNECT_TIMEOUT, bus_settings

PATIENCE = 900.0
"""Seconds a sweep may take: it may have many databases and files to remove."""
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
    log.configure("cli", level="ERROR")
    report = asyncio.run(_ask(bus_settings(context.obj), dry_run=dry_run))
    if as_json:
        render.print_json(report.model_dump())
    else:
        _print(report)
    raise typer.Exit(Exit.FAILED if report.count("failed") else Exit.OK)


async def _ask(settings: Settings, *, dry_run: bool) -> Report:
    """Raises Unreachable when neither NATS nor a cloner is there, CliError when the cloner can not sweep now."""
    question = json.dumps({"dry_run": dry_run}).encode()
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                bus = await stack.enter_async_context(connect(settings, service="cli"))
            reply = await bus.nc.request(rpc("cloner", "sweep"), question, timeout=PATIENCE)
    except NoRespondersError:
        raise Unreachable(
            "No cloner is there, and only cloners can sweep.", hint="Look with: siteferry doctor"
        ) from None
    except (NatsError, OSError, TimeoutError):
        raise Unreachable(
            f"NATS does not answer at {settings.nats_url}.",
            hint="Start Siteferry with: siteferry up. Elsewhere set SITEFERRY_NATS_URL and SITEFERRY_NATS_TOKEN_FILE.",
        ) from None
    answer = json.loads(reply.data)
    if "error" in answer:
        raise CliError(answer["error"])
    return Report.model_validate(answer)


def _row(finding: Finding) -> list[str | Text]:
    outcome = WORDS.get(finding.outcome, finding.outcome) + (f": {finding.error}" if finding.error else "")
    return [finding.what, finding.id, finding.why, render.words(outcome, style=COLOURS[finding.outcome])]


def _print(report: Report) -> None:
    if report.findings:
        render.table(["WHAT", "WHICH", "WHY", "OUTCOME"], [_row(finding) for finding in report.findings])
    looked_at = ", ".join(f"{number:,} {THINGS.get(what, what)}" for what, number in report.looked_at.items())
    told = "" if report.findings else "Nothing was left behind. "
    render.say(f"{told}Looked at {looked_at} in {render.duration(report.seconds)}.")
