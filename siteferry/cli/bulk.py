"""Many jobs or clones at once: which, and following the operation that does it. The command `operation`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from siteferry.cli import render
from siteferry.cli.client import Api, CliError, Exit, Unreachable
from siteferry.cli.context import api_of
from siteferry.cli.render import Json

POLL = 0.3
PATIENCE = 30.0
"""Seconds without an answer after which following ends; the operation goes on."""
SHOWN = 20
"""Refusals shown one by one."""
LISTS = frozenset({"status"})
JobsArgument = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Ids of jobs.", show_default=False)]
ClonesArgument = Annotated[list[str] | None, typer.Argument(metavar="CLONE", help="Ids of clones.", show_default=False)]
WhereJobs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="All jobs that fit instead: status, error, source, target, batch, type, q, created_after, "
        "created_before. Repeatable; all must hold.",
    ),
]
WhereClones = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="All clones that fit instead: source, q, created_after, created_before, ends_before. Repeatable; all "
        "must hold.",
    ),
]
DetachFlag = Annotated[bool, typer.Option("--detach", help="With many: do not stay until every one was asked for.")]


def chosen(ids: list[str] | None, where: list[str] | None) -> Json:
    """`ids` or `filter` of the request. Raises CliError when neither or both were given, or one can not be read."""
    if bool(ids) == bool(where):
        raise CliError("Give either ids or --where.", hint="See --help for an example.", code=Exit.USAGE)
    if ids:
        return {"ids": ids}
    wish: Json = {}
    for each in where or ():
        name, equals, value = each.partition("=")
        if not equals or not value:
            raise CliError(f"{each} is not like status=failed.", code=Exit.USAGE)
        if name in LISTS:
            wish.setdefault(name, []).append(value)
        elif name in wish:
            raise CliError(f"{name} is given twice.", code=Exit.USAGE)
        else:
            wish[name] = value
    return {"filter": wish}


def begin(api: Api, path: str, body: Json, *, detach: bool, as_json: bool) -> None:
    """Ask for an operation, and stay until it is completed. Raises typer.Exit with 1 when something was refused."""
    operation = api.submit(path, body)
    if not detach:
        operation = _followed(api, operation, quiet=as_json)
    _tell(operation, as_json=as_json)


def operation(
    context: typer.Context,
    operation_id: Annotated[str, typer.Argument(metavar="OPERATION", help="Id of the operation.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Stay until every member was asked for.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Show how far an operation on many jobs or clones is, and what was not done. Exit code 1 when something was not.

    \b
    siteferry operation operation-0k3v9x2m7c1p5t8w --wait
    """
    api = api_of(context)
    found = api.get(f"/operations/{operation_id}")
    if wait:
        found = _followed(api, found, quiet=as_json)
    _tell(found, as_json=as_json)


def _followed(api: Api, operation: Json, *, quiet: bool) -> Json:
    told, answered = -1, time.monotonic()
    while operation["status"] != "completed":
        looked_at = operation["done"] + operation["refused"]
        if looked_at != told and not quiet:
            render.say(f"{operation['operation_id']}: {looked_at:,} of {operation['total']:,}")
            told = looked_at
        time.sleep(POLL)
        try:
            operation = api.get(operation["status_url"])
            answered = time.monotonic()
        except Unreachable:
            if time.monotonic() - answered > PATIENCE:
                raise
    return operation


def _tell(operation: Json, *, as_json: bool) -> None:
    if as_json:
        render.print_json(operation)
    else:
        render.out.print(operation["operation_id"])
        render.say(_summary(operation))
        for refusal in operation["refusals"][:SHOWN]:
            render.say(f"{refusal['id']}: {refusal['message']}")
        if (more := operation["refused"] - SHOWN) > 0:
            render.say(f"and {more:,} more; all with --json")
    raise typer.Exit(Exit.FAILED if operation["refused"] else Exit.OK)


WORDS = {"retry": "run again", "cancel": "are being cancelled", "delete": "are being deleted", "extend": "end anew"}


def _summary(operation: Json) -> str:
    total: Any = operation["total"]
    if not total:
        return "Nothing fits."
    text = f"{operation['done']:,} of {total:,} {WORDS[operation['action']]}"
    if operation["refused"]:
        text += f"; {operation['refused']:,} were refused"
    return f"{text}." if operation["status"] == "completed" else f"{text} so far; it goes on by itself."
