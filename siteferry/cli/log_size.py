"""`siteferry log-size`: what the log of NATS holds, and how long its room will last."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.jobs import JsonFlag

if TYPE_CHECKING:
    from shared.bus.log_size import LogSize

SHOWN = 8


def log_size(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show how full the store of NATS is, what a job leaves in it, and how many days are left."""
    from siteferry.cli import over_nats

    size = over_nats.log_size(context.obj)
    if as_json:
        return render.print_json({**asdict(size), "percent": size.percent})
    rows: list[list[str | Text]] = [[name, amount(bytes_)] for name, bytes_ in list(size.streams.items())[:SHOWN]]
    render.table(["STREAM", "SIZE"], rows)
    return render.say(sentence(size))


def sentence(size: LogSize) -> str:
    """All of it in a line."""
    said = f"{amount(size.used)} of {amount(size.limit)} ({size.percent:g} %)" if size.limit else amount(size.used)
    if size.jobs:
        said += f"; {size.jobs:,} jobs, {amount(size.bytes_a_job)} each"
    if size.days_left is not None:
        said += f"; {size.days_left:,.0f} days left at {amount(size.bytes_a_day)} a day"
    return f"{said}."


def amount(number: int) -> str:
    """Bytes as people say them."""
    size, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] in {"B", "kB"} else f"{size:.1f} {units[0]}"
