"""Before anything is made: what is there, does it fit, what will be left out."""

from __future__ import annotations

import base64
from typing import Any

from services.cloner.domain import php_note, space_needed
from services.cloner.run import CloneRun
from services.cloner.steps.reuse import fingerprint
from services.cloner.steps.transfer import Advance
from shared.contract.jobs import Note
from shared.wordpress.connector.skips import file_reason, file_rule_params

COUNT_BUDGET = 10.0


def preflight(run: CloneRun) -> dict[str, Any]:
    """Inspect the source and count what will travel; the totals go into the state. The bytes the target needs, and
    which images fit."""
    run.context.report(message="Inspecting the site")
    facts = run.facts
    files = _count_files(run, facts)
    if run.plan.media is not None:
        _count_media(run, files["stayed"])
    rows = _count_rows(
        run, [{"name": table.name, "where": list(table.where)} for table in run.plan.tables if table.with_rows]
    )
    run.state["totals"] = {
        "files": files["files"],
        "bytes": files["bytes"],
        "tables": len(run.plan.tables),
        "rows": sum(rows.values()),
    }
    run.state["rows_by_table"] = rows if len(rows) <= 2000 else {}
    newer = php_note(str(facts.get("php", "")), run.settings.php)
    for note in [*run.plan.notes, *_skipped(run, files), *([newer] if newer else [])]:
        run.context.note(note)
    totals = run.state["totals"]
    run.context.report(message=f"{totals['files']:,} files, {totals['rows']:,} rows in {totals['tables']} tables")
    return {"size": space_needed(files["bytes"], facts["tables"]), "fingerprint": fingerprint(run)}


def _count_files(run: CloneRun, facts: dict[str, Any]) -> dict[str, Any]:
    sums: dict[str, Any] = {"files": 0, "bytes": 0, "dirs": 0, "links": 0, "skipped": [], "problems": []}
    stayed: dict[str, int] | None = {"files": 0, "bytes": 0}
    cursor, advance = None, Advance()
    while True:
        run.token.check()
        answer = run.connector.call(
            "files.count",
            {
                "roots": facts["roots"],
                "skip": file_rule_params(run.file_rules),
                "cursor": cursor,
                "budget": COUNT_BUDGET,
            },
        )
        for name in ("files", "bytes", "dirs", "links"):
            sums[name] += answer.get(name, 0)
        told = answer.get("stayed")
        stayed = {name: stayed[name] + int(told[name]) for name in stayed} if stayed and told else None
        for name in ("skipped", "problems"):
            sums[name] += answer.get(name, [])[: max(0, 500 - len(sums[name]))]
        cursor = answer.get("cursor")
        run.context.moved(int(answer.get("files", 0) > 0))
        run.context.report(message=f"Counting files: {sums['files']:,}")
        if answer["done"]:
            return {**sums, "stayed": stayed}
        advance.check(cursor)


def _count_media(run: CloneRun, stayed: dict[str, int] | None) -> None:
    if stayed is None:
        run.state["no_media"] = "the connector that was installed by hand is an older one; replace it with today's"
        del run.plan
        return
    run.state["media_stayed"] = stayed


def _count_rows(run: CloneRun, tables: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    cursor, advance = None, Advance()
    while tables:
        run.token.check()
        answer = run.connector.call("db.count", {"tables": tables, "cursor": cursor, "budget": COUNT_BUDGET})
        before = len(counts)
        counts.update({name: int(rows) for name, rows in answer["counts"].items()})
        run.context.moved(len(counts) - before)
        cursor = answer.get("cursor")
        if answer["done"]:
            break
        advance.check(cursor)
    return counts


def _skipped(run: CloneRun, files: dict[str, Any]) -> list[Note]:
    rules = run.file_rules
    skipped = [f"{_name(entry)}: {file_reason(entry['reason'], rules)}" for entry in files["skipped"]]
    notes = []
    if skipped:
        text = "Files and directories that stay on the source"
        notes.append(Note(code="files_skipped", message=text, count=len(skipped), samples=skipped[:50]))
    if files["problems"]:
        troubled = [f"{_name(entry)}: {entry['reason']}" for entry in files["problems"]]
        text = "Files that can not be copied"
        notes.append(Note(code="files_problems", message=text, count=len(troubled), samples=troubled[:50]))
    return notes


def _name(entry: dict[str, Any]) -> str:
    return base64.b64decode(entry["path_b64"]).decode("utf-8", "backslashreplace")
