"""`siteferry batch`: many clones as one."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from siteferry.cli import batch_file, render
from siteferry.cli.client import Api, CliError, Exit, Unreachable
from siteferry.cli.clone import AllowHttp, ExcludePath, ExcludeTable, KeepTransients, MediaOption, clone_options
from siteferry.cli.context import api_of, parse_ttl
from siteferry.cli.jobs import JsonFlag
from siteferry.cli.render import Json
from siteferry.cli.submitted import PriorityOption

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Clone many sites as one: all accepted or none.",
)

POLL = 0.5
PATIENCE = 5.0
OPEN = frozenset({"pending", "running"})
EXITS = {"completed": Exit.OK, "cancelled": Exit.CANCELLED}
WORDS = {"partially_completed": "partially completed"}
COLOURS = render.COLOURS | {"partially_completed": "yellow"}
SHOWN = 20
"""Lines about single jobs or rows, unless asked for all."""

BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.", show_default=False)]
WaitFlag = Annotated[bool, typer.Option("--wait", "-w", help="Stay until every job has ended.")]
TimeoutOption = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="With --wait: stay so long at most; then exit code 4.")
]


@app.command()
def create(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="JSON, JSON Lines or CSV; - is stdin.", show_default=False)],
    username: Annotated[str | None, typer.Option("--username", "-u", help="Administrator of rows without one.")] = None,
    ask_password: Annotated[
        bool, typer.Option("--ask-password", help="Ask for the password of rows without one.")
    ] = False,
    ttl: Annotated[str | None, typer.Option(help="How long the clones live: 90m, 12h, 7d.")] = None,
    priority: PriorityOption = None,
    exclude_table: ExcludeTable = None,
    exclude_path: ExcludePath = None,
    keep_transients: KeepTransients = False,
    allow_http: AllowHttp = None,
    media: MediaOption = None,
    wait: WaitFlag = False,
    timeout: TimeoutOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Clone every site of a file; all are accepted or none.

    CSV has a header: source_url, username, password, pairing_key, name, ttl, priority, exclude_tables, exclude_paths,
    allow_http (lists are separated by |). JSON Lines and JSON have objects like the body of POST /clone.

    \b
    siteferry batch create fleet.csv --ttl 7d --priority low --wait
    jq -c '.sites[]' export.json | siteferry batch create -
    """
    rows = batch_file.read(file)
    password = typer.prompt("Password", hide_input=True, err=True) if ask_password else None
    optional = {
        "username": username,
        "password": password,
        "priority": priority,
        "ttl_minutes": parse_ttl(ttl) if ttl else None,
    }
    defaults = rows.defaults | {key: value for key, value in optional.items() if value is not None}
    if options := clone_options(exclude_table, exclude_path, keep_transients, allow_http, media=media):
        defaults["options"] = {**(defaults.get("options") or {}), **options}
    api = api_of(context)
    accepted = _submit(api, {"defaults": defaults, "clones": rows.clones}, rows)
    batch_id = accepted["batch_id"]
    if wait:
        if not as_json:
            render.say(f"Batch {batch_id}, {_jobs(accepted['total'])}")
        raise typer.Exit(follow(api, batch_id, as_json=as_json, timeout=timeout))
    if as_json:
        return render.print_json(accepted)
    render.out.print(batch_id)
    return render.say(f"{_jobs(accepted['total'])}. See how they go with: siteferry batch show {batch_id} --wait")


def _submit(api: Api, body: Json, rows: batch_file.Rows) -> Json:
    """What the gateway answered. Raises CliError that names the lines it did not take."""
    try:
        accepted: Json = api.submit("/batches", body)
    except CliError as error:
        if not error.errors:
            raise
        told = [_by_line(item, rows) for item in error.errors]
    else:
        return accepted
    for line in told[:SHOWN]:
        render.err.print(render.words(line, style="red"), soft_wrap=True)
    more = f" ({len(told) - SHOWN} more not shown)" if len(told) > SHOWN else ""
    raise CliError(f"The file is not valid{more}.", hint="Nothing was submitted.", code=Exit.USAGE)


def _by_line(error: dict[str, str], rows: batch_file.Rows) -> str:
    """`clones.3.ttl_minutes` as the line the person wrote."""
    where, _, rest = error["field"].partition(".")
    number, _, field = rest.partition(".")
    if where == "clones" and number.isdecimal() and int(number) < len(rows.lines):
        return f"Line {rows.lines[int(number)]}: {field} {error['message']}".replace(":  ", ": ")
    return f"{error['field']} {error['message']}"


