"""Commands about jobs: `jobs`, `job`, `watch`, `cancel`, `retry`, `replay`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from siteferry.cli import bulk, outcome, render
from siteferry.cli.client import CliError, Exit
from siteferry.cli.context import Common, api_of, parse_ttl
from siteferry.cli.watch import TERMINAL
from siteferry.cli.watch import watch as follow
from siteferry.embedded.instance import nats_environment, running_instance
from siteferry.environment import default_state_dir

JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)]


def jobs(
    context: typer.Context,
    status: Annotated[
        list[str] | None, typer.Option(help="pending, running, completed, failed or cancelled. Repeatable.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Part of the source's address.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="BATCH", help="Only the jobs of this batch.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, newest first.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List jobs, newest first.

    \b
    siteferry jobs --status running --status pending
    siteferry jobs --json | jq -r '.jobs[].job_id'
    """
    page = api_of(context).get("/jobs", status=status, source=source, batch=batch, limit=limit, cursor=cursor)
    if as_json:
        return render.print_json(page)
    if not page["jobs"]:
        return render.say("No jobs yet. Begin with: siteferry clone https://example.com --username admin --watch")
    rows: list[list[str | Text]] = [
        [
            job["job_id"],
            Text(render.state_word(job), style=render.COLOURS[job["status"]]),
            f"{job['progress']:.0f}%",
            render.ago(job["created_at"]),
            job["name"] or render.place(job),
        ]
        for job in page["jobs"]
    ]
    render.table(["JOB", "STATUS", "DONE", "CREATED", "SOURCE"], rows)
    if page["next_cursor"]:
        render.say(f"More with: siteferry jobs --cursor {page['next_cursor']}")
    return None


def job(context: typer.Context, job_id: JobArgument, as_json: JsonFlag = False) -> None:
    """Show a job once. The exit code follows the job: 1 when it failed, 5 when it was cancelled.

    \b
    siteferry job clone-0k3v9x2m7c1p5t8w --json | jq -r .result.clone_url
    """
    found = api_of(context).get(f"/jobs/{job_id}")
    if as_json:
        render.print_json(found)
    else:
        render.out.print(render.job_block(found))
        if found["status"] in TERMINAL:
            outcome.result(found)
    code = {"failed": Exit.FAILED, "cancelled": Exit.CANCELLED}.get(found["status"], Exit.OK)
    raise typer.Exit(code)


def watch(
    context: typer.Context,
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Default: every job that is not finished.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stay so long at most; then exit code 4.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines on stdout: the job at every change.")] = False,
) -> None:
    """Follow jobs to their end. Ctrl-C detaches; the jobs go on.

    \b
    siteferry watch clone-0k3v9x2m7c1p5t8w
    siteferry watch --json | jq -r '.progress'
    """
    api = api_of(context)
    ids = job_ids or [item["job_id"] for item in api.get("/jobs", status=["pending", "running"], limit=50)["jobs"]]
    if not ids:
        return render.say("No job is running.")
    raise typer.Exit(follow(api, ids, as_json=as_json, timeout=timeout, join=not job_ids))


