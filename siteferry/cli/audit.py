"""`siteferry audit`: who did what, for administrators."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.client import Api, CliError, Exit
from siteferry.cli.context import api_of, parse_minutes
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.render import Json

PAGE = 500
LOOK_EVERY = 1.0
COLOURS = {"done": "green", "refused": "yellow", "failed": "red", "unknown": "magenta"}


def audit(
    context: typer.Context,
    action: Annotated[
        list[str] | None, typer.Option(help="Only these, like key.create; may be given more than once.")
    ] = None,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Only done, refused, failed or unknown; more than once.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Only calls with the API key of this id.")] = None,
    about: Annotated[str | None, typer.Option(metavar="ID", help="Only calls about this job, clone, key ….")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's; operators see all.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="How far back, like 90m, 12h or 7d.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show who did what: every call that changed something or handed out something precious, and refused ones.

    With --json and --follow, one record a line.

    \b
    siteferry audit --since 24h
    siteferry audit --action key.create --action key.revoke
    siteferry audit --about clone-0k3v9x2m7c1p5t8w
    siteferry audit --follow --outcome refused
    """
    api = api_of(context)
    wish: dict[str, Any] = {"action": action or None, "outcome": outcome or None, "key": key, "object": about}
    wish |= {"tenant": tenant}
    if follow:
        return _follow(api, wish, as_json=as_json)
    found = _newest(api, {**wish, "since": _since(since)}, limit)
    if as_json:
        return render.print_json({"records": found})
    if not found:
        return render.say("Nothing is recorded that fits.")
    return render.table(
        ["WHEN", "WHO", "FROM", "WHAT", "ABOUT", "OUTCOME"], [_row(record) for record in reversed(found)]
    )


def _newest(api: Api, wish: dict[str, Any], limit: int) -> list[Json]:
    found: list[Json] = []
    cursor = None
    while len(found) < limit:
        page = api.get("/audit", **wish, limit=min(PAGE, limit - len(found)), cursor=cursor)
        found += page["records"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return found


def _follow(api: Api, wish: dict[str, Any], *, as_json: bool) -> None:
    after = api.get("/audit", **wish, after="newest", limit=1)["next_cursor"]
    while True:
        page = api.get("/audit", **wish, after=after, limit=PAGE)
        for record in page["records"]:
            if as_json:
                render.print_json(record)
            else:
                render.out.print(Text("  ").join(map(_text, _row(record))), soft_wrap=True)
        after = page["next_cursor"]
        if len(page["records"]) < PAGE:
            time.sleep(LOOK_EVERY)


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else render.words(cell)


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    from shared.contract.times import stamp

    try:
        return stamp(datetime.now(UTC) - timedelta(minutes=parse_minutes(text)))
    except OverflowError:
        raise CliError(f"{text} is further back than there are years.", code=Exit.USAGE) from None


def _row(record: Json) -> list[str | Text]:
    who = record["key"] or "nobody"
    name = record["name"]
    objects = record["objects"]
    more = f" and {len(objects) - 1} more" if len(objects) > 1 else ""
    ended = record["outcome"] if record["code"] is None else f"{record['outcome']}: {record['code']}"
    if record["unrecorded"]:
        ended += f" (and {record['unrecorded']} more)"
    return [
        record["at"][:19].replace("T", " "),
        f"{name} ({who})" if name and name != who else who,
        record["address"] or "-",
        record["action"],
        f"{objects[0]}{more}" if objects else "-",
        Text(ended, style=COLOURS.get(record["outcome"], "")),
    ]
