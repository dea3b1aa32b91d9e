"""Files and database: both streams run at the same time, each in a carrier of its own; each step waits for its own.

The database's stream is started with the files' (they use different resources on both sides) and belongs to the
database step; whichever fails stops the other, and both can be taken up again where they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from services.cloner.run import CloneRun
from services.cloner.steps.base import ROWS, ROWS_NOW, ROWS_PROVED, file_digests, remembered, row_digests
from shared.contract.jobs import Note
from shared.log import get
from shared.wordpress.connector.protocol import Frame
from shared.wordpress.connector.skips import file_rule_params
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.rewrite import ColumnRule, Mode, RewriteReport
from shared.wordpress.transfer.changes import CatchUp
from shared.wordpress.transfer.database import Loader, Table, restart_point
from shared.wordpress.transfer.ddl import transactional
from shared.wordpress.transfer.digests import RowDigests
from shared.wordpress.transfer.errors import DuplicateFound, NothingNew, TargetRefused
from shared.wordpress.transfer.files import Received, receive
from shared.wordpress.transfer.fitting import Fitting, Kept
from shared.wordpress.transfer.proof import Proof

log = get(__name__)

BUDGET = 10.0
"""Seconds one response of the connector may take; a cursor is durable after each."""
MAX_BYTES = 256 * 1024 * 1024
STALLED = 3
"""Responses without any advance before the transfer counts as stuck."""
GROWTH, MORE_BYTES, MORE_FILES = 2, 1 << 30, 20_000
"""How much more than it announced a site may send: it is written to meanwhile."""


def pull_files(run: CloneRun) -> None:
    """Copy every file of the plan. Resumes at the last durable cursor."""
    state, plan = run.state, run.plan
    received = Received(**state.get("received", {}))
    digests = file_digests(run)
    sink = run.target.sink(plan.arrangement, received, digests)
    params, on_frame, advance = file_params(run), files_reported(run, received), Advance()
    with closing(digests), closing(sink):
        while not state.get("files_done"):
            frames = run.connector.stream("files.stream", {**params, "cursor": state.get("files_cursor")})
            end = receive(frames, sink, on_frame=on_frame)
            advance.check(end["cursor"], received.size, received.files, received.links)
            check_announced(received, state["totals"])
            if end["done"]:
                sink.settle()
            state["files_cursor"], state["files_done"] = end["cursor"], end["done"]
            state["received"], state["base_files"] = asdict(received), digests.place()
            run.context.save()
    note_files(run, received)


def file_params(run: CloneRun) -> dict[str, Any]:
    """Which files the connector is asked for."""
    return {"roots": list(run.plan.roots), "skip": file_rule_params(run.file_rules), **_limits(run)}


def files_reported(run: CloneRun, received: Received) -> Callable[[], None]:
    """To be called often while files come: looks whether to stop, and reports."""
    total = run.state["totals"]["bytes"]

    def on_frame() -> None:
        run.token.check()
        run.context.report(done=received.size, total=max(total, received.size), unit="bytes")

    return on_frame


def rows_reported(run: CloneRun, loader: Loader) -> Callable[[], None]:
    """The same while rows come, which they do thousands of times a second."""
    last = 0.0

    def on_rows() -> None:
        nonlocal last
        if (now := time.monotonic()) - last > 0.05:
            last = now
            run.token.check()
            run.context.report(done=loader.rows, unit="rows")

    return on_rows


class Advance:
    """Whether answers still bring something. Raises NothingNew after `STALLED` in a row that did not."""

    def __init__(self) -> None:
        self._last: tuple[Any, ...] = ()
        self._same = 0

    def check(self, *place: Any) -> None:
        """Where the transfer is after an answer."""
        self._same = self._same + 1 if place == self._last else 0
        self._last = place
        if self._same >= STALLED:
            raise NothingNew


def check_announced(received: Received, totals: dict[str, Any]) -> None:
    """A site may grow while it is copied, but not without end. Raises ImplausibleSite."""
    if received.size > GROWTH * totals["bytes"] + MORE_BYTES or received.files > GROWTH * totals["files"] + MORE_FILES:
        text = f"The site announced {totals['files']} files of {totals['bytes']} bytes, and sends many more."
        raise ImplausibleSite(text, files=received.files, bytes=received.size)


def copy_database(run: CloneRun) -> None:
    """Load every table of the plan. Resumes behind the last committed row."""
    rewriting = RowRewriting(run)
    loader = Loader(run.target.connect, run.plan.tables, rewriting, rewriting.facts)
    on_rows = rows_reported(run, loader)
    try:
        tables, cursor = _begin(run, loader, rewriting)
        try:
            stream_tables(run, loader, rewriting, tables, cursor, on_rows)
        except DuplicateFound:
            loader.careful = True  # once more from the last commit, so that the server names the value
            tables, cursor = _begin(run, loader, rewriting)
            stream_tables(run, loader, rewriting, tables, cursor, on_rows)
        complete(run, loader, rewriting, on_rows)
        run.context.report(done=loader.rows, unit="rows")
    finally:
        rewriting.close()
        loader.close()


def complete(run: CloneRun, loader: Loader, rewriting: RowRewriting, on_rows: Any) -> None:
    """Once every row has come: prove them, make views, and tell what there is to tell."""
    assert rewriting.digests is not None
    _prove(run, loader, rewriting, on_rows)
    if rewriting.answers > 1 and rewriting.digests.position() is not None:
        _catch_up(run, loader, rewriting, on_rows)
    loader.count()
    _make_views(run, loader)
    if loader.simplified:
        text = "Tables made without some keys, checks or defaults, which the clone's server refuses"
        told = [f"{name}: {why}" for name, why in sorted(loader.simplified.items())]
        run.context.note(Note(code="definitions_simplified", message=text, count=len(told), samples=told[:20]))
    if loader.gone:
        text = "Tables that vanished from the source while it was copied"
        run.context.note(Note(code="tables_gone", message=text, count=len(loader.gone), samples=loader.gone[:20]))
    run.state["rewritten"], run.state["base_rows"] = rewriting.counts(), rewriting.digests.position()
    _note_left_alone(run, rewriting.left())
    _note_kept(run, rewriting)


def _begin(run: CloneRun, loader: Loader, rewriting: RowRewriting) -> tuple[Sequence[Table], dict[str, Any] | None]:
    """Make the tables, or take up what an earlier attempt had committed: what is still to load, and from where."""
    plan, position = run.plan, loader.open()
    rewriting.close()
    rewriting.go_on(position["facts"] if position else {})
    tables, cursor = restart_point([table for table in plan.tables if table.with_rows], position)
    rewriting.digests = row_digests(run, position, tables[0].name if tables and not cursor else None)
    if position is None:
        for table in plan.tables:
            run.token.check()
            loader.create(table)
        loader.commit_position(None)
    for table in tables if position else ():
        if not transactional(table.engine) or (table.unique and table is tables[0]):
            loader.create(table)  # what it holds was not rolled back with the position
    return tables, cursor


def stream_tables(
    run: CloneRun, loader: Loader, rewriting: RowRewriting, tables: Any, cursor: Any, on_rows: Any
) -> None:
    """Load these tables, the first from behind the cursor."""
    params, advance = {"tables": [_wire(table) for table in tables], **_limits(run)}, Advance()
    while tables:
        rewriting.answers += 1
        frames: Iterator[Frame] = run.connector.stream("db.stream", {**params, "cursor": cursor})
        end = loader.receive(frames, on_rows=on_rows)
        if end["done"]:
            return
        cursor = end["cursor"]
        advance.check(cursor, loader.rows)


def _prove(run: CloneRun, loader: Loader, rewriting: RowRewriting, check: Any) -> None:
    """What was sent is what is stored, or it is told what is not."""
    records = run.target.records
    known = records / ROWS if rewriting.digests and rewriting.digests.position() is not None else None
    proof = Proof(run.connector, loader, rewriting.rewrite, prefix=run.plan.config.prefix, check=check)
    with closing(run.target.connect()) as connection:
        found = proof.run(connection, known, records / ROWS_PROVED)
    run.state["base_proved"] = not found.same and known is not None
    made = loader.made_otherwise()
    if not found.same or made:
        samples = [*found.changed.samples(), *(f"{name}: {how}" for name, how in sorted(found.unnamed.items())), *made]
        text = "Values that the clone's server does not store as the source does"
        count = found.changed.count + len(found.unnamed) + len(made)
        run.context.note(Note(code="values_changed", message=text, count=count, samples=samples[:20]))


def _catch_up(run: CloneRun, loader: Loader, rewriting: RowRewriting, check: Any) -> None:
    """One answer is one snapshot of the source; rows that changed between several are brought over once more."""
    records = run.target.records
    again = CatchUp(run.connector, loader, rewriting.rewrite, prefix=run.plan.config.prefix, check=check)
    found = again.run(records / remembered(run.state), records / ROWS_NOW)
    loader.commit_position(None, done=True)
    run.state["base_caught_up"] = True
    if found.changed or found.gone:
        text = "Rows that changed on the source while it was copied, brought over afterwards"
        run.context.note(Note(code="rows_caught_up", message=text, count=found.changed + found.gone))
    if found.left:
        text = "Tables that could not be read again: what changed in them while they were copied may be missing"
        note = Note(code="rows_not_caught_up", message=text, count=len(found.left), samples=found.left[:20])
        run.context.note(note)


def _wire(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "columns": [{"name": column.name, "type_class": column.type_class} for column in table.columns],
        "key": list(table.key),
        "where": list(table.where),
    }


def _limits(run: CloneRun) -> dict[str, Any]:
    """How much one answer of the connector may bring."""
    return {"budget": BUDGET, "max_bytes": MAX_BYTES, "compress": run.compress}


def _make_views(run: CloneRun, loader: Loader) -> None:
    """Views may read from views, in no particular order: go round while a round makes at least one."""
    waiting, problems = list(run.plan.views), {}
    while waiting:
        left = []
        for name, statement in waiting:
            try:
                loader.execute(statement, f"making view {name}")
            except TargetRefused as error:
                left.append((name, statement))
                problems[name] = error.message
        if len(left) == len(waiting):
            break
        waiting = left
    if waiting:
        samples = [problems[name] for name, _ in waiting]
        note = Note(code="views_not_made", message="Views that could not be made", count=len(waiting), samples=samples)
        run.context.note(note)


class RowRewriting:
    """Rewrites the rows of one table after the other, and remembers what they were."""

    def __init__(self, run: CloneRun) -> None:
        self._rewriter = run.rewriter
        self.digests: RowDigests | None = None
        self._rules: dict[str, list[ColumnRule]] = {}
        self.answers = 0
        """Answers of the source so far, by every attempt."""
        self.earlier: dict[str, Any] = {}
        """What attempts before this one had rewritten up to the position we began at."""
        self.too_long = Kept()
        """Values that stayed the source's because their columns can not hold the clone's."""
        self.twice = Kept()
        """Values that stayed the source's because another row has the clone's in a key that allows it once."""
        self._fittings: dict[str, Fitting] = {}

    def go_on(self, facts: dict[str, Any]) -> None:
        """Take up what an earlier attempt had committed."""
        self.earlier = facts
        self._rewriter.report = RewriteReport()  # what an attempt in this process counted is in the facts, or undone
        self.answers = facts.get("answers", 0)
        self.too_long, self.twice = Kept(facts.get("too_long")), Kept(facts.get("twice"))
        self._fittings = {}

    def counts(self) -> dict[str, dict[str, int]]:
        """Occurrences by kind of spelling, changed values by `table.column`."""
        report = self._rewriter.report
        columns = {f"{table}.{column}": counts.changed for (table, column), counts in report.columns.items()}
        return {
            "kinds": _added(self.earlier.get("kinds", {}), dict(report.total.kinds)),
            "columns": _added(self.earlier.get("columns", {}), {name: n for name, n in columns.items() if n}),
        }

    def left(self) -> RewriteReport:
        """What was left alone by every attempt."""
        return RewriteReport.of_left(self.earlier.get("left", {})) + self._rewriter.report

    def facts(self) -> dict[str, Any]:
        """What is stored beside a committed row."""
        base = self.digests.position() if self.digests else None
        kept = {"too_long": self.too_long.facts(), "twice": self.twice.facts(), "left": self.left().left_facts()}
        return {**self.counts(), "answers": self.answers, "base": base, **kept}

    def close(self) -> None:
        """Let go of what is remembered."""
        if self.digests:
            self.digests.close()

    def __call__(self, table: Table, rows: bytes) -> bytes:
        """Whole rows in, whole rows out."""
        loaded = self.rewrite(table, rows)
        if self.digests:
            self.digests.add(table, rows, loaded)
        return loaded

    def rewrite(self, table: Table, rows: bytes) -> bytes:
        """The same, remembering nothing."""
        rules = self._rules.get(table.name)
        if rules is None:
            rules = [ColumnRule(column.name, Mode.REWRITE if column.rewrite else Mode.KEEP) for column in table.columns]
            self._rules[table.name] = rules
        if table.name not in self._fittings:
            names, limits = [c.name for c in table.columns], [c.limit if c.rewrite else None for c in table.columns]
            self._fittings[table.name] = Fitting(table.name, names, limits, table.key, table.unique)
        loaded = self._rewriter.rewrite_tsv(rows, rules, table=table.name)
        return self._fittings[table.name].fit(rows, loaded, self.too_long, self.twice)


def _added(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in sorted({*left, *right})}


def _note_kept(run: CloneRun, rewriting: RowRewriting) -> None:
    """Values that are the source's still, for reasons of their columns."""
    for code, kept, text in (
        (
            "left_too_long",
            rewriting.too_long,
            "Values left as they are: their columns can not hold the clone's address",
        ),
        ("left_twice", rewriting.twice, "Values left as they are: with the clone's address a key would be there twice"),
    ):
        if kept.count:
            run.context.note(Note(code=code, message=text, count=kept.count, samples=kept.samples()[:20]))


def _note_left_alone(run: CloneRun, report: RewriteReport) -> None:
    for reason, count in sorted(report.total.left.items()):
        places = [f"{s.table}.{s.column} row {s.row}" for s in report.samples if s.reason == reason]
        text = f"The source's address was left as it is ({reason.replace('_', ' ')})"
        run.context.note(Note(code=f"left_{reason}", message=text, count=count, samples=places))


def note_files(run: CloneRun, received: Received) -> None:
    """What is not as it was on the source."""
    words = {
        "changed_while_read": "Files that changed while they were copied",
        "symlink_outside": "Links that lead outside of the site, not made",
        "mode_reduced": "Files copied without their set-user-id or set-group-id bit",
    }
    for reason, count in received.counts.items():
        samples = received.warnings[reason][:20]
        text = words.get(reason, f"Files not copied ({reason})")
        run.context.note(Note(code=f"files_{reason}", message=text, count=count, samples=samples))
    if received.quarantined:
        held = received.quarantined
        text = "Drop-ins and host plugins kept in quarantine"
        run.context.note(Note(code="files_quarantined", message=text, count=len(held), samples=held[:20]))