def cancel(
    context: typer.Context,
    job_ids: bulk.JobsArgument = None,
    where: bulk.WhereJobs = None,
    wait: Annotated[bool, typer.Option("--wait", help="With one job: stay until it has ended.")] = False,
    detach: bulk.DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Cancel jobs and remove what they half made. Cancelling twice changes nothing.

    \b
    siteferry cancel clone-0k3v9x2m7c1p5t8w --wait
    siteferry cancel --where status=pending --where source=shop.example.com
    """
    api = api_of(context)
    wish = bulk.chosen(job_ids, where)
    if not job_ids or len(job_ids) > 1:
        return bulk.begin(api, "/jobs/cancel", wish, detach=detach, as_json=as_json)
    job_id = job_ids[0]
    found = api.post(f"/jobs/{job_id}/cancel")
    if wait:
        code = follow(api, [job_id], as_json=as_json)
        raise typer.Exit(Exit.OK if code is Exit.CANCELLED else code)
    if as_json:
        return render.print_json(found)
    return render.say(f"{job_id}: {render.state_word(found)}")


def retry(
    context: typer.Context,
    job_ids: bulk.JobsArgument = None,
    where: bulk.WhereJobs = None,
    ttl: Annotated[str | None, typer.Option(help="Let clones live another time than asked for: 90m, 12h, 7d.")] = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Let restores go on although production would lose something.")
    ] = False,
    options: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="In place of all options: those of POST /clone, or of POST /restore."),
    ] = None,
    follow_it: Annotated[bool, typer.Option("--watch", "-w", help="With one job: stay and show how it goes.")] = False,
    detach: bulk.DetachFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Run failed jobs again. They use the login they were given, which is kept for a day.

    \b
    siteferry retry clone-0k3v9x2m7c1p5t8w --watch
    siteferry retry --where error=source_unreachable --where created_after=2026-11-29T12:00:00Z
    siteferry retry clone-0k3v9x2m7c1p5t8w --options '{"exclude_paths": ["wp-content/video"]}'
    """
    api = api_of(context)
    wish = bulk.chosen(job_ids, where)
    changes = _changes(ttl, accept_loss, options)
    if not job_ids or len(job_ids) > 1:
        body = wish | ({"changes": changes} if changes else {})
        return bulk.begin(api, "/jobs/retry", body, detach=detach, as_json=as_json)
    found = api.post(f"/jobs/{job_ids[0]}/retry", changes or None)
    if follow_it:
        raise typer.Exit(follow(api, job_ids, as_json=as_json))
    if as_json:
        return render.print_json(found)
    return render.say(f"{found['job_id']} runs again. Watch it with: siteferry watch {job_ids[0]}")


def _changes(ttl: str | None, accept_loss: bool, options: str | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if ttl:
        changes["ttl_minutes"] = parse_ttl(ttl)
    if accept_loss:
        changes["accept_loss"] = True
    if options:
        try:
            changes["options"] = json.loads(options)
        except ValueError:
            raise CliError("--options is no JSON.", code=Exit.USAGE) from None
    return changes


def replay(context: typer.Context, job_id: JobArgument, as_json: JsonFlag = False) -> None:
    """Print what the stream holds about a job, and the `nats` commands that show the same.

    \b
    siteferry replay clone-0k3v9x2m7c1p5t8w
    """
    story = api_of(context).get(f"/jobs/{job_id}/story")
    if as_json:
        return render.print_json(story)
    for message in story["messages"]:
        render.out.print(render.words(_story_line(message)))
    common: Common = context.obj
    for line in nats_commands(story["stream"], job_id, common):
        render.say(line)
    return None


def _story_line(message: dict[str, Any]) -> str:
    data = message["data"]
    told = data.get("job") or {}
    words = [f"{message['seq']:>8}", message["time"][:23].replace("T", " "), f"{message['type']:<12}"]
    if told:
        words += [f"{told.get('progress', 0):5.1f}%", told.get("step") or "", told.get("message") or ""]
    else:
        words.append(data.get("reason") or data.get("expires_at") or data.get("source_url") or data.get("by") or "")
    return "  ".join(words).rstrip()


def nats_commands(stream: str, job_id: str, common: Common) -> list[str]:
    """The same with the `nats` command line, for the instance of this machine when one runs."""
    if not job_id.replace("-", "").isalnum():
        raise CliError(f"{job_id} is not a job id.", code=Exit.USAGE)
    subject = f"{job_id.partition('-')[0]}.*.*.{job_id}"
    instance = running_instance(common.state or default_state_dir())
    server = f"{nats_environment(instance)} " if instance else ""
    return [
        "",
        "The same with the nats command line:",
        f"  {server}nats stream view {stream} --subject '{subject}'",
        f"  {server}nats sub --stream {stream} --all '{subject}'",
    ]
