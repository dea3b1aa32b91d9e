"""Commands for operators, which talk to NATS itself: `rebuild-projection`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from siteferry.cli import render
from siteferry.cli.jobs import JsonFlag


def rebuild_projection(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Make jobs, clones and snapshots anew from the streams. Everything may keep running meanwhile.

    \b
    NATS is that of the `siteferry up` of this machine; elsewhere SITEFERRY_NATS_URL and
    SITEFERRY_NATS_TOKEN_FILE say where it is.
    """
    from siteferry.cli import over_nats

    report = over_nats.rebuild(context.obj)
    if as_json:
        return render.print_json(asdict(report))
    told = f"Rebuilt from the streams: jobs {report.jobs:,}, clones {report.clones:,}, snapshots {report.snapshots:,}"
    told += f"; corrected {report.changed:,}"
    told += f"; removed {report.removed:,}" if report.removed else ""
    told += f"; left alone {report.kept:,}, older than the streams" if report.kept else ""
    return render.say(f"{told}.")
