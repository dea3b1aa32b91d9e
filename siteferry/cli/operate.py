"""Commands for operators, which talk to NATS itself: `rebuild-projection`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import typer
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from services.status.rebuild import Report, rebuild
from shared import log
from shared.bus.connection import connect
from shared.settings import Settings
from siteferry.cli import render
from siteferry.cli.client import CliError, Unreachable
from siteferry.cli.context import Common
from siteferry.cli.jobs import JsonFlag
from siteferry.embedded.instance import running_instance
from siteferry.embedded.up import default_state_dir

CONNECT_TIMEOUT = 5.0
"""Seconds until NATS counts as not there."""


def rebuild_projection(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Make jobs, clones and snapshots anew from the streams. Everything may keep running meanwhile.

    \b
    NATS is that of the `siteferry up` of this machine; elsewhere SITEFERRY_NATS_URL and
    SITEFERRY_NATS_TOKEN_FILE say where it is.
    """
    settings = bus_settings(context.obj)
    log.configure("cli", level="ERROR")
    report = asyncio.run(_rebuild(settings))
    if as_json:
        return render.print_json(asdict(report))
    told = f"Rebuilt from the streams: jobs {report.jobs:,}, clones {report.clones:,}, snapshots {report.snapshots:,}"
    told += f"; corrected {report.changed:,}"
    told += f"; removed {report.removed:,}" if report.removed else ""
    told += f"; left alone {report.kept:,}, older than the streams" if report.kept else ""
    return render.say(f"{told}.")


def bus_settings(common: Common) -> Settings:
    """How to reach NATS: the environment's settings, over them the instance that runs on this machine."""
    instance = running_instance(common.state or default_state_dir())
    if instance is None:
        return Settings()
    return Settings().model_copy(
        update={"nats_url": instance.nats_url, "nats_token_file": Path(instance.nats_token_file)}
    )


async def _rebuild(settings: Settings) -> Report:
    """Raises Unreachable when NATS is not there, CliError when it holds no streams of ours."""
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                bus = await stack.enter_async_context(connect(settings, service="cli"))
            return await rebuild(bus)
    except NotFoundError:
        raise CliError(f"The NATS at {settings.nats_url} holds no streams of Siteferry.") from None
    except (NatsError, OSError, TimeoutError):
        raise Unreachable(
            f"NATS does not answer at {settings.nats_url}.",
            hint="Start Siteferry with: siteferry up. Elsewhere set SITEFERRY_NATS_URL and SITEFERRY_NATS_TOKEN_FILE.",
        ) from None
