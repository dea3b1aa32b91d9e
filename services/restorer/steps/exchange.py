"""The exchange itself, and the way back."""

from __future__ import annotations

from dataclasses import replace

from services.restorer.errors import RestoreRolledBack, SnapshotGone
from services.restorer.run import RestoreRun
from services.restorer.steps.stage import ensure_files, options_kept
from services.restorer.work import Work
from shared.contract.jobs import Note
from shared.errors import JobError
from shared.wordpress.connector.errors import StageLost
from shared.wordpress.connector.target import LateRows, RolledBack, Swapped, SwapPhase, SwapPlan

LIVE = frozenset({SwapPhase.SWAPPED, SwapPhase.SWAPPING, SwapPhase.ROLLING_BACK})
"""The snapshot is needed."""


def swap(run: RestoreRun) -> None:
    """Exchange everything at once, unless a worker before us did; what it took goes into the state."""
    run.context.report(message="Exchanging tables and files")
    state = run.writer.state()
    if state.state is SwapPhase.ROLLED_BACK:
        raise RestoreRolledBack("The target was rolled back while this restore ran.")
    if state.state is SwapPhase.SWAPPED and state.swapped is not None:
        _remember(run, state.swapped)
        return
    work = ensure_files(run)
    try:
        done = run.writer.swap(_plan(run, work))
    except StageLost:
        # Somebody tidied the target between two steps: nothing was exchanged, so it is all staged once more.
        run.forget_work()
        done = run.writer.swap(_plan(run, ensure_files(run)))
    _remember(run, done)


def undo(run: RestoreRun) -> None:
    """Take the exchange back, if it happened."""
    if run.writer.state().state in LIVE:
        run.writer.rollback()


def drop_stage(run: RestoreRun) -> None:
    """Remove what is staged, and our directory. Never while the snapshot is needed."""
    if run.writer.state().state in LIVE:
        raise RuntimeError("the exchange could not be taken back, so its snapshot stays")
    run.writer.drop(snapshot=True)


def roll_back(run: RestoreRun) -> RolledBack:
    """The target as it was before the restore. Raises SnapshotGone."""
    run.context.report(message="Rolling back")
    state = run.writer.state()
    if state.state in {SwapPhase.NONE, SwapPhase.STAGED}:
        raise SnapshotGone
    done = run.writer.rollback()
    _note_late(run, done.late, "Rows that came to production since the restore and stay")
    run.state["swap"] = {"rename_ms": done.rename_ms, "late_rows": done.late.rows, "tables": state.tables}
    run.state["files"] = state.files
    return done


def roll_back_and_tell(run: RestoreRun) -> dict[str, float]:
    """`roll_back`, and how long it took, in milliseconds."""
    done = roll_back(run)
    return {"rename_ms": done.rename_ms, "total_ms": done.total_ms}


def drop_snapshot(run: RestoreRun) -> bool:
    """Remove the snapshot from the target; False when it was not there any more."""
    if run.writer.state().state is SwapPhase.NONE:
        return False
    run.writer.drop(snapshot=True)
    return True


def forget_stage(run: RestoreRun) -> None:
    """Remove whatever of ours is left on the target."""
    run.writer.drop(snapshot=True)


def measure(run: RestoreRun) -> None:
    """How much room the way back takes, as the target says; not worth failing for."""
    try:
        mine = [found for found in run.writer.snapshots() if found.restore == run.snapshot_id]
    except JobError:
        return
    run.state["snapshot_bytes"] = sum(found.bytes for found in mine)


def _plan(run: RestoreRun, work: Work) -> SwapPlan:
    plan = work.swap_plan()
    return replace(plan, options=options_kept(run, work))


def _remember(run: RestoreRun, done: Swapped) -> None:
    run.state["swap"] = {
        "rename_ms": done.rename_ms,
        "files_ms": done.files_ms,
        "tables": done.tables,
        "files": done.files,
        "late_rows": done.late.rows,
    }
    _note_late(run, done.late, "Rows that came to production during the restore, carried over")


def _note_late(run: RestoreRun, late: LateRows, text: str) -> None:
    if late.rows:
        samples = [f"{table}: {rows}" for table, rows in sorted(late.by_table.items())]
        run.context.note(Note(code="late_rows", message=text, count=late.rows, samples=samples[:20]))
    if late.skipped:
        samples = [f"{table}: {rows}" for table, rows in sorted(late.skipped.items())]
        why = "Rows that came meanwhile and could not be carried over: their keys were taken"
        run.context.note(Note(code="late_rows_skipped", message=why, count=sum(late.skipped.values()), samples=samples))
