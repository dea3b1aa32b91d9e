"""The plan: which rows and files differ, what a restore does about each, and what production would lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from services.restorer.domain import paths
from services.restorer.domain.diff import Act
from services.restorer.domain.tables import Pair, refuse_tied
from services.restorer.errors import ProductionWouldLose
from services.restorer.run import RestoreRun
from services.restorer.steps.compare import TableComparison
from services.restorer.work import FilesWork, TableWork, Work
from shared.contract.jobs import FolderPlan, Loss, Note, RestorePlan, TablePlan
from shared.wordpress.connector.target import BASES, FileDigest

GROUP_ROWS = 200_000
"""Rows of tables whose digests are held at the same time."""
MAX_SAMPLES = 50


def plan(run: RestoreRun) -> None:
    """Compare everything. Raises ProductionWouldLose unless the loss was accepted or this is a dry run."""
    work = ensure_planned(run)
    run.state["plan"] = work.plan.model_dump(mode="json")
    run.state["nothing"] = work.empty
    _tell(run, work)
    changed = sum(table.plan.add + table.plan.change + table.plan.remove for table in work.tables)
    files = len(work.files.puts) + len(work.files.removes)
    run.context.report(message=f"{changed:,} rows and {files:,} files to change")


def ensure_planned(run: RestoreRun) -> Work:
    """The plan of this process, made when there is none."""
    if run.work is None:
        run.work = _compute(run)
    return run.work


def _compute(run: RestoreRun) -> Work:
    run.state["planned_at"] = datetime.now(UTC).isoformat()
    losses: list[Loss] = []
    with ThreadPoolExecutor(1, thread_name_prefix="files") as beside:
        comparing = beside.submit(_files, run)  # disks work while databases do
        tables = _tables(run, losses)
        files, folders = comparing.result()
    plans = [table.plan for table in tables]
    plans += [TablePlan(table=name, action="keep", reason=why) for name, why in sorted(run.selection.kept.items())]
    counts: dict[str, int] = {}
    for loss in losses:
        counts[loss.what] = counts.get(loss.what, 0) + 1
    result = RestorePlan(
        tables=plans,
        folders=folders,
        losses=counts,
        loss_samples=losses[:MAX_SAMPLES],
        drift=[*run.state.get("drift", []), *run.selection.drift, *_warnings(run, tables)],
        base=run.base is not None,
    )
    if not run.command.dry_run:
        refuse_tied(run.selection, [table.pair.live for table in tables if table.changes])
    if losses and not run.command.accept_loss and not run.command.dry_run:
        raise _refusal(result)
    return Work(tables, files, result)


def _warnings(run: RestoreRun, tables: Sequence[TableWork]) -> list[str]:
    """What a person should know before the exchange."""
    tied = [table.pair.live for table in tables if table.changes and table.pair.live in run.selection.tied]
    told = [f"{name}: foreign keys or triggers tie it, so a restore that changes it is refused." for name in tied]
    return told + [f"{table.pair.live}: {what}" for table in tables for what in table.shorter]


def _tell(run: RestoreRun, work: Work) -> None:
    """Notes of the result, of a dry run as well."""
    apart = run.selection.apart
    if apart:
        text = "Tables built differently on the two sites: production's stay, the clone's rows stay behind"
        run.context.note(Note(code="tables_stay_behind", message=text, count=len(apart), samples=apart[:20]))
    shorter = [f"{table.pair.live}: {what}" for table in work.tables for what in table.shorter]
    if shorter:
        text = "Values of production that become shorter: the clone's are cut at the limit of their column"
        run.context.note(Note(code="values_shorter", message=text, count=len(shorter), samples=shorter[:20]))
    if work.files.kept:
        text = "Media of production that stay: the clone has others of the same name, and never had production's"
        kept, count = sorted(work.files.kept), len(work.files.kept)
        run.context.note(Note(code="media_kept", message=text, count=count, samples=kept[:20]))
    if run.media_elsewhere:
        text = "Pictures and documents that stayed on the clone's source are not brought to another site"
        run.context.note(Note(code="media_not_brought", message=text, samples=[run.media_elsewhere]))
    kept = sorted({name for table in work.tables for name in table.identity})
    if kept:
        text = "Options in which a plugin remembers the site's address: production's stay"
        run.context.note(Note(code="identity_kept", message=text, count=len(kept), samples=kept[:20]))


def _refusal(result: RestorePlan) -> ProductionWouldLose:
    total = sum(result.losses.values())
    parts = ", ".join(f"{count} {_plural(what, count)}" for what, count in sorted(result.losses.items()))
    return ProductionWouldLose(
        f"Production has {parts} that this restore would take away." if total else None,
        losses=result.losses,
        samples=[loss.model_dump(mode="json") for loss in result.loss_samples],
    )


def _plural(what: str, count: int) -> str:
    return what if count == 1 else {"entry": "entries"}.get(what, f"{what}s")


def _tables(run: RestoreRun, losses: list[Loss]) -> list[TableWork]:
    pairs = run.selection.pairs
    total, done, found = sum(pair.rows for pair in pairs), 0, []
    with ThreadPoolExecutor(1, thread_name_prefix="clone") as beside:
        for group in _groups(pairs):
            comparisons = [TableComparison(run, pair, losses) for pair in group]
            theirs = _digests(run, [pair.source for pair in group], target=False)
            if sum(pair.rows for pair in group) <= GROUP_ROWS:  # they can wait in memory: both sites read at once
                waiting = beside.submit(list, theirs)
                _production(run, group, comparisons)
                theirs = iter(waiting.result())
            else:
                _production(run, group, comparisons)
            by_name = {one.pair.source.name: one for one in comparisons}
            for name, block in theirs:
                done += by_name[name].clone(block)
                run.context.report(done=done, total=max(total, done), unit="rows", message=f"Comparing {name}")
            found += [one.finish() for one in comparisons]
    return found


def _production(run: RestoreRun, group: Sequence[Pair], comparisons: Sequence[TableComparison]) -> None:
    by_name = {one.pair.live: one for one in comparisons}
    for name, block in _digests(run, [pair.target for pair in group if pair.target], target=True):
        by_name[name].production(block)


def _digests(run: RestoreRun, tables: Sequence[object], *, target: bool) -> Iterator[tuple[str, bytes]]:
    side = run.writer if target else run.reader
    if tables:
        for item in side.digest_rows(tables):  # type: ignore[arg-type]
            run.token.check()
            yield item


def _groups(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Tables of about so many rows together: fewer requests for small ones, bounded memory for large ones."""
    group: list[Pair] = []
    rows = 0
    for pair in pairs:
        if group and rows + pair.rows > GROUP_ROWS:
            yield group
            group, rows = [], 0
        group.append(pair)
        rows += pair.rows
    if group:
        yield group


