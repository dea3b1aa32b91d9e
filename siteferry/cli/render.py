"""How things look on a terminal: sizes, times, bars, tables, results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from siteferry.cli.again import next_step

Json = dict[str, Any]

BAR_WIDTH = 28
WORDS = {"waiting": "waiting", "retrying": "will try again", "cancelling": "cancelling"}
COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "pending": "dim"}
STEP_MARKS = {"done": "✓", "running": "▸", "failed": "✗", "skipped": "-", "pending": "·"}
STEP_COLOURS = {"done": "green", "running": "cyan", "failed": "red", "skipped": "dim", "pending": "dim"}

NOTE_SAMPLES = 5

err = Console(stderr=True, highlight=False)
out = Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line for people, on stderr."""
    err.print(Text(text), soft_wrap=True)


def print_json(value: Any) -> None:
    """A JSON document on stdout, on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def state_word(job: Json) -> str:
    """The job's state in a word or two."""
    return WORDS.get(job.get("phase") or "", str(job["status"]))


def size(count: float) -> str:
    """Bytes as people read them, in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def place(job: Json) -> str:
    """Which site a job is about: its source, and where a restore goes."""
    target = job.get("target_url")
    if not target:
        return str(job["source_url"])
    return f"{job['source_url']} → {target}" if job.get("action") == "restore" else f"{job['action']} of {target}"


def amount(step: Json) -> str:
    """How far a step is: `12.3 MB of 168.4 MB`, `1,200 of 136,214 rows`; empty when it does not count."""
    unit, done, total = step.get("unit"), step.get("done") or 0, step.get("total")
    if not unit or (not done and not total):
        return ""
    if unit == "bytes":
        return f"{size(done)} of {size(total)}" if total is not None else size(done)
    return f"{done:,} of {total:,} {unit}" if total is not None else f"{done:,} {unit}"


def moment(text: str | None) -> datetime | None:
    """A time of the API."""
    return datetime.fromisoformat(text) if text else None


def duration(seconds: float) -> str:
    """`48 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    units = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next(index for index, (count, _) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count)


def until(text: str | None) -> str:
    """When something ends: `2026-11-24 20:15 UTC, in 23 h 59 min`."""
    at = moment(text)
    if at is None:
        return "never"
    left = (at - datetime.now(UTC)).total_seconds()
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, " + (f"in {duration(left)}" if left > 0 else "now")


def ago(text: str | None) -> str:
    """How long since a time."""
    at = moment(text)
    return "" if at is None else f"{duration((datetime.now(UTC) - at).total_seconds())} ago"


def bar(percent: float, width: int = BAR_WIDTH) -> Text:
    """A progress bar of text, which also reads without colours."""
    full = round(width * min(100.0, max(0.0, percent)) / 100)
    return Text("━" * full, style="cyan") + Text("─" * (width - full), style="dim")


def job_block(job: Json, *, note: str = "") -> Text:
    """A job while it is watched: overall bar, then its steps."""
    block = Text()
    block.append(f"{job['job_id']}  ", style="bold")
    block.append(place(job), style="dim")
    block.append("\n")
    block.append_text(bar(job["progress"]))
    block.append(f" {job['progress']:5.1f}%  ")
    block.append(state_word(job), style=COLOURS.get(job["status"], ""))
    if job["attempt"] > 1:
        block.append(f", attempt {job['attempt']}", style="dim")
    if job["message"]:
        block.append(f"  {job['message']}", style="dim")
    for step in job["steps"]:
        block.append("\n")
        block.append_text(step_line(step))
    if note:
        block.append(f"\n  {note}", style="yellow")
    return block


def step_line(step: Json) -> Text:
    """One step: mark, title, amount, time."""
    colour = STEP_COLOURS[step["state"]]
    line = Text(f"  {STEP_MARKS[step['state']]} ", style=colour)
    line.append(f"{step['title']:<34}", style=colour if step["state"] != "done" else "")
    line.append(f"{amount(step):<28}")
    began, ended = moment(step.get("started_at")), moment(step.get("finished_at"))
    if began:
        line.append(duration(((ended or datetime.now(UTC)) - began).total_seconds()), style="dim")
    return line


def result(job: Json) -> None:
    """The end of a job, for people: what it gave on stdout, what went wrong on stderr."""
    if job["status"] == "completed" and job["result"] and job.get("type") == "restore":
        from siteferry.cli.plan import outcome  # which is made of what is here

        outcome(job)
    elif job["status"] == "completed" and job["result"]:
        _clone(job["result"])
    elif job["status"] == "failed":
        error = job["error"] or {}
        err.print(Text(f"Failed: {error.get('message') or 'the job failed'}", style="red"), soft_wrap=True)
        code = error.get("code", "unknown")
        if error.get("hint") and code != "production_would_lose":  # whose hint is the API's; the next step says it
            say(f"Hint: {error['hint']}")
        if code == "production_would_lose":
            from siteferry.cli.plan import show_losses

            details = error.get("details") or {}
            show_losses(details.get("losses") or {}, details.get("samples") or [])
        say(f"Code: {code}. {next_step(job)}".rstrip())
    elif job["status"] == "cancelled":
        say("Cancelled; everything half made was removed.")


def _clone(clone: Json) -> None:
    rows = [("URL", clone["clone_url"]), ("Admin", clone["admin_url"]), ("User", clone["username"])]
    if clone.get("state", "active") == "active":
        rows += [("Password", clone["password"] or "(can not be opened)"), ("Expires", until(clone["expires_at"]))]
    else:
        rows += [("State", f"{clone['state']} {ago(clone.get('deleted_at'))}".strip())]
    if clone.get("files"):
        rows.append(("Copied", f"{clone['files']:,} files, {size(clone['bytes'])}; {clone['rows']:,} rows"))
    for name, value in rows:
        out.print(Text(f"{name:<9} {value}"))
    notes(clone.get("notes") or [])


def notes(told: list[Json]) -> None:
    """What a person should know about a finished job, with some samples of each, on stdout."""
    for note in told:
        samples, count = note.get("samples") or [], note.get("count") or 0
        out.print(Text(f"Note      {note['message']}" + (f" ({count:,})" if count else "")))
        for sample in samples[:NOTE_SAMPLES]:
            out.print(Text(f"          {sample}", style="dim"))
        if count > min(len(samples), NOTE_SAMPLES) and samples:
            out.print(Text(f"          and {count - min(len(samples), NOTE_SAMPLES):,} more", style="dim"))


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, on stdout."""
    for name, value in rows:
        if value not in (None, ""):
            out.print(Text(f"{name:<9} {value}"))


def table(headers: list[str], rows: list[list[str | Text]]) -> None:
    """A table on stdout; into a pipe, tab-separated without padding."""
    if not out.is_terminal:
        sys.stdout.write("\t".join(headers) + "\n")
        for row in rows:
            sys.stdout.write("\t".join(str(cell) for cell in row) + "\n")
        return
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for header in headers:
        grid.add_column(header, no_wrap=header in ("JOB", "CLONE", "SNAPSHOT"))
    for cells in rows:
        grid.add_row(*cells)
    out.print(grid)
