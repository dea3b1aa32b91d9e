"""Before anything is compared: may these two sites be brought together at all?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.restorer.errors import NetworkUnsupported, VersionMismatch
from services.restorer.run import RestoreRun
from shared.wordpress.connector.errors import TargetNoPrivilege, TargetReadOnly


def preflight(run: RestoreRun) -> None:
    """Inspect both sites. Raises NetworkUnsupported, VersionMismatch, TargetReadOnly, TargetNoPrivilege,
    SchemaDrift, UnsupportedTables."""
    run.context.report(message=f"Inspecting {run.source.host} and {run.target.host}")
    with ThreadPoolExecutor(1, thread_name_prefix="inspect") as beside:
        inspected = beside.submit(lambda: run.theirs)
        ours, theirs = run.ours, inspected.result()
    for side, facts in (("source", theirs), ("target", ours)):
        if facts["multisite"]:
            raise NetworkUnsupported(f"The {side} is a WordPress network (multisite), which can not be restored yet.")
    run.state["drift"] = versions(theirs, ours, clone=run.command.clone_id is not None)
    _rights(run, ours)
    chosen = run.selection
    run.context.report(message=f"{len(chosen.pairs)} tables to compare, {len(chosen.kept)} stay as they are")


def versions(source: dict[str, Any], target: dict[str, Any], *, clone: bool) -> list[str]:
    """Differences of versions, one sentence each. Raises VersionMismatch when the databases do not fit together.

    `clone`: the source is one of ours, which has no network to get an update from.
    """
    here, there = source["versions"], target["versions"]
    if here["wordpress_db"] != there["wordpress_db"]:
        mismatch = VersionMismatch(
            f"The source runs WordPress {here['wordpress']}, the target {there['wordpress']}; "
            "their databases are built differently.",
            source=here["wordpress"],
            target=there["wordpress"],
        )
        if clone and _number(there["wordpress_db"]) > _number(here["wordpress_db"]):
            mismatch.hint = "Production was updated since: make a new clone of it, and restore that one."
        raise mismatch
    found = []
    for name, title in (("wordpress", "WordPress"), ("php", "PHP")):
        if here[name].rpartition(".")[0] != there[name].rpartition(".")[0]:
            found.append(f"{title} is {here[name]} on the clone, {there[name]} in production.")
    one, other = source["database"], target["database"]
    if (one["flavour"], one["version"].split(".")[:2]) != (other["flavour"], other["version"].split(".")[:2]):
        found.append(
            f"The database is {one['flavour']} {one['version']} on the clone, "
            f"{other['flavour']} {other['version']} in production."
        )
    return found


def _number(told: object) -> int:
    text = str(told)[:12]
    return int(text) if text.isdecimal() else 0


def _rights(run: RestoreRun, ours: dict[str, Any]) -> None:
    missing = [name.upper() for name, may in (ours.get("privileges") or {}).items() if not may]
    if missing and run.selection.pairs:
        raise TargetNoPrivilege(f"The target's database account may not {', '.join(missing)} tables.")
    kept = set(run.bases_kept)
    closed = [name for name, may in (ours.get("writable_bases") or {}).items() if not may and name not in kept]
    if closed and not run.command.dry_run:
        raise TargetReadOnly(f"The target's {', '.join(closed)} can not be written.", bases=closed)