@app.command()
def show(
    context: typer.Context,
    batch_id: BatchArgument,
    wait: WaitFlag = False,
    timeout: TimeoutOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every job, not only the first 20.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show a batch and its jobs. The exit code follows it: 1 when a job failed, 5 when all were cancelled.

    \b
    siteferry batch show batch-0k3v9x2m7c1p5t00 --wait
    """
    api = api_of(context)
    if wait:
        raise typer.Exit(follow(api, batch_id, as_json=as_json, timeout=timeout))
    batch = api.get(f"/batches/{batch_id}")
    if as_json:
        render.print_json(batch)
    else:
        render.out.print(_line(batch))
        _table(batch, None if everything else SHOWN)
    raise typer.Exit(_exit(batch))


@app.command()
def cancel(context: typer.Context, batch_id: BatchArgument, wait: WaitFlag = False, as_json: JsonFlag = False) -> None:
    """Cancel every job of a batch that has not ended. Clones that are complete stay. Twice changes nothing.

    \b
    siteferry batch cancel batch-0k3v9x2m7c1p5t00 --wait
    """
    api = api_of(context)
    batch = api.post(f"/batches/{batch_id}/cancel")
    if wait:
        code = follow(api, batch_id, as_json=as_json)
        raise typer.Exit(Exit.OK if code is Exit.CANCELLED else code)
    if as_json:
        return render.print_json(batch)
    return render.out.print(_line(batch))


@app.command(name="list")
def list_batches(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List batches, newest first.

    \b
    siteferry batch list --json | jq -r '.batches[].batch_id'
    """
    page = api_of(context).get("/batches", limit=limit, cursor=cursor)
    if as_json:
        return render.print_json(page)
    if not page["batches"]:
        return render.say("No batches yet. Begin with: siteferry batch create FILE")
    rows: list[list[str | Text]] = [
        [
            batch["batch_id"],
            Text(_word(batch), style=COLOURS[batch["status"]]),
            f"{batch['progress']:.0f}%",
            _counts(batch),
            render.ago(batch["created_at"]),
        ]
        for batch in page["batches"]
    ]
    render.table(["BATCH", "STATUS", "DONE", "JOBS", "CREATED"], rows)
    if page["next_cursor"]:
        render.say(f"More with: siteferry batch list --cursor {page['next_cursor']}")
    return None


def follow(api: Api, batch_id: str, *, as_json: bool = False, timeout: float | None = None) -> Exit:
    """Stay until every job of a batch has ended, through outages of the service; the exit code says how.

    Raises CliError when there is no such batch or the time is up. Ctrl-C only detaches: the jobs go on.
    """
    view = View(as_json=as_json)
    try:
        batch = _until_ended(api, batch_id, view, timeout)
    except KeyboardInterrupt:
        view.close()
        render.say(f"Detached; it goes on. Come back with: siteferry batch show {batch_id} --wait")
        return Exit.INTERRUPTED
    finally:
        view.close()
    if not as_json:
        failed = [job for job in batch["jobs"] if job["status"] == "failed"]
        _table({**batch, "jobs": failed}, SHOWN)
        render.out.print(_line(batch))
    return _exit(batch)


def _until_ended(api: Api, batch_id: str, view: View, timeout: float | None) -> Json:
    deadline = None if timeout is None else time.monotonic() + timeout
    etag, failures = None, 0
    batch: Json | None = None
    while batch is None or batch["status"] in OPEN:
        try:
            changed, etag = api.changed(f"/batches/{batch_id}", etag)
        except Unreachable:
            if batch is None:  # it never answered: most likely it does not run
                raise
            failures = min(failures + 1, 6)
            view.lost()
        else:
            failures, batch = 0, changed or batch
            if changed:
                view.show(changed)
            if batch and batch["status"] not in OPEN:
                break
        if deadline is not None and time.monotonic() >= deadline:
            hint = f"It goes on; come back with: siteferry batch show {batch_id} --wait"
            raise CliError(f"Not finished within {timeout:g} s.", hint=hint, code=Exit.TIMEOUT)
        time.sleep(min(PATIENCE, POLL * 2**failures))
    return batch


class View:
    """A batch while it is waited for: a bar in place on a terminal, a line per change elsewhere, or JSON Lines."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._said = ""
        self._live: Live | None = None
        if not as_json and render.err.is_terminal:
            self._live = Live(console=render.err, refresh_per_second=8)
            self._live.start()

    def show(self, batch: Json) -> None:
        """It has changed."""
        if self._json:
            render.print_json(batch)
        elif self._live:
            line = Text(f"{batch['batch_id']}  ", style="bold")
            line.append_text(render.bar(batch["progress"]))
            line.append(f" {batch['progress']:5.1f}%  {_word(batch)}  {_counts(batch)}")
            self._live.update(line, refresh=True)
        elif (counts := _counts(batch)) != self._said:
            self._said = counts
            render.say(f"{batch['batch_id']}  {batch['progress']:5.1f}%  {_word(batch)}  {counts}")

    def lost(self) -> None:
        """Nothing answers; trying again."""
        if self._live:
            self._live.update(Text("reconnecting…", style="yellow"), refresh=True)
        elif not self._json and self._said != "reconnecting…":
            self._said = "reconnecting…"
            render.say(self._said)

    def close(self) -> None:
        """The end; twice is harmless."""
        if self._live:
            self._live.stop()
            self._live = None


def _exit(batch: Json) -> Exit:
    return Exit.OK if batch["status"] in OPEN else EXITS.get(batch["status"], Exit.FAILED)


def _word(batch: Json) -> str:
    return str(batch.get("phase") or WORDS.get(batch["status"], batch["status"]))


def _counts(batch: Json) -> str:
    told = [f"{number:,} {status}" for status, number in batch["counts"].items() if number]
    return ", ".join(told) + f" of {batch['total']:,}"


def _line(batch: Json) -> Text:
    line = Text(f"{batch['batch_id']}  {batch['progress']:.1f}%  ")
    line.append(_word(batch), style=COLOURS[batch["status"]])
    return line.append(f"  {_counts(batch)}")


def _jobs(count: int) -> str:
    return f"{count:,} job{'s' if count != 1 else ''}"


def _table(batch: Json, most: int | None) -> None:
    shown = batch["jobs"][:most]
    if not shown:
        return
    rows: list[list[str | Text]] = [
        [
            job["job_id"],
            Text(render.state_word(job), style=render.COLOURS[job["status"]]),
            f"{job['progress']:.0f}%",
            job["name"] or job["source_url"],
            f"{job['error']}: {job['message']}" if job["error"] else job["message"],
        ]
        for job in shown
    ]
    render.table(["JOB", "STATUS", "DONE", "SOURCE", "SAYS"], rows)
    if len(batch["jobs"]) > len(shown):
        render.say(
            f"{len(batch['jobs']) - len(shown):,} more; all with: siteferry batch show {batch['batch_id']} --all"
        )
