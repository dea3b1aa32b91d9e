"""The end of a job, for people: a clone's address and login, what a restore did, why it failed and what may help."""

from __future__ import annotations

from siteferry.cli import render
from siteferry.cli.again import next_step
from siteferry.cli.plan import restored, show_losses
from siteferry.cli.render import Json


def result(job: Json) -> None:
    """The end of a job, for people: what it gave on stdout, what went wrong on stderr."""
    if job["status"] == "completed" and job["result"] and job.get("type") == "restore":
        restored(job)
    elif job["status"] == "completed" and job["result"] and "state_made_at" in job["result"]:
        _state(job)
    elif job["status"] == "completed" and job["result"]:
        _clone(job["result"])
    elif job["status"] == "failed":
        error = job["error"] or {}
        render.err.print(
            render.words(f"Failed: {error.get('message') or 'the job failed'}", style="red"), soft_wrap=True
        )
        code = error.get("code", "unknown")
        if error.get("hint") and code != "production_would_lose":  # whose hint is the API's; the next step says it
            render.say(f"Hint: {error['hint']}")
        if code == "production_would_lose":
            details = error.get("details") or {}
            show_losses(details.get("losses") or {}, details.get("samples") or [])
        render.say(f"Code: {code}. {next_step(job)}".rstrip())
    elif job["status"] == "cancelled":
        render.say("Cancelled; everything half made was removed.")


def _state(job: Json) -> None:
    kept = job["result"]
    name = kept["state"].removeprefix("version-")
    what = "Reset to" if job["action"] == "reset" else "Version"
    for label, value in (
        (what, "what it was when it was made" if kept["state"] == "made" else name),
        ("Kept", render.when(kept["state_made_at"])),
        ("Holds", f"{kept['files']:,} files, {kept['tables']:,} tables, {render.size(kept['bytes'])}"),
        ("URL", kept["clone_url"]),
    ):
        render.out.print(render.words(f"{label:<9} {value}"))
    render.notes(kept.get("notes") or [])


def _clone(clone: Json) -> None:
    rows = [("URL", clone["clone_url"]), ("Admin", clone["admin_url"]), ("User", clone["username"])]
    if clone.get("state", "active") == "active":
        rows += [
            ("Password", clone["password"] or "(can not be opened)"),
            ("Expires", render.until(clone["expires_at"])),
        ]
    else:
        rows += [("State", f"{clone['state']} {render.ago(clone.get('deleted_at'))}".strip())]
    if clone.get("files"):
        rows.append(("Copied", f"{clone['files']:,} files, {render.size(clone['bytes'])}; {clone['rows']:,} rows"))
    if stayed := clone.get("media_stayed"):
        rows.append(("Stayed", f"{stayed['files']:,} media, {render.size(stayed['bytes'])}: fetched when asked for"))
    if reused := clone.get("reused"):
        travelled = f"{reused['travelled_files']:,} files, {render.size(reused['travelled_bytes'])}"
        rows.append(
            (
                "Travelled",
                f"{travelled}; {reused['travelled_rows']:,} rows; the rest is of {render.ago(reused['made_at'])}",
            )
        )
    for name, value in rows:
        render.out.print(render.words(f"{name:<9} {value}"))
    render.notes(clone.get("notes") or [])
