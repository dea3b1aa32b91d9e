"""What commands for operators ask of NATS itself. Loaded by them only: its libraries take longer than most commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from services.cloner.sweeper.report import Report as Sweep
from services.status.rebuild import Report as Rebuilt
from services.status.rebuild import rebuild as make_anew
from shared import log
from shared.bus.connection import Bus, connect
from shared.bus.log_size import LogSize
from shared.bus.log_size import log_size as measure
from shared.contract.subjects import rpc
from shared.settings import Settings
from siteferry.cli.client import CliError, Unreachable
from siteferry.cli.context import Common
from siteferry.embedded.instance import running_instance
from siteferry.environment import default_state_dir

CONNECT_TIMEOUT = 5.0
"""Seconds until NATS counts as not there."""
PATIENCE = 900.0
"""Seconds a sweep may take: it may have many databases and files to remove."""
Found = TypeVar("Found")


def rebuild(common: Common) -> Rebuilt:
    """The projection made anew. Raises as `_asked`."""
    return _asked(common, make_anew)


def log_size(common: Common) -> LogSize:
    """What the log holds. Raises as `_asked`."""
    instance = running_instance(common.state or default_state_dir())
    limit = instance.nats_max_store if instance else 0
    return _asked(common, lambda bus: measure(bus, limit=limit))


def sweep(common: Common, *, dry_run: bool) -> Sweep:
    """What a cloner removed, or would. Raises as `_asked`; Unreachable without a cloner, CliError when that can not
    sweep now."""

    async def ask(bus: Bus) -> bytes:
        try:
            question = json.dumps({"dry_run": dry_run}).encode()
            return (await bus.nc.request(rpc("cloner", "sweep"), question, timeout=PATIENCE)).data
        except NoRespondersError:
            raise Unreachable(
                "No cloner is there, and only cloners can sweep.", hint="Look with: siteferry doctor"
            ) from None

    answer = json.loads(_asked(common, ask))
    if "error" in answer:
        raise CliError(answer["error"])
    return Sweep.model_validate(answer)


def _asked(common: Common, ask: Callable[[Bus], Awaitable[Found]]) -> Found:
    """Raises Unreachable when NATS is not there, CliError when it holds no streams of ours."""
    log.configure("cli", level="ERROR")
    return asyncio.run(_over(_settings(common), ask))


def _settings(common: Common) -> Settings:
    """How to reach NATS: the environment's settings, over them the instance that runs on this machine."""
    instance = running_instance(common.state or default_state_dir())
    if instance is None:
        return Settings()
    return Settings().model_copy(
        update={"nats_url": instance.nats_url, "nats_token_file": Path(instance.nats_token_file)}
    )


async def _over(settings: Settings, ask: Callable[[Bus], Awaitable[Found]]) -> Found:
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                bus = await stack.enter_async_context(connect(settings, service="cli"))
            return await ask(bus)
    except NotFoundError:
        raise CliError(f"The NATS at {settings.nats_url} holds no streams of Siteferry.") from None
    except (NatsError, OSError, TimeoutError):
        raise Unreachable(
            f"NATS does not answer at {settings.nats_url}.",
            hint="Start Siteferry with: siteferry up. Elsewhere set SITEFERRY_NATS_URL and SITEFERRY_NATS_TOKEN_FILE.",
        ) from None
