"""Commands about API keys, for administrators: `keys create`, `list`, `rotate`, `revoke`, `link`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.context import api_of, parse_minutes

app = typer.Typer(
    help="API keys: who may do what, for which tenant. `siteferry up` makes the first one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its id, like key-….", show_default=False)]
COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}


class Scope(StrEnum):
    """What a key is good for."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name for people.", show_default=False)],
    scope: Annotated[
        Scope, typer.Option(help="read looks; submit clones, restores, deletes; admin manages keys.")
    ] = Scope.SUBMIT,
    tenant: Annotated[
        str | None, typer.Option(help="Whose jobs and clones it sees.  [default: your own tenant]")
    ] = None,
    operator: Annotated[bool, typer.Option("--operator", help="With admin: for the keys of every tenant.")] = False,
    lane: Annotated[str | None, typer.Option(help="The best priority it may ask for: high, normal or low.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, help="Changes a minute it may ask for.")] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Its jobs that run at the same time.")] = None,
    expires: Annotated[int | None, typer.Option(min=1, metavar="DAYS", help="Days until it ends.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an API key. Prints its secret; it is not shown again.

    \b
    siteferry keys create "CI of the shop" --expires 90
    siteferry keys create agency --tenant agency --scope admin --lane normal
    """
    wish: dict[str, Any] = {
        "name": name,
        "scope": scope.value,
        "tenant": tenant,
        "operator": operator,
        "lane": lane,
        "rate_per_minute": rate,
        "slots": slots,
        "expires_in_days": expires,
    }
    made = api_of(context).post("/keys", {field: value for field, value in wish.items() if value is not None})
    _tell_secret(made, as_json)


@app.command("list")
def list_(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Revoked ones, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """List API keys, never their secrets.

    \b
    siteferry keys list
    """
    api, keys, cursor = api_of(context), [], None
    states = ["active", "expired", "revoked"] if everything else None
    while True:
        page = api.get("/keys", tenant=tenant, state=states, cursor=cursor, limit=500)
        keys += page["keys"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if as_json:
        return render.print_json({"keys": keys})
    if not keys:
        return render.say("No API keys yet. Make one with: siteferry keys create NAME")
    rows: list[list[str | Text]] = [_row(key) for key in keys]
    return render.table(["KEY", "STATE", "TENANT", "SCOPE", "LIMITS", "LAST USED", "EXPIRES", "NAME"], rows)


@app.command()
def rotate(
    context: typer.Context,
    key: KeyArgument,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old secret stays good, like 30m or 12h; 7d at most.")
    ] = "0m",
    as_json: JsonFlag = False,
) -> None:
    """Give a key a new secret. The old one ends, with the sessions and connections it opened.

    \b
    siteferry keys rotate KEY --overlap 12h
    """
    made = api_of(context).post(f"/keys/{key}/rotate", {"overlap_minutes": parse_minutes(overlap)})
    _tell_secret(made, as_json)


@app.command()
def revoke(context: typer.Context, key: KeyArgument) -> None:
    """End a key for good. Within two seconds it opens nothing any more; its jobs and clones stay.

    \b
    siteferry keys revoke KEY
    """
    api_of(context).request("DELETE", f"/keys/{key}")
    render.say(f"{key} is revoked.")


@app.command()
def link(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Print an address that opens the dashboard signed in.

    Once, within a quarter of an hour, with your key; without one, with the first, which `siteferry up` made here.

    \b
    siteferry keys link
    """
    made = api_of(context, first_key=True).post("/session/links")
    if as_json:
        return render.print_json(made)
    return render.out.print(made["url"], soft_wrap=True)


def _tell_secret(made: Any, as_json: bool) -> None:
    if as_json:
        return render.print_json(made)
    render.pairs([("Key", made["id"]), ("Secret", made["secret"])])
    return render.say("Keep the secret: it is not shown again. Use it with SITEFERRY_API_KEY.")


def _row(key: Any) -> list[str | Text]:
    limits = [
        *([key["lane"]] if key["lane"] else []),
        *([f"{key['rate_per_minute']}/min"] if key["rate_per_minute"] else []),
        *([f"{key['slots']} slots"] if key["slots"] else []),
    ]
    return [
        key["id"],
        Text(key["state"], style=COLOURS.get(key["state"], "")),
        key["tenant"],
        "operator" if key["operator"] else key["scope"],
        ", ".join(limits) or "-",
        render.ago(key["last_used_at"]) if key["last_used_at"] else "never",
        render.when(key["expires_at"]) if key["expires_at"] else "never",
        key["name"],
    ]
