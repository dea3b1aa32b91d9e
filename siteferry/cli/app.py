"""The `siteferry` command: wiring of its commands, and how errors leave it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from siteferry import __version__
from siteferry.cli import (
    audit,
    batch,
    bulk,
    check,
    clone,
    clones,
    dead,
    images,
    jobs,
    keys,
    log_size,
    operate,
    render,
    restore,
    schedules,
    snapshots,
    states,
    statistics,
    sweep,
    webhooks,
    workers,
)
from siteferry.cli.client import Api, CliError, Exit, Stranger
from siteferry.cli.context import Common
from siteferry.environment import default_state_dir

app = typer.Typer(
    name="siteferry",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables, and with them passwords
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        render.out.print(__version__)
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="Where Siteferry answers. Default: SITEFERRY_URL, then this machine's.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="API key, where one is needed; better in SITEFERRY_API_KEY. Default: the first key of this account's "
            "`siteferry up`."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="State directory of `siteferry up`. Default: SITEFERRY_STATE, then this account's."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Clone WordPress sites, with live progress and nothing lost.

    \b
    siteferry up                                                  start everything on this machine
    siteferry clone https://shop.example.com -u admin --watch     clone a site
    siteferry clones                                              what there is
    siteferry restore CLONE https://shop.example.com -u admin     bring a clone to production

    Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 not reachable or not allowed, 4 timed out, 5 cancelled,
    130 interrupted.
    """
    context.obj = Common(url, api_key, state)


@app.command()
def up(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback every call needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the one origin; 0: a free one.")] = 8080,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what matters; the log file has the rest.")] = False,
) -> None:
    """Start everything on this machine and keep it running. Ctrl-C stops it; `up` again continues.

    \b
    siteferry up
    siteferry --state ~/trial up --port 9000 --quiet      # a second one, with its own state
    """
    import asyncio

    from shared import log
    from siteferry.embedded.up import Options
    from siteferry.embedded.up import up as run

    log.configure("cli", level="ERROR")  # that NATS is not there yet, or gone, the supervisor tells
    state = context.obj.state or default_state_dir()
    raise typer.Exit(asyncio.run(run(state, Options(host=host, port=port, quiet=quiet))))


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Say what this machine lacks and how to get it. Exit code 1 when something is missing.

    \b
    siteferry doctor
    """
    from siteferry.doctor import checks

    found = checks(context.obj.state)
    if as_json:
        render.print_json([asdict(check) for check in found])
    else:
        for check in found:
            mark = Text("ok   ", style="green") if check.ok else Text("miss ", style="red")
            render.out.print(mark.append(f"{check.name:<20} {check.detail}", style="default"))
            if check.fix and not check.ok:
                render.out.print(render.words(f"{'':<26}fix: {check.fix}"))
    raise typer.Exit(Exit.OK if all(check.ok for check in found) else Exit.FAILED)


@app.command()
def version() -> None:
    """Print the version."""
    render.out.print(__version__)


app.command()(check.check)
app.command()(clone.clone)
app.command()(jobs.jobs)
app.command()(jobs.job)
app.command()(jobs.watch)
app.command()(clones.clones)
app.command("open")(clones.open_clone)
app.command()(clones.delete)
app.command()(clones.extend)
app.command()(states.reset)
app.command()(states.refresh)
app.command()(states.fork)
app.command()(states.versions)
app.command()(jobs.cancel)
app.command()(jobs.retry)
app.command()(bulk.operation)
app.command()(dead.dead)
app.command()(statistics.statistics)
app.command()(workers.workers)
app.add_typer(batch.app, name="batch")
app.command()(restore.restore)
app.command()(images.images)
app.command()(snapshots.snapshots)
app.command()(snapshots.rollback)
app.command()(snapshots.discard)
app.command()(clones.mail)
app.command()(jobs.replay)
app.command()(operate.rebuild_projection)
app.command()(sweep.sweep)
app.command("log-size")(log_size.log_size)
app.add_typer(schedules.app, name="schedules")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(keys.app, name="keys")
app.command()(audit.audit)
app.command()(clone.connector)


def main() -> None:
    """Entry point of the `siteferry` script."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except CliError as error:
        return _failed(error)
    except typer.TyperException as error:
        show = getattr(error, "show", None)  # usage errors know how to show themselves
        show() if show else render.say(error.format_message())
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader of our pipe has seen enough
        sys.stderr.close()
        return Exit.OK
    except (TypeError, ValueError, LookupError, AttributeError):
        if Api.latest is None or Api.latest.is_siteferry():
            raise
        return _failed(Stranger("Its answers have other shapes."))
    return code if isinstance(code, int) else Exit.OK


def _failed(error: CliError) -> int:
    render.err.print(render.words(f"siteferry: {error.message}", style="red"), soft_wrap=True)
    if error.hint:
        render.say(error.hint)
    return error.code
