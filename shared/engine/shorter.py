"""Events that fit into one message, whatever a job has to tell."""

from __future__ import annotations

from collections.abc import Callable

from shared.contract.jobs import CloneResult, ErrorInfo, Job, Note, RestoreResult, Result

LARGEST = 800_000
"""Bytes of an event; the server takes messages of 1 MB, headers included."""
KEPT = 300
SAMPLES = 5


def fitting(job: Job) -> Job:
    """The job, told in less detail when it would not fit; a note says so."""
    for shorten in (_fewer_samples, _shorter_plan, _no_details):
        if len(job.model_dump_json(exclude_none=True)) <= LARGEST:
            return job
        job = shorten(job)
    return job


def _told(result: Result) -> list[Note]:
    text = "The job has more to tell than one message holds; lists were cut"
    return [*(note for note in result.notes if note.code != "told_shorter"), Note(code="told_shorter", message=text)]


def _fewer_samples(job: Job) -> Job:
    if job.result is None:
        return job
    notes = [note.model_copy(update={"samples": note.samples[:SAMPLES]}) for note in job.result.notes]
    shorter = job.result.model_copy(update={"notes": notes})
    return job.model_copy(update={"result": shorter.model_copy(update={"notes": _told(shorter)})})


def _shorter_plan(job: Job) -> Job:
    """What changes is told before what stays."""
    result = job.result
    if isinstance(result, CloneResult):
        columns = dict(sorted(result.rewritten_columns.items(), key=lambda pair: -pair[1])[:KEPT])
        first_ids = dict(list(result.first_ids.items())[:KEPT])
        cut: dict[str, object] = {"rewritten_columns": columns, "first_ids": first_ids}
        return job.model_copy(update={"result": result.model_copy(update=cut)})
    if not isinstance(result, RestoreResult) or result.plan is None:
        return job
    plan = result.plan
    changes: Callable[[object], bool] = lambda entry: getattr(entry, "action", "keep") == "keep"  # noqa: E731
    cut = {
        "tables": sorted(plan.tables, key=changes)[:KEPT],
        "folders": sorted(plan.folders, key=changes)[:KEPT],
        "loss_samples": plan.loss_samples[:KEPT],
        "drift": plan.drift[:KEPT],
    }
    return job.model_copy(update={"result": result.model_copy(update={"plan": plan.model_copy(update=cut)})})


def _no_details(job: Job) -> Job:
    """The last resort: what an error gave beside its sentence."""
    if job.error is None:
        return job
    error = ErrorInfo(code=job.error.code, message=job.error.message[:2000], hint=job.error.hint)
    return job.model_copy(update={"error": error})