def _files(run: RestoreRun) -> tuple[FilesWork, list[FolderPlan]]:
    options, kept = run.command.options, run.bases_kept
    names = [base for base in BASES if base not in kept]
    skip = paths.skip_rules(options)
    here = {
        (found.base, found.path): found
        for found in run.writer.digest_files(names, skip)
        if isinstance(found, FileDigest) and paths.wanted(found.base, found.path, options)
    }
    work, folders = FilesWork(), _Folders()
    for found in run.reader.digest_files(names, skip):
        run.token.check()
        run.context.moved()
        if not isinstance(found, FileDigest) or found.md5 is None:
            continue
        if paths.wanted(found.base, found.path, options):
            _clone_file(run, found, here.pop((found.base, found.path), None), work, folders)
    for old in here.values():
        verdict = paths.file(old.md5, None, _base(run, old), base_known=run.base is not None)
        where = folders.of(old)
        if verdict.act is Act.REMOVE:
            work.removes.append(old.name)
            work.rebased[old.base, old.path] = None
            where.remove += 1
        else:
            where.production_only += 1
    result = [FolderPlan(folder=base, action="keep", reason=why) for base, why in kept.items()]
    return work, [*result, *folders.plans()]


def _clone_file(run: RestoreRun, new: FileDigest, old: FileDigest | None, work: FilesWork, folders: _Folders) -> None:
    base, known = _base(run, new), run.base is not None
    never = base is None and run.never_came(new.base, new.path)
    verdict = paths.file(old.md5 if old else None, new.md5, base, base_known=known, never_came=never)
    where = folders.of(new)
    if verdict.lost:
        where.production_only += 1
        work.kept.append(new.name.path.decode("utf-8", "backslashreplace"))
        return
    if verdict.act is Act.NOTHING:
        where.same += 1
        if base != new.md5:
            work.rebased[new.base, new.path] = new.md5
        return
    work.puts.append(new)
    work.bytes += new.size
    where.bytes += new.size
    if old is None:
        where.add += 1
    else:
        where.change += 1
        work.there[new.base, new.path] = old.md5 or ""


def _base(run: RestoreRun, file: FileDigest) -> str | None:
    return run.base.files.get((file.base, file.path)) if run.base is not None else None


class _Folders:
    """Plans by folder."""

    def __init__(self) -> None:
        self._found: dict[str, FolderPlan] = {}

    def of(self, file: FileDigest) -> FolderPlan:
        """The plan a file is counted in."""
        name = paths.folder(file.base, file.path)
        return self._found.setdefault(name, FolderPlan(folder=name, action="keep"))

    def plans(self) -> list[FolderPlan]:
        """All, by name."""
        for plan in self._found.values():
            plan.action = "change" if plan.add or plan.change or plan.remove else "keep"
        return [self._found[name] for name in sorted(self._found)]
