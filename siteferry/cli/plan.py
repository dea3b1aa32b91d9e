"""How a restore looks on a terminal: its plan, what production would lose, what it did and the way back."""

from __future__ import annotations

from rich.text import Text

from siteferry.cli import render
from siteferry.cli.render import Json

FOLDERS = 40
"""Folders listed; the rest is counted."""
WHY = {"production_only": "in production only", "production_newer": "newer in production"}
NAMES = {
    "order": ("order", "orders"),
    "comment": ("comment", "comments"),
    "post": ("post", "posts"),
    "entry": ("entry", "entries"),
    "user": ("user", "users"),
    "row": ("row", "rows"),
}
COUNTS = ("add", "change", "remove", "same")


def restored(job: Json) -> None:
    """What a completed restore, dry run, roll-back or discard gave, on stdout."""
    result = job["result"]
    if result["plan"] and result["dry_run"]:
        show_plan(result["plan"])
    render.pairs(_facts(job))
    render.notes(result.get("notes") or [])
    if result["dry_run"]:
        lost = bool((result["plan"] or {}).get("losses"))
        more = ", and with --accept-loss" if lost else ""
        render.say(f"Nothing was changed. To do it, run the same command without --dry-run{more}.")
    elif result["action"] == "restore" and result.get("snapshot_state") == "active":
        render.say(f"The way back: siteferry rollback {result['snapshot_id']} --username ADMIN")


def _facts(job: Json) -> list[tuple[str, object]]:
    result = job["result"]
    if result["dry_run"]:
        return []
    if result["action"] != "restore":
        said = "Back as before" if result["action"] == "rollback" else "Way back removed"
        late = f"{result['late_rows']:,} rows that came meanwhile were kept" if result["late_rows"] else None
        return [(said, result["target_url"]), ("Kept", late), ("Snapshot", result["snapshot_id"])]
    state = result.get("snapshot_state")
    kept = f"{result['snapshot_id']}, {render.size(result['snapshot_bytes'])}, "
    until = f"until {render.until(result['snapshot_expires_at'])}" if state == "active" else str(state)
    return [
        ("URL", result["target_url"]),
        ("Rows", f"{result['rows']:,} written, in {result['tables']:,} tables"),
        ("Files", f"{result['files']:,} exchanged, {render.size(result['bytes'])}"),
        ("Late", f"{result['late_rows']:,} rows came meanwhile and were kept" if result["late_rows"] else None),
        ("Paused", f"{result['write_unavailable_ms']:,.0f} ms, in which nothing could be written"),
        ("Snapshot", kept + until if result["snapshot_id"] else None),
    ]


def show_plan(plan: Json) -> None:
    """Tables and folders with what happens to them, what production would lose, and what differs, on stdout."""
    _table("TABLE", [(item["table"], item) for item in plan["tables"]])
    _table("FOLDER", [(item["folder"], item) for item in plan["folders"]])
    show_losses(plan["losses"], plan["loss_samples"])
    for sentence in plan["drift"]:
        render.out.print(render.words(f"Note      {sentence}"))
    if not plan["base"]:
        text = (
            "It is not known what the site was when the clone was made, so changes of production count as the clone's."
        )
        render.out.print(render.words(f"Note      {text}"))


def _table(title: str, items: list[tuple[str, Json]]) -> None:
    changed = [(name, item) for name, item in items if item["action"] != "keep" and _moves(item)]
    kept = [name for name, item in items if item["action"] == "keep"]
    if changed:
        rows: list[list[str | Text]] = [
            [name, item["action"], *(f"{item[count]:,}" if item[count] else "" for count in COUNTS), _remark(item)]
            for name, item in changed[:FOLDERS]
        ]
        render.table([title, "ACTION", "ADD", "CHANGE", "REMOVE", "SAME", "NOTE"], rows)
    if len(changed) > FOLDERS:
        render.out.print(render.words(f"and {len(changed) - FOLDERS:,} more", style="dim"))
    word = title.lower() + "s"
    if not changed:
        render.out.print(render.words(f"No {word} change."))
    if kept:
        told = ", ".join(kept[:6]) + (f" and {len(kept) - 6:,} more" if len(kept) > 6 else "")
        render.out.print(render.words(f"Stay as they are: {told}", style="dim"))


def _moves(item: Json) -> bool:
    return item["action"] in ("create", "replace") or any(item[count] for count in COUNTS[:3])


def _remark(item: Json) -> str:
    parts = [item["reason"]] if item["reason"] else []
    if item.get("bytes"):
        parts.append(f"{render.size(item['bytes'])} travel")
    if item["production_only"]:
        parts.append(f"{item['production_only']:,} in production only, {'kept' if 'folder' in item else 'lost'}")
    if item.get("production_newer"):
        parts.append(f"{item['production_newer']:,} newer in production")
    return "; ".join(parts)


def show_losses(losses: dict[str, int], samples: list[Json]) -> None:
    """What production would lose, counted and with samples, on stdout."""
    if not losses:
        return
    counted = ", ".join(f"{count:,} {NAMES[what][count != 1]}" for what, count in sorted(losses.items()))
    render.out.print(render.words(f"Production would lose: {counted}", style="bold red"))
    for loss in samples:
        title = f"  {loss['title']}" if loss["title"] else ""
        render.out.print(render.words(f"  {loss['what']} {loss['key']}{title}  ({WHY[loss['why']]}, {loss['table']})"))
    hidden = sum(losses.values()) - len(samples)
    if hidden > 0 and samples:
        render.out.print(render.words(f"  and {hidden:,} more", style="dim"))
