"""The end of a job, for people: a clone's address and login, what a restore did, why it failed and what may help."""

from __future__ import annotations

from siteferry.cli import render
from siteferry.cli.again import GO_ON, next_step
from siteferry.cli.plan import restored, show_losses
from siteferry.cli.render import Json


def result(job: Json) -> None:
    """The end of a job, for people: what it gave on stdout, what went wrong on stderr."""
    if job["status"] == "completed" and job["result"] and job.get("type") == "restore":
        restored(job)
    elif job["status"] == "completed" and job["result"] and "state_made_at" in job["result"]:
        _state(job)
    elif job["status"] == "completed" and job["result"] and "refreshed_at" in job["result"]:
        _refreshed(job["result"])
    elif job["status"] == "completed" and job["result"]:
        _clone(job["result"])
    elif job["status"] == "failed":
        error = job["error"] or {}
        render.err.print(
            render.words(f"Failed: {error.get('message') or 'the job failed'}", style="red"), soft_wrap=True
        )
        code = error.get("code", "unknown")
        if error.get("hint") and code not in GO_ON:  # whose hint is the API's; the next step says it
            render.say(f"Hint: {error['hint']}")
        if code == "production_would_lose":
            details = error.get("details") or {}
            show_losses(details.get("losses") or {}, details.get("samples") or [])
        if code == "clone_edited":
            _edits(error.get("details") or {})
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


def _refreshed(refreshed: Json) -> None:
    for label, value in (
        ("As of", render.when(refreshed["refreshed_at"])),
        ("Holds", f"{refreshed['files']:,} files, {render.size(refreshed['bytes'])}; {refreshed['rows']:,} rows"),
        ("URL", refreshed["clone_url"]),
        *_travelled(refreshed.get("reused")),
    ):
        render.out.print(render.words(f"{label:<9} {value}"))
    gone = refreshed["overwritten"]
    if gone["tables"] or gone["files"]:
        render.say("Gone with it, for it had been edited in the clone:")
        _edits(gone)
    render.notes(refreshed.get("notes") or [])


def _edits(edits: Json) -> None:
    """What was edited in a clone: of each table how many rows and some of their keys; some of the files."""
    for name, table in (edits.get("tables") or {}).items():
        counts = [f"{table[how]:,} {how}" for how in ("added", "changed", "removed") if table[how]]
        what = "built anew or dropped" if table["altered"] else ", ".join(counts)
        some = f" ({'; '.join(table['samples'])})" if table["samples"] else ""
        render.say(f"  {name}: {what}{some}")
    samples = edits.get("file_samples") or []
    for file in samples:
        render.say(f"  {file}")
    if (edits.get("files") or 0) > len(samples):
        render.say(f"  and {edits['files'] - len(samples):,} more files")


def _travelled(reused: Json | None) -> list[tuple[str, str]]:
    if not reused:
        return []
    travelled = f"{reused['travelled_files']:,} files, {render.size(reused['travelled_bytes'])}"
    age = f"the rest is of {render.ago(reused['made_at'])}"
    return [("Travelled", f"{travelled}; {reused['travelled_rows']:,} rows; {age}")]


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
    rows += _travelled(clone.get("reused"))
    for name, value in rows:
        render.out.print(render.words(f"{name:<9} {value}"))
    render.notes(clone.get("notes") or [])
