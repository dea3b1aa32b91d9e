"""What commands share: the options before the command's name, and small parsers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import typer

from siteferry.cli.client import Api, CliError, Exit, find_target

TTL = re.compile(r"^(\d{1,6})\s*(m|min|h|d)?$")
MINUTES = {None: 1, "m": 1, "min": 1, "h": 60, "d": 1440}


@dataclass(frozen=True)
class Common:
    """Options given before the command."""

    url: str | None
    api_key: str | None
    state: Path | None


def api_of(context: typer.Context) -> Api:
    """The way to the gateway for this command. Raises CliError when the address is none."""
    common: Common = context.obj
    return Api(find_target(common.url, common.api_key, common.state))


def parse_ttl(text: str) -> int:
    """Minutes in `90`, `90m`, `12h`, `7d`. Raises CliError for anything else."""
    match = TTL.match(text.strip().lower())
    if not match:
        raise CliError(f"{text} is not a time like 90m, 12h or 7d.", code=Exit.USAGE)
    return int(match[1]) * MINUTES[match[2]]
