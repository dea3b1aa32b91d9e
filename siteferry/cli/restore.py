"""`siteferry restore`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shared.ids import is_job_id
from siteferry.cli.client import CliError, Exit
from siteferry.cli.context import BasicAuth, LoginUrl, Password, api_of, ask_login, doors, site_address
from siteferry.cli.submitted import FollowFlag, PriorityOption, TimeoutOption, finish

Username = Annotated[str | None, typer.Option("--username", "-u", help="An administrator of the target.")]
PasswordsStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the target's password from stdin; the source's on a second line."),
]


def restore(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="CLONE|URL", help="What is restored: a clone, or a site.", show_default=False)
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET_URL", help="Where it goes: production.", show_default=False)],
    username: Username = None,
    password: Password = None,
    password_stdin: PasswordsStdin = False,
    source_username: Annotated[
        str | None, typer.Option(help="An administrator of the source, where that is no clone.")
    ] = None,
    source_password: Annotated[str | None, typer.Option(help="Its password.")] = None,
    login_url: LoginUrl = None,
    basic_auth: BasicAuth = None,
    source_login_url: Annotated[str | None, typer.Option(metavar="URL|PATH", help="The same for the source.")] = None,
    source_basic_auth: Annotated[
        str | None,
        typer.Option(metavar="USER[:PASSWORD]", help="The same for the source.", envvar="SITEFERRY_SOURCE_BASIC_AUTH"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on although production has orders, comments… that would go.")
    ] = False,
    preserve_plugins: Annotated[bool, typer.Option(help="Production's plugins stay as they are.")] = True,
    preserve_themes: Annotated[bool, typer.Option(help="Production's themes stay as they are.")] = False,
    preserve_users: Annotated[bool, typer.Option(help="Production's accounts stay; nobody is logged out.")] = True,
    preserve_table: Annotated[
        list[str] | None, typer.Option(metavar="TABLE", help="Table that stays. Repeatable.")
    ] = None,
    include_table: Annotated[
        list[str] | None, typer.Option(metavar="TABLE", help="Only this table. Repeatable.")
    ] = None,
    exclude_path: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Path below wp-content that stays. Repeatable.")
    ] = None,
    include_path: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Only this path below wp-content. Repeatable.")
    ] = None,
    snapshot_hours: Annotated[
        int | None, typer.Option(metavar="HOURS", help="How long the way back is kept, 1 to 160.  [default: 72]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    priority: PriorityOption = None,
    follow: FollowFlag = False,
    timeout: TimeoutOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, with --watch JSON Lines.")] = False,
) -> None:
    """Bring a clone, or another site, to production. Production is kept as it was, to roll back to.

    \b
    siteferry restore clone-0k3v9x2m7c1p5t8w https://shop.example.com -u admin --dry-run --watch
    siteferry restore clone-0k3v9x2m7c1p5t8w https://shop.example.com -u admin --watch
    siteferry restore clone-0k3v9x2m7c1p5t8w https://shop.example.com -u admin --include-table posts
    siteferry restore https://staging.example.com https://shop.example.com -u admin --source-username editor
    """
    body = _places(source, target)
    body |= {f"target_{key}": value for key, value in ask_login("target", username, password, password_stdin).items()}
    body |= doors(login_url, basic_auth, "target_")
    if "source_url" in body:
        body |= doors(source_login_url, source_basic_auth, "source_")
        login = ask_login("source", source_username, source_password, password_stdin)
        body |= {f"source_{key}": value for key, value in login.items()}
    elif source_username or source_password or source_login_url:
        raise CliError("A clone's login is known; give no --source-username.", code=Exit.USAGE)
    body |= {"preserve_plugins": preserve_plugins, "preserve_themes": preserve_themes}
    body |= {"dry_run": dry_run, "accept_loss": accept_loss}
    optional = {"snapshot_hours": snapshot_hours, "name": name, "priority": priority}
    body |= {key: value for key, value in optional.items() if value is not None}
    body["options"] = {"preserve_users": preserve_users} | _given(
        preserve_tables=preserve_table,
        include_tables=include_table,
        exclude_paths=exclude_path,
        include_paths=include_path,
    )
    api = api_of(context)
    accepted = api.submit("/restore", body)
    finish(api, accepted, follow=follow, timeout=timeout, as_json=as_json)


def _places(source: str, target: str) -> dict[str, Any]:
    named = {"clone_id": source} if is_job_id(source) else {"source_url": site_address(source)}
    return {**named, "target_url": site_address(target)}


def _given(**lists: list[str] | None) -> dict[str, list[str]]:
    return {key: value for key, value in lists.items() if value}
