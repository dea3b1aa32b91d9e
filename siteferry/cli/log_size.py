"""`siteferry log-size`: what the log of NATS holds, and how long its room will last."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict

import typer
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from rich.text import Text

from shared import log
from shared.bus.connection import connect
from shared.bus.log_size import LogSize
from shared.bus.log_size import log_size as measure
from shared.settings import Settings
from siteferry.cli import render
from siteferry.cli.client import CliError, Unreachable
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.operate import CONNECT_TIMEOUT, bus_settings
from siteferry.embedded.instance import running_instance
from siteferry.embedded.up import default_state_dir

SHOWN = 8


def log_size(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show how full the store of NATS is, what a job leaves in it, and how many days are left."""
    log.configure("cli", level="ERROR")
    instance = running_instance(context.obj.state or default_state_dir())
    size = asyncio.run(_measure(bus_settings(context.obj), limit=instance.nats_max_store if instance else 0))
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


async def _measure(settings: Settings, *, limit: int) -> LogSize:
    """Raises Unreachable when NATS is not there, CliError when it holds no streams of ours."""
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                bus = await stack.enter_async_context(connect(settings, service="cli"))
            return await measure(bus, limit=limit)
    except NotFoundError:
        raise CliError(f"The NATS at {settings.nats_url} holds no streams of Siteferry.") from None
    except (NatsError, OSError, TimeoutError):
        raise Unreachable(
            f"NATS does not answer at {settings.nats_url}.",
            hint="Start Siteferry with: siteferry up. Elsewhere set SITEFERRY_NATS_URL and SITEFERRY_NATS_TOKEN_FILE.",
        ) from None
