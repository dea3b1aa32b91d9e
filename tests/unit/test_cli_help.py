"""Every command explains itself, and what the API lets people choose the command line does too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command

from services.gateway.models import CloneRequest
from services.gateway.models_restore import RestoreRequest
from shared.contract.events import CloneOptions, RestoreOptions
from siteferry.cli.app import app

ALONE = {"version", "rebuild-projection", "sweep", "log-size"}
"""Their name is the whole example."""
ELSEWHERE = {"options", "mode", "ttl_minutes", "source_url", "clone_id", "target_url", "pairing_key"}
"""Fields with another shape on the command line, or with one possible value."""


def commands() -> Iterator[tuple[str, object]]:
    """Every command by the words it is called with."""

    def below(group: object, words: str) -> Iterator[tuple[str, object]]:
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            path = f"{words} {name}".strip()
            yield from below(command, path) if hasattr(command, "commands") else [(path, command)]

    yield from below(get_command(app), "")


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_an_example_and_every_option_a_meaning(path: str, command: object) -> None:
    assert path in ALONE or f"\nsiteferry {path}" in command.help, command.help  # type: ignore[attr-defined]
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]  # type: ignore[attr-defined]
    assert silent == []


def test_help_is_told_without_what_only_services_need() -> None:
    """Scripts call a command at a time: what each of them loads they pay for with each."""
    heavy = {"aiohttp", "asyncio", "httpx2", "nats", "pydantic", "services", "structlog", "websockets"}
    asked = "import sys, siteferry.cli.app; from typer.main import get_command; get_command(siteferry.cli.app.app)"
    told = subprocess.run(
        [sys.executable, "-c", f"{asked}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert set(told.stdout.split()) & heavy == set()


@pytest.mark.parametrize(
    ("path", "models"), [("clone", (CloneRequest, CloneOptions)), ("restore", (RestoreRequest, RestoreOptions))]
)
def test_what_the_api_lets_people_choose_the_command_line_does_too(path: str, models: tuple[type, ...]) -> None:
    command = dict(commands())[path]
    known = {parameter.name for parameter in command.params}  # type: ignore[attr-defined]
    wanted = {name for model in models for name in model.model_fields} - ELSEWHERE  # type: ignore[attr-defined]
    missing = {name for name in wanted if not {name, name.removesuffix("s"), name.removeprefix("target_")} & known}
    assert missing == set()
