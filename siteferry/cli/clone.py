"""`siteferry clone` and `siteferry connector`."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any
from zipfile import is_zipfile

import typer

from shared.contract.media import Media
from siteferry.cli import render
from siteferry.cli.client import Api, CliError, Exit, Stranger
from siteferry.cli.context import BasicAuth, LoginUrl, Password, PasswordStdin, api_of, doors, parse_ttl, site_address
from siteferry.cli.submitted import FollowFlag, PriorityOption, TimeoutOption, finish

ExcludeTable = Annotated[
    list[str] | None, typer.Option(metavar="TABLE", help="Table to leave out, with or without prefix. Repeatable.")
]
ExcludePath = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="Path below the site's root to leave out. Repeatable.")
]
KeepTransients = Annotated[
    bool, typer.Option("--keep-transients", help="Copy transients too; without, the clone makes its own.")
]
AllowHttp = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="Host the clone may call; by default none. Repeatable."),
]

Fresh = Annotated[
    bool, typer.Option("--fresh", help="Copy everything, even where only what changed since another clone need travel.")
]
MediaOption = Annotated[
    Media | None,
    typer.Option(
        "--media",
        help="remote: pictures and documents stay on the source until the clone is asked for them.  [default: copy]",
    ),
]
Constant = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Constant of wp-config.php the clone keeps; see the note constants_left. Repeatable."
    ),
]


Url = Annotated[str, typer.Argument(help="Address of the WordPress site.", show_default=False)]
Username = Annotated[str | None, typer.Option("--username", "-u", help="An administrator of the site.")]
PairingKeyStdin = Annotated[
    bool,
    typer.Option("--pairing-key-stdin", help="Read the pairing key of a connector you installed from stdin."),
]
Name = Annotated[str | None, typer.Option(help="A name for people.")]
Ttl = Annotated[str | None, typer.Option(help="How long the clone lives: 90m, 12h, 7d.  [default: 24h]")]


def clone(
    context: typer.Context,
    url: Url,
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
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, with --watch JSON Lines.")] = False,
) -> None:
    """Clone a WordPress site.

    \b
    siteferry clone https://shop.example.com -u admin --watch
    pass show shop | siteferry clone https://shop.example.com -u admin --password-stdin --ttl 7d
    siteferry clone https://shop.example.com --pairing-key-stdin < key.txt
    siteferry clone https://shop.example.com -u admin --exclude-path wp-content/backups --allow-http api.example.com
    """
    body = source(url, login_url, basic_auth)
    body |= credentials(username, password, password_stdin, pairing_key_stdin)
    body |= life(name, priority, ttl)
    body["options"] = clone_options(
        exclude_table, exclude_path, keep_transients, allow_http, constant, media, fresh=fresh
    )
    api = api_of(context)
    accepted = api.submit("/clone", body)
    finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)


def source(url: str, login_url: str | None, basic_auth: str | None) -> dict[str, Any]:
    """The part of a clone's request that says where the site is and how to get to its login page."""
    return {"source_url": site_address(url), **doors(login_url, basic_auth)}


def life(name: str | None, priority: str | None, ttl: str | None) -> dict[str, Any]:
    """The part that says how it is called, how soon it is made, how long it lives: what was given of that."""
    optional = {"name": name, "priority": priority, "ttl_minutes": parse_ttl(ttl) if ttl else None}
    return {key: value for key, value in optional.items() if value is not None}


def clone_options(
    exclude_table: list[str] | None,
    exclude_path: list[str] | None,
    keep_transients: bool,
    allow_http: list[str] | None,
    constant: list[str] | None = None,
    media: Media | None = None,
    *,
    fresh: bool = False,
) -> dict[str, Any]:
    """The `options` of a clone's request: what was given of them."""
    given = {
        "exclude_tables": exclude_table,
        "exclude_paths": exclude_path,
        "keep_transients": keep_transients,
        "allow_http": allow_http,
        "constants": constant,
        "media": None if media is None else media.value,
        "fresh": fresh,
    }
    return {key: value for key, value in given.items() if value}


def credentials(
    username: str | None, password: str | None, password_stdin: bool, pairing_key_stdin: bool
) -> dict[str, Any]:
    """The way in: given, read from stdin or asked for. Raises CliError when it is not whole."""
    if pairing_key_stdin:
        if username or password or password_stdin:
            raise CliError("A pairing key stands alone: no --username, no password.", code=Exit.USAGE)
        return {"pairing_key": _from_stdin("pairing key")}
    if password is not None and password_stdin:
        raise CliError("Give either --password or --password-stdin.", code=Exit.USAGE)
    if username is None:
        if not sys.stdin.isatty():
            raise CliError("--username is missing.", hint="Or use --pairing-key-stdin.", code=Exit.USAGE)
        username = typer.prompt("Administrator of the site", err=True)
    if password_stdin:
        password = _from_stdin("password")
    elif password is None:
        if not sys.stdin.isatty():
            raise CliError("The password is missing.", hint="Pipe it in with --password-stdin.", code=Exit.USAGE)
        password = typer.prompt("Password", hide_input=True, err=True)
    return {"username": username, "password": password}


def _from_stdin(what: str) -> str:
    text = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not text:
        raise CliError(f"There is no {what} on stdin.", code=Exit.USAGE)
    return text


def connector(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the plugin.")] = Path(
        "siteferry-connector.zip"
    ),
) -> None:
    """Get the connector plugin, to install by hand. For sites with two-factor login, captcha or single sign-on.

    \b
    siteferry connector --output connector.zip
    Upload it in wp-admin (Plugins, Add New, Upload), activate it, and pass its pairing key to:
    siteferry clone https://shop.example.com --pairing-key-stdin
    """
    api: Api = api_of(context)
    archive = api.request("GET", "/connector.zip").content
    if not is_zipfile(BytesIO(archive)):
        raise Stranger("It gave no plugin.")
    try:
        output.write_bytes(archive)
    except OSError as error:
        raise CliError(f"{output} can not be written: {error.strerror}.") from None
    render.say(f"Wrote {output} ({render.size(len(archive))}). Upload it in wp-admin under Plugins, Add New.")
