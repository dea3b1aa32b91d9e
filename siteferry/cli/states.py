"""Commands about what clones were, and what their site is now: `reset`, `refresh`, `fork`, `versions`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from siteferry.cli import render
from siteferry.cli.client import CliError, Exit
from siteferry.cli.clone import PairingKeyStdin, Username, credentials
from siteferry.cli.clones import CloneArgument
from siteferry.cli.context import BasicAuth, LoginUrl, Password, PasswordStdin, api_of, doors, parse_ttl
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.submitted import FollowFlag, TimeoutOption, finish


def reset(
    context: typer.Context,
    clone_id: CloneArgument,
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="One of its versions. Default: what it was when it was made.")
    ] = None,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Have a clone be again what it was: files, rows, tables. It keeps its id, its address and its login.

    \b
    siteferry reset clone-0k3v9x2m7c1p5t8w --watch
    siteferry reset clone-0k3v9x2m7c1p5t8w --to before-update --watch
    """
    api = api_of(context)
    body = {} if to is None else {"version": to}
    accepted = api.submit(f"/clones/{clone_id}/reset", body)
    finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)


def refresh(
    context: typer.Context,
    clone_id: CloneArgument,
    username: Username = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    pairing_key_stdin: PairingKeyStdin = False,
    login_url: LoginUrl = None,
    basic_auth: BasicAuth = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="What was edited in the clone may go. Without: it is listed, and stays.")
    ] = False,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Have a clone be what its site is now, with an administrator's login there. It keeps its id, address and login.

    \b
    siteferry refresh clone-0k3v9x2m7c1p5t8w -u admin --watch
    siteferry refresh clone-0k3v9x2m7c1p5t8w -u admin --overwrite --watch
    siteferry refresh clone-0k3v9x2m7c1p5t8w --pairing-key-stdin < key.txt
    """
    body = credentials(username, password, password_stdin, pairing_key_stdin) | doors(login_url, basic_auth)
    body |= {"overwrite": overwrite}
    api = api_of(context)
    accepted = api.submit(f"/clones/{clone_id}/refresh", body)
    finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)


def fork(
    context: typer.Context,
    clone_id: CloneArgument,
    ttl: Annotated[str | None, typer.Option(help="How long the new clone lives: 90m, 12h, 7d.  [default: 24h]")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.  [default: that of the clone]")] = None,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a clone of a clone, as it is now, with an address and a login of its own. The site is not asked.

    \b
    siteferry fork clone-0k3v9x2m7c1p5t8w --watch
    siteferry fork clone-0k3v9x2m7c1p5t8w --name "Try the new theme" --ttl 7d --watch
    """
    api = api_of(context)
    wish = {"name": name, "ttl_minutes": parse_ttl(ttl) if ttl else None}
    body = {key: value for key, value in wish.items() if value is not None}
    accepted = api.submit(f"/clones/{clone_id}/fork", body)
    finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)


def versions(
    context: typer.Context,
    clone_id: CloneArgument,
    keep: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep what the clone is now as a version of this name.")
    ] = None,
    delete: Annotated[str | None, typer.Option(metavar="NAME", help="Forget the version of this name.")] = None,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List what a clone can become again; keep what it is as a version, ten at most, or forget one.

    \b
    siteferry versions clone-0k3v9x2m7c1p5t8w --keep before-update --watch
    siteferry versions clone-0k3v9x2m7c1p5t8w
    siteferry versions clone-0k3v9x2m7c1p5t8w --delete before-update
    """
    api, path = api_of(context), f"/clones/{clone_id}/versions"
    if keep is not None and delete is not None:
        raise CliError("Either --keep or --delete, not both.", code=Exit.USAGE)
    if keep is not None:
        accepted = api.submit(path, {"name": keep})
        return finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)
    found = api.get(path) if delete is None else api.delete(f"{path}/{delete}")
    if as_json:
        return render.print_json(found)
    kept = [*([found["made"]] if found["made"] else []), *found["versions"]]
    if not kept:
        return render.say(f"Nothing is kept. Keep what it is: siteferry versions {clone_id} --keep NAME")
    rows: list[list[str | Text]] = [
        [
            "(when it was made)" if item is found["made"] else item["name"],
            render.ago(item["made_at"]) if item["made_at"] else "damaged",
            render.size(item["bytes"]),
            f"{item['files']:,}",
            f"{item['tables']:,}",
        ]
        for item in kept
    ]
    return render.table(["VERSION", "KEPT", "SIZE", "FILES", "TABLES"], rows)
