"""Commands about schedules: `schedules create`, `list`, `show`, `pause`, `resume`, `delete`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.client import read_answer
from siteferry.cli.clone import (
    AllowHttp,
    Constant,
    ExcludePath,
    ExcludeTable,
    Fresh,
    KeepTransients,
    MediaOption,
    Name,
    PairingKeyStdin,
    Ttl,
    Url,
    Username,
    clone_options,
    credentials,
    life,
    source,
)
from siteferry.cli.context import BasicAuth, LoginUrl, Password, PasswordStdin, api_of
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.submitted import PriorityOption

app = typer.Typer(
    help="Have clones made again and again.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ScheduleArgument = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Its id.", show_default=False)]
COLOURS = {"active": "green", "paused": "yellow", "stopped": "red"}


@app.command()
def create(
    context: typer.Context,
    url: Url,
    cron: Annotated[
        str,
        typer.Option(help="Minute, hour, day of the month, month, day of the week: '30 2 * * 1-5'; or @daily."),
    ],
    timezone: Annotated[str, typer.Option(help="What the expression is meant in, like Europe/Berlin.")] = "UTC",
    username: Username = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    pairing_key_stdin: PairingKeyStdin = False,
    login_url: LoginUrl = None,
    basic_auth: BasicAuth = None,
    name: Name = None,
    ttl: Ttl = None,
    priority: PriorityOption = None,
    exclude_table: ExcludeTable = None,
    exclude_path: ExcludePath = None,
    keep_transients: KeepTransients = False,
    allow_http: AllowHttp = None,
    constant: Constant = None,
    media: MediaOption = None,
    fresh: Fresh = False,
    refresh: Annotated[
        str | None,
        typer.Option(metavar="CLONE", help="Refresh this clone of the site each time, instead of making a new one."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Of a refresh: what was edited in the clone may go.")
    ] = False,
    replace: Annotated[
        str | None, typer.Option(metavar="SCHEDULE", help="Put it in place of this one, with its login.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Have a site cloned, or a clone of it refreshed, again and again. Its login is kept, sealed, for as long as the
    schedule is there.

    \b
    siteferry schedules create https://shop.example.com -u admin --cron '30 2 * * *' --timezone Europe/Berlin
    pass show shop | siteferry schedules create https://shop.example.com -u admin --password-stdin --cron @weekly
    siteferry schedules create https://shop.example.com -u admin --refresh CLONE --cron '0 5 * * *'
    """
    body = source(url, login_url, basic_auth) | {"cron": cron, "timezone": timezone}
    body |= credentials(username, password, password_stdin, pairing_key_stdin)
    body |= life(name, priority, ttl)
    body["options"] = clone_options(
        exclude_table, exclude_path, keep_transients, allow_http, constant, media, fresh=fresh
    )
    if refresh or overwrite:
        body |= {"clone_id": refresh, "overwrite": overwrite}
    api = api_of(context)
    if replace:
        made = read_answer(api.request("PUT", f"/schedules/{replace}", json=body))
    else:
        made = api.submit("/schedules", body)
    if as_json:
        return render.print_json(made)
    render.out.print(made["schedule_id"])
    first = f"The clone is refreshed first {_next(made)}" if refresh else f"The first clone is made {_next(made)}"
    return render.say(f"{first}. Look with: siteferry schedules list")


@app.command("list")
def list_(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List schedules: when each is due next, and the last job it made.

    \b
    siteferry schedules list
    """
    found = api_of(context).get("/schedules")
    if as_json:
        return render.print_json(found)
    if not found["schedules"]:
        return render.say("No schedules yet. Make one with: siteferry schedules create URL --cron '30 2 * * *'")
    rows = [_row(one) for one in found["schedules"]]
    return render.table(
        ["SCHEDULE", "STATE", "CRON", "ZONE", "NEXT", "LAST JOB", "SKIPPED", "REFRESHES", "SOURCE"], rows
    )


@app.command()
def show(context: typer.Context, schedule: ScheduleArgument, as_json: JsonFlag = False) -> None:
    """Look at one schedule: why it is stopped, and the last time it made no job.

    \b
    siteferry schedules show SCHEDULE
    """
    _tell(api_of(context).get(f"/schedules/{schedule}"), as_json=as_json)


@app.command()
def pause(context: typer.Context, schedule: ScheduleArgument, as_json: JsonFlag = False) -> None:
    """Make no clones until it is resumed. What is due meanwhile is not made up for.

    \b
    siteferry schedules pause SCHEDULE
    """
    _tell(api_of(context).post(f"/schedules/{schedule}/pause"), as_json=as_json)


@app.command()
def resume(context: typer.Context, schedule: ScheduleArgument, as_json: JsonFlag = False) -> None:
    """Let a paused or stopped schedule make clones again. From now on it belongs to the API key this is called with.

    \b
    siteferry schedules resume SCHEDULE
    """
    _tell(api_of(context).post(f"/schedules/{schedule}/resume"), as_json=as_json)


@app.command()
def delete(context: typer.Context, schedule: ScheduleArgument) -> None:
    """Delete a schedule and forget its login. Clones it made stay.

    \b
    siteferry schedules delete SCHEDULE
    """
    api_of(context).request("DELETE", f"/schedules/{schedule}")
    render.say(f"{schedule} is deleted. Clones it made stay.")


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return render.print_json(found)
    run, skip = found["last_run"], found["last_skip"]
    told = [
        ("Schedule", found["schedule_id"]),
        ("State", f"{found['state']}. {found['message']}".rstrip(". ") if found["message"] else found["state"]),
        ("Source", found["source_url"]),
        ("Makes", f"a refresh of {found['clone_id']}" if found["clone_id"] else "a new clone"),
        ("Cron", f"{found['cron']} ({found['timezone']})"),
        ("Next", _next(found)),
        ("Last job", _last(run) if run else "none yet"),
    ]
    if skip:
        told.append(("Skipped", f"{found['skips']}, the last {render.ago(skip['due_at'])}: {skip['message']}"))
    return render.pairs(told)


def _last(run: dict[str, Any]) -> str:
    return f"{run['job_id']}, due {render.ago(run['due_at'])}: {run['phase'] or run['status'] or 'no longer known'}"


def _next(found: dict[str, Any]) -> str:
    return render.until(found["next_at"]) if found["next_at"] else "never, unless it is resumed"


def _row(found: dict[str, Any]) -> list[str | Text]:
    return [
        found["schedule_id"],
        Text(found["state"], style=COLOURS[found["state"]]),
        found["cron"],
        found["timezone"],
        render.until(found["next_at"]) if found["next_at"] else "",
        found["last_run"]["job_id"] if found["last_run"] else "",
        str(found["skips"] or ""),
        found["clone_id"] or "",
        found["source_url"],
    ]
