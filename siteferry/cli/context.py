"""What commands share: the options before the command's name, and small parsers."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from siteferry.cli.client import Api, CliError, Exit, find_target

TTL = re.compile(r"^(\d{1,6})\s*(m|min|h|d)?$")
SHORTEST, LONGEST = 5, 43_200
MINUTES = {None: 1, "m": 1, "min": 1, "h": 60, "d": 1440}


@dataclass(frozen=True)
class Common:
    """Options given before the command."""

    url: str | None
    api_key: str | None
    state: Path | None


def api_of(context: typer.Context, *, first_key: bool = False) -> Api:
    """The way to the gateway for this command; `first_key`: with this machine's, though none is needed. Raises CliError
    when the address is none."""
    common: Common = context.obj
    return Api(find_target(common.url, common.api_key, common.state, first_key=first_key))


def ask_login(whose: str, username: str | None, password: str | None, password_stdin: bool) -> dict[str, str]:
    """`{username, password}` of a site, asked for at a terminal where missing; with `password_stdin` the password is
    the next line of stdin. Raises CliError when something is missing and there is nobody to ask."""
    if password is not None and password_stdin:
        raise CliError("Give either the password or --password-stdin.", code=Exit.USAGE)
    if username is None:
        username = _ask(whose, "administrator", f"Administrator of the {whose}")
    if password_stdin:
        password = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    elif password is None:
        password = _ask(whose, "password", f"Password at the {whose}", hidden=True)
    if not password:
        raise CliError(f"The {whose}'s password is missing on stdin.", code=Exit.USAGE)
    return {"username": username, "password": password}


def _ask(whose: str, what: str, question: str, *, hidden: bool = False) -> str:
    if not sys.stdin.isatty():
        hint = "Pipe it in with --password-stdin." if hidden else "See --help for the options."
        raise CliError(f"The {whose}'s {what} is missing.", hint=hint, code=Exit.USAGE)
    return str(typer.prompt(question, hide_input=hidden, err=True))


Password = Annotated[
    str | None,
    typer.Option(help="Its password. It stays in your shell's history: prefer --password-stdin, or the prompt."),
]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
LoginUrl = Annotated[
    str | None,
    typer.Option(metavar="URL|PATH", help="Where people sign in, if that is hidden: an address, or a path like /door."),
]
BasicAuth = Annotated[
    str | None,
    typer.Option(
        metavar="USER[:PASSWORD]",
        help="For a site behind a password of its web server. Without PASSWORD it is asked for; "
        "SITEFERRY_BASIC_AUTH keeps it out of your shell's history.",
        envvar="SITEFERRY_BASIC_AUTH",
    ),
]


def doors(login_url: str | None, basic_auth: str | None, prefix: str = "") -> dict[str, Any]:
    """`login_url` and `basic_auth` of a request: what was given of them. Raises CliError when a password is missing."""
    found: dict[str, Any] = {f"{prefix}login_url": login_url} if login_url else {}
    if basic_auth:
        user, colon, password = basic_auth.partition(":")
        if not colon:
            password = _ask("web server", "password", f"Password of {user} at the web server", hidden=True)
        found[f"{prefix}basic_auth"] = {"username": user, "password": password}
    return found


HOST_PORT = re.compile(r"^[^/?#:\s]+:\d{1,5}(?:[/?#]|$)")
SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def site_address(text: str) -> str:
    """The address of a site as a person types it, with its scheme: `shop.example.com` is https.

    Raises CliError for what begins otherwise than with http:// or https://, and for words.
    """
    typed = text.strip()
    scheme = None if HOST_PORT.match(typed) else SCHEME.match(typed)
    if scheme is None:
        if not typed or re.search(r"\s", typed):
            raise CliError(f"“{text}” is not the address of a site like https://example.com.", code=Exit.USAGE)
        return f"https://{typed}"
    if not typed.lower().startswith(("http://", "https://")):
        raise CliError(f"“{scheme[1]}:” does not begin the address of a site.", hint="Use https://.", code=Exit.USAGE)
    return typed


def parse_minutes(text: str) -> int:
    """Minutes in `90`, `90m`, `12h`, `7d`. Raises CliError for anything else."""
    match = TTL.match(text.strip().lower())
    if not match:
        raise CliError(f"{text} is not a time like 90m, 12h or 7d.", code=Exit.USAGE)
    return int(match[1]) * MINUTES[match[2]]


def parse_ttl(text: str) -> int:
    """As `parse_minutes`. Raises CliError for times no clone can live, too."""
    minutes = parse_minutes(text)
    if not SHORTEST <= minutes <= LONGEST:
        raise CliError(f"{text} is not possible: a clone lives 5 minutes to 30 days.", code=Exit.USAGE)
    return minutes
