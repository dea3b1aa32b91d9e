"""`siteferry check`: a look at a site before it is cloned."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from siteferry.cli import render
from siteferry.cli.client import CliError, Exit
from siteferry.cli.context import BasicAuth, LoginUrl, api_of, doors, site_address
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.render import Json

LOGINS = {
    "form": "login form found",
    "captcha": "guarded by a captcha",
    "two_factor": "asks for a second factor",
    "sso": "at another server",
    "hidden": "no login form found",
    "locked": "locked",
    "blocked": "something in front of the site blocks it",
}


def check(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Address of the WordPress site.", show_default=False)],
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="Try this login too, once; the password is asked for.")
    ] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    login_url: LoginUrl = None,
    basic_auth: BasicAuth = None,
    as_json: JsonFlag = False,
) -> None:
    """Look whether a site can be cloned. Changes nothing on it. Exit code 1 when something speaks against it.

    \b
    siteferry check shop.example.com
    pass show shop | siteferry check https://shop.example.com -u admin --password-stdin
    """
    body: Json = {"source_url": site_address(url)}
    body |= doors(login_url, basic_auth)
    if username is not None:
        body |= {"username": username, "password": _password(password_stdin)}
    elif password_stdin:
        raise CliError("--username is missing.", code=Exit.USAGE)
    seen = api_of(context).post("/preflight", body)
    if as_json:
        render.print_json(seen)
    else:
        _show(seen)
    raise typer.Exit(Exit.OK if seen["ready"] else Exit.FAILED)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        text = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty():
        text = str(typer.prompt("Password", hide_input=True, err=True))
    else:
        raise CliError("The password is missing.", hint="Pipe it in with --password-stdin.", code=Exit.USAGE)
    if not text:
        raise CliError("There is no password on stdin.", code=Exit.USAGE)
    return text


def _show(seen: Json) -> None:
    wordpress = f"WordPress {seen['version'] or ''}".rstrip() if seen["wordpress"] else None
    rights = {True: "works; may install the connector", False: "works, but may not install plugins", None: "works"}
    account = rights[seen["administrator"]] if seen["signed_in"] else "does not work"
    render.pairs(
        [
            ("Site", seen["home"] or seen["source_url"]),
            ("Is", "not WordPress" if seen["wordpress"] is False else wordpress),
            ("Login", LOGINS.get(seen["login"] or "")),
            ("Account", None if seen["signed_in"] is None else account),
            *(("Note", note["message"]) for note in seen["notes"]),
        ]
    )
    if seen["ready"]:
        render.out.print(render.words("Ready to be cloned.", style="green"))
        return
    error = seen["error"] or {}
    render.err.print(render.words(f"Not ready: {seen['message']}", style="red"), soft_wrap=True)
    if error.get("hint"):
        render.say(f"Hint: {error['hint']}")
    render.say(f"Code: {error.get('code', 'unknown')}.")
