"""Proof that what is staged is what was sent, before anything is exchanged."""

from __future__ import annotations

from services.restorer.errors import StagedDiffers
from services.restorer.run import RestoreRun
from services.restorer.steps.stage import ensure_files
from services.restorer.work import TableWork
from shared.jobs import Note
from shared.wordpress.connector.target import TableRead
from shared.wordpress.connector.writer import split_digest


def verify(run: RestoreRun) -> None:
    """Read every staged table back. Raises StagedDiffers with the table's name."""
    work = ensure_files(run)
    tables = {run.writer.staged_name(table.number): table for table in work.changed}
    proofs = {name: _Proof(table) for name, table in tables.items()}
    reads = [
        TableRead(name, table.pair.source.columns, table.pair.key, table.pair.target.where if table.pair.target else ())
        for name, table in tables.items()
    ]
    if reads:
        rows = 0
        for name, block in run.writer.digest_rows(reads):
            run.token.check()
            rows += proofs[name].look(block)
            run.context.report(done=rows, unit="rows", message=f"Verifying {tables[name].pair.live}")
    for proof in proofs.values():
        proof.conclude()
    if run.state.get("leftovers"):
        text = "Places that still name the clone's address"
        where = [table.pair.live for table in work.tables if table.leftovers]
        run.context.note(Note(code="leftovers", message=text, count=run.state["leftovers"], samples=where[:20]))


class _Proof:
    """What must be found in one staged table."""

    def __init__(self, table: TableWork) -> None:
        self._table = table
        self._missing = dict(table.written)
        self._gone = set(table.deletes)
        self._lines = 0

    def look(self, block: bytes) -> int:
        lines = block.split(b"\n")[:-1]
        self._lines += len(lines)
        if self._table.pair.key:
            for line in lines:
                key, value = split_digest(line)
                if self._missing.get(key) == bytes.fromhex(value.decode()):
                    del self._missing[key]
                elif key in self._gone:
                    self._missing[key] = b""
        return len(lines)

    def conclude(self) -> None:
        pair = self._table.pair
        expected = self._table.spool.lines if not pair.key else 0
        # the list of active plugins is not among what is read back of options
        wrong = {key for key in self._missing if pair.short != "options" or key != b"active_plugins"}
        if wrong or (expected and expected != self._lines):
            keys = [key.decode("utf-8", "backslashreplace") for key in sorted(wrong)[:10]]
            raise StagedDiffers(
                f"{pair.live}: {len(wrong) or abs(expected - self._lines)} staged rows are not what was sent.",
                table=pair.live,
                keys=keys,
            )
