"""Writes docs/reference from the code: every command with its help, every message with its fields, every setting.

.venv/bin/python scripts/reference.py            write what changed
.venv/bin/python scripts/reference.py --check    say what is not current; exit code 1 if anything
"""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import reference_settings
from pydantic import BaseModel
from reference_words import docstrings, lines, type_of
from typer.main import get_command

from shared.contract import events
from siteferry.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs" / "reference"
WIDTH = 100

CLI = """# Commands

What `siteferry COMMAND --help` says, on one page. Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 not reachable or not
allowed, 4 timed out, 5 cancelled, 130 interrupted. Written by `scripts/reference.py`.
"""
EVENTS = """# Messages

What is on the streams `CLONES` and `RESTORES`. A message's subject is `<kind>.<event>.<lane>.<job>`, with kind `clone`
or `restore` and lane `high`, `normal` or `low`; its payload is JSON, its headers are CloudEvents attributes. There is
[an example of each](../events). Fields and types may be added, and what you do not know is to be ignored; nothing is
taken away or changes its meaning within a major version. Written by `scripts/reference.py`.

See them with `siteferry replay JOB`, or with the `nats` command as `siteferry doctor` tells.
"""


def commands(group: Any, path: str = "siteferry") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words it is called with, in the order of the help."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def cli() -> str:
    """docs/reference/cli.md."""
    root = get_command(app)
    parts = [CLI, _help("siteferry", root)]
    parts += [f"## {path}\n\n{_help(path, command)}" for path, command in commands(root)]
    return "\n".join(parts)


def _help(path: str, command: Any) -> str:
    context = command.context_class(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return textwrap.indent(text, "    ", lambda line: bool(line.strip())) + "\n"


def reference_of_events() -> str:
    """docs/reference/events.md."""
    models = [found for found in vars(events).values() if _is_model(found, events.Message)]
    parts, told = [EVENTS, _shape(events.Message, "Every message")], {events.Message}
    pending: list[type[BaseModel]] = []
    for model in models:
        names = [kind.value for kind in get_args(model.model_fields["type"].annotation)]
        title = ", ".join(f"`{name}`" for name in names)
        parts.append(_shape(model, f"{model.__name__}: {title}", own=True))
        told.add(model)
        pending += _inside(model)
    parts.append("## Shapes inside\n")
    while pending:
        model = pending.pop(0)
        if model not in told:
            told.add(model)
            parts.append(_shape(model, model.__name__, level=3))
            pending += _inside(model)
    return "\n".join(parts)


def _is_model(found: Any, base: type[BaseModel]) -> bool:
    return isinstance(found, type) and issubclass(found, base) and found is not base


def _shape(model: type[BaseModel], title: str, *, own: bool = False, level: int = 2) -> str:
    """A heading, what the class says of itself, and its fields."""
    said = textwrap.fill(lines(inspect.cleandoc(model.__doc__ or "")), 118, break_on_hyphens=False)
    base = events.Message.model_fields if own else {}
    described = docstrings(model)
    rows = []
    for name, field in model.model_fields.items():
        if name in base and name != "type" and type_of(field.annotation) == type_of(base[name].annotation):
            continue
        if own and name in {"type", "kind"}:
            continue
        default = "" if field.is_required() else _default(field.get_default(call_default_factory=True))
        text = field.description or described.get(name, "")
        rows.append(f"| `{name}` | {type_of(field.annotation)} | {default} | {lines(text)} |")
    table = ["| field | type | default | |", "|---|---|---|---|", *rows] if rows else ["No fields of its own."]
    return "\n".join([f"{'#' * level} {title}", "", said, "", *table, ""])


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        return "now"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _inside(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Models of its fields, wherever they are within a type."""

    def within(kind: Any) -> Iterator[type[BaseModel]]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind
        for part in get_args(kind):
            yield from within(part)

    return [found for field in model.model_fields.values() for found in within(field.annotation)]


def pages() -> dict[Path, str]:
    """Every page of the reference."""
    return {
        PLACE / "cli.md": cli(),
        PLACE / "events.md": reference_of_events(),
        PLACE / "settings.md": reference_settings.page(),
    }


def main(arguments: list[str]) -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run scripts/reference.py", file=sys.stderr)
        return 1 if stale else 0
    PLACE.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(pages()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
