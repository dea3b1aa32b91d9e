"""Commands about clones: `clones`, `open`, `delete`, `extend`, `mail`."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from typing import Annotated

import typer
from rich.text import Text

from siteferry.cli import bulk, render
from siteferry.cli.client import Api, CliError, Exit
from siteferry.cli.context import api_of, parse_ttl
from siteferry.cli.jobs import JsonFlag

CloneArgument = Annotated[str, typer.Argument(metavar="CLONE", help="Id of the clone.", show_default=False)]
DELETE_TIMEOUT = 120.0


def clones(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Deleted ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List clones, newest first.

    \b
    siteferry clones --json | jq -r '.clones[].clone_url'
    """
    states = ["active", "deleting", "deleted"] if everything else None
    page = api_of(context).get("/clones", state=states, limit=limit)
    if as_json:
        return render.print_json(page)
    if not page["clones"]:
        return render.say("No clones. Make one with: siteferry clone https://example.com --username admin --watch")
    rows: list[list[str | Text]] = [
        [
            clone["clone_id"],
            clone["state"],
            render.until(clone["expires_at"]) if clone["state"] == "active" else render.ago(clone["deleted_at"]),
            clone["clone_url"],
            clone["name"] or clone["source_url"],
        ]
        for clone in page["clones"]
    ]
    return render.table(["CLONE", "STATE", "EXPIRES", "URL", "SOURCE"], rows)


def open_clone(
    context: typer.Context,
    clone_id: CloneArgument,
    user: Annotated[
        str | None, typer.Option(help="Login name or e-mail address of one of its users. Default: its administrator.")
    ] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the link instead of opening a browser.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Open a clone's wp-admin, signed in. The link works once, within a minute.

    \b
    siteferry open clone-0k3v9x2m7c1p5t8w
    siteferry open clone-0k3v9x2m7c1p5t8w --user editor
    xdg-open "$(siteferry open clone-0k3v9x2m7c1p5t8w --print)"
    """
    link = api_of(context).post(f"/clones/{clone_id}/login-link", {"user": user} if user else {})
    if as_json:
        return render.print_json(link)
    if not only_print and has_display() and webbrowser.open(link["url"]):
        return render.say(f"Opened wp-admin of {clone_id} as {link['username']}")
    return render.out.print(Text(link["url"]), soft_wrap=True)


def has_display() -> bool:
    """Whether a browser could show itself: one in this terminal would take the terminal."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def delete(
    context: typer.Context,
    clone_ids: bulk.ClonesArgument = None,
    where: bulk.WhereClones = None,
    wait: Annotated[bool, typer.Option("--wait", help="With one clone: stay until it is gone.")] = False,
    detach: bulk.DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete clones: database, user, files and host name. Deleting twice changes nothing.

    \b
    siteferry delete clone-0k3v9x2m7c1p5t8w --wait
    siteferry delete --where source=shop.example.com
    """
    api = api_of(context)
    wish = bulk.chosen(clone_ids, where)
    if not clone_ids or len(clone_ids) > 1:
        return bulk.begin(api, "/clones/delete", wish, detach=detach, as_json=as_json)
    clone_id = clone_ids[0]
    clone = api.delete(f"/clones/{clone_id}")
    if wait:
        clone = _until_gone(api, clone_id)
    if as_json:
        return render.print_json(clone)
    return render.say(f"{clone_id}: {clone['state']}")


def _until_gone(api: Api, clone_id: str) -> render.Json:
    deadline = time.monotonic() + DELETE_TIMEOUT
    while time.monotonic() < deadline:
        clone: render.Json = api.get(f"/clones/{clone_id}")
        if clone["state"] == "deleted":
            return clone
        time.sleep(0.3)
    raise CliError(f"{clone_id} is not gone after {DELETE_TIMEOUT:g} s.", hint="It goes on.", code=Exit.TIMEOUT)


def extend(
    context: typer.Context,
    clone_ids: bulk.ClonesArgument = None,
    ttl: Annotated[
        str, typer.Option(help="How long from now: 90m, 12h, 7d; 30 days at most.", show_default=False)
    ] = ...,  # type: ignore[assignment]  # an option that must be given, after arguments that need not
    where: bulk.WhereClones = None,
    detach: bulk.DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change when clones end.

    \b
    siteferry extend clone-0k3v9x2m7c1p5t8w --ttl 7d
    siteferry extend --where ends_before=2026-12-24T00:00:00Z --ttl 7d
    """
    wish = bulk.chosen(clone_ids, where)
    if not clone_ids or len(clone_ids) > 1:
        body = wish | {"ttl_minutes": parse_ttl(ttl)}
        return bulk.begin(api_of(context), "/clones/extend", body, detach=detach, as_json=as_json)
    clone_id = clone_ids[0]
    clone = api_of(context).patch(f"/clones/{clone_id}", {"ttl_minutes": parse_ttl(ttl)})
    if as_json:
        return render.print_json(clone)
    return render.say(f"{clone_id} expires {render.until(clone['expires_at'])}")


def mail(
    context: typer.Context,
    clone_id: CloneArgument,
    mail_id: Annotated[str | None, typer.Argument(metavar="[MAIL]", help="Show this one whole.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read the mail a clone wanted to send. It was captured and never left.

    \b
    siteferry mail clone-0k3v9x2m7c1p5t8w
    siteferry mail clone-0k3v9x2m7c1p5t8w MAIL
    """
    api = api_of(context)
    if mail_id:
        found = api.get(f"/clones/{clone_id}/mail/{mail_id}")
        if as_json:
            return render.print_json(found)
        render.pairs(
            [("Date", render.when(found["time"])), ("To", ", ".join(found["to"])), ("Subject", found["subject"])]
        )
        return render.out.print(Text("\n" + found["body"]))  # the one text that keeps its lines
    mails = api.get(f"/clones/{clone_id}/mail")
    if as_json:
        return render.print_json(mails)
    if not mails["mails"]:
        return render.say("No mail was captured.")
    rows: list[list[str | Text]] = [
        [item["id"], render.when(item["time"]), ", ".join(item["to"]), item["subject"]] for item in mails["mails"]
    ]
    return render.table(["MAIL", "TIME", "TO", "SUBJECT"], rows)
