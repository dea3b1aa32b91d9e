"""Commands about the ways back that restores leave: `snapshots`, `rollback`, `discard`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.context import BasicAuth, LoginUrl, Password, PasswordStdin, api_of, ask_login, doors
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.restore import Username
from siteferry.cli.submitted import FollowFlag, TimeoutOption, finish

SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Id of the snapshot.", show_default=False)]


def snapshots(
    context: typer.Context,
    target: Annotated[str | None, typer.Option(help="Part of the target's address.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Used and discarded ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List the ways back, newest first: each is a target as it was before one restore.

    \b
    siteferry snapshots --target shop.example.com
    siteferry snapshots --all --json | jq -r '.snapshots[].snapshot_id'
    """
    states = ["active", "rolled_back", "discarded"] if everything else None
    page = api_of(context).get("/snapshots", state=states, target=target, limit=limit)
    if as_json:
        return render.print_json(page)
    if not page["snapshots"]:
        return render.say("No snapshots. A restore leaves one: siteferry restore CLONE https://example.com -u admin")
    rows: list[list[str | Text]] = [
        [
            item["snapshot_id"],
            item["state"].replace("_", " "),
            render.ago(item["created_at"]),
            render.until(item["expires_at"]) if item["state"] == "active" else render.ago(item["ended_at"]),
            render.size(item["bytes"]),
            item["target_url"],
        ]
        for item in page["snapshots"]
    ]
    return render.table(["SNAPSHOT", "STATE", "MADE", "ENDS", "SIZE", "TARGET"], rows)


def rollback(
    context: typer.Context,
    snapshot_id: SnapshotArgument,
    username: Username = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    login_url: LoginUrl = None,
    basic_auth: BasicAuth = None,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Have a target back as it was before a restore. What came in since is carried over where that is possible.

    \b
    siteferry rollback restore-0k3v9x2m7c1p5t8w -u admin --watch
    """
    login = ask_login("target", username, password, password_stdin) | doors(login_url, basic_auth)
    _submit(context, snapshot_id, "rollback", login, follow=follow, timeout=timeout, as_json=as_json)


def discard(
    context: typer.Context,
    snapshot_id: SnapshotArgument,
    username: Username = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    login_url: LoginUrl = None,
    basic_auth: BasicAuth = None,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove a way back from its target before its time. There is none afterwards.

    \b
    siteferry discard restore-0k3v9x2m7c1p5t8w -u admin --watch
    """
    login = ask_login("target", username, password, password_stdin) | doors(login_url, basic_auth)
    _submit(context, snapshot_id, "discard", login, follow=follow, timeout=timeout, as_json=as_json)


def _submit(
    context: typer.Context,
    snapshot_id: str,
    action: str,
    login: dict[str, Any],
    *,
    follow: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    body = {f"target_{key}": value for key, value in login.items()}
    api = api_of(context)
    path = f"/snapshots/{snapshot_id}/{action}"
    accepted = api.submit(path, body)
    finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)
