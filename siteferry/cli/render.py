"""How things look on a terminal: sizes, times, bars, tables, results."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from shared import printable

Json = dict[str, Any]

BAR_WIDTH = 28
WORDS = {"waiting": "waiting", "retrying": "will try again", "cancelling": "cancelling"}
COLOURS = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "pending": "dim"}
STEP_MARKS = {"done": "✓", "running": "▸", "failed": "✗", "skipped": "-", "pending": "·"}
STEP_COLOURS = {"done": "green", "running": "cyan", "failed": "red", "skipped": "dim", "pending": "dim"}

NOTE_SAMPLES = 5


class Terminal(Console):
    """Prints no control character but its own and line ends, whatever it is given."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of a renderable, with what is in them made printable."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable.lines(segment.text))


err = Terminal(stderr=True, highlight=False)
out = Terminal(highlight=False, soft_wrap=True)


def words(text: str, style: str = "") -> Text:
    """Text that may hold what a site said: it stays on its line."""
    return Text(printable.one_line(text), style=style)


def say(text: str) -> None:
    """A line for people, on stderr."""
    err.print(words(text), soft_wrap=True)


def print_json(value: Any) -> None:
    """A JSON document on stdout, on one line; control characters are escaped."""
    sys.stdout.write(printable.in_json(json.dumps(value, ensure_ascii=False)) + "\n")
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


def when(text: str | None) -> str:
    """A time and how long ago it was: `2026-11-24 20:15 UTC, 5 min ago`; what is no time of the API as it is."""
    try:
        at = moment(text)
    except ValueError:
        return str(text)
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {ago(text)}"


def bar(percent: float, width: int = BAR_WIDTH) -> Text:
    """A progress bar of text, which also reads without colours."""
    full = round(width * min(100.0, max(0.0, percent)) / 100)
    return Text("━" * full, style="cyan") + Text("─" * (width - full), style="dim")


def job_block(job: Json, *, note: str = "") -> Text:
    """A job while it is watched: overall bar, then its steps."""
    block = Text()
    block.append_text(words(f"{job['job_id']}  ", style="bold"))
    block.append_text(words(place(job), style="dim"))
    block.append("\n")
    block.append_text(bar(job["progress"]))
    block.append(f" {job['progress']:5.1f}%  ")
    block.append(state_word(job), style=COLOURS.get(job["status"], ""))
    if job["attempt"] > 1:
        block.append(f", attempt {job['attempt']}", style="dim")
    if job["message"]:
        block.append_text(words(f"  {job['message']}", style="dim"))
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
    line.append_text(words(f"{step['title']:<34}", style=colour if step["state"] != "done" else ""))
    line.append_text(words(f"{amount(step):<28}"))
    began, ended = moment(step.get("started_at")), moment(step.get("finished_at"))
    if began:
        line.append(duration(((ended or datetime.now(UTC)) - began).total_seconds()), style="dim")
    return line


def notes(told: list[Json]) -> None:
    """What a person should know about a finished job, with some samples of each, on stdout."""
    for note in told:
        samples, count = note.get("samples") or [], note.get("count") or 0
        out.print(words(f"Note      {note['message']}" + (f" ({count:,})" if count else "")))
        for sample in samples[:NOTE_SAMPLES]:
            out.print(words(f"          {sample}", style="dim"))
        if count > min(len(samples), NOTE_SAMPLES) and samples:
            out.print(words(f"          and {count - min(len(samples), NOTE_SAMPLES):,} more", style="dim"))


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, on stdout."""
    for name, value in rows:
        if value not in (None, ""):
            out.print(words(f"{name:<9} {value}"))


WHOLE = frozenset({"JOB", "CLONE", "SNAPSHOT", "BATCH", "WEBHOOK", "MAIL", "URL", "TARGET"})
"""Columns people copy from: never cut, never broken."""
LEAST = 10
"""Characters any other column is given at least."""
GAP = 2


def table(headers: list[str], rows: list[list[str | Text]]) -> None:
    """A table on stdout; into a pipe, tab-separated without padding. Wider than the terminal if it must be."""
    if not out.is_terminal:
        sys.stdout.write("\t".join(headers) + "\n")
        for row in rows:
            sys.stdout.write("\t".join(printable.one_line(str(cell)) for cell in row) + "\n")
        return
    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    least = 0
    cells = [[cell if isinstance(cell, Text) else words(cell) for cell in row] for row in rows]
    for position, header in enumerate(headers):
        longest = max(len(header), *(row[position].cell_len for row in cells))
        whole = header in WHOLE
        least += GAP + (longest if whole else min(longest, LEAST))
        grid.add_column(header, no_wrap=whole, min_width=longest if whole else None, overflow="fold")
    for line in cells:
        grid.add_row(*line)
    out.print(grid, width=max(out.width, least), crop=False)
