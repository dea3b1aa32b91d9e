"""Proof that what is staged is what was sent, before anything is exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from services.restorer.domain.stored import same_but_for_json
from services.restorer.errors import StagedDiffers
from services.restorer.run import RestoreRun
from services.restorer.steps.rows import KEYS, Mover, digest
from services.restorer.steps.stage import ensure_files
from services.restorer.work import TableWork
from shared.contract.jobs import Note
from shared.wordpress.connector.target import TableRead
from shared.wordpress.connector.writer import split_digest

FEW = 10
"""Rows are asked for by key where at most one of so many was written."""


def verify(run: RestoreRun) -> None:
    """Read back what was written to staged tables. Raises StagedDiffers with the table's name."""
    work = ensure_files(run)
    rows = 0
    for table in work.changed:
        run.context.report(message=f"Verifying {table.pair.live}")
        proof = _Proof(table)
        for lines in _read_back(run, table):
            run.token.check()
            rows += proof.look(lines)
            run.context.report(done=rows, unit="rows")
        if proof.wrong and (places := _json_places(run, table)):
            _accept_written_anew(run, table, proof, places)
        proof.conclude()
    if run.state.get("leftovers"):
        text = "Places that still name the clone's address"
        where = [place for table in work.tables for place in table.left_at]
        run.context.note(Note(code="leftovers", message=text, count=run.state["leftovers"], samples=where[:20]))


def _read_back(run: RestoreRun, table: TableWork) -> Iterator[list[bytes]]:
    """Digests of the rows that were written, or of all where that is most of them or where nothing tells them apart.

    What the staged table has of production itself its server has copied.
    """
    pair = table.pair
    where = pair.target.where if pair.target else ()
    staged = TableRead(run.writer.staged_name(table.number), pair.source.columns, pair.key, where)
    touched = [*table.written, *table.deletes]
    if not pair.key or len(touched) * FEW > table.copied + len(touched):
        for _, block in run.writer.digest_rows([staged]):
            yield block.split(b"\n")[:-1]
        return
    mover = Mover(run, pair)
    rows = run.writer.fetch_rows(staged, touched)
    while lines := [mover.key(line) + b"\t" + digest(line).hex().encode() for line in islice(rows, KEYS)]:
        yield lines


def _json_places(run: RestoreRun, table: TableWork) -> frozenset[int]:
    """Which of the columns that travel are MySQL's JSON in production, which stores what a document means."""
    known = next((each for each in run.ours["tables"] if each["name"] == table.pair.live), None)
    names = {column["name"] for column in known["columns"] if column["type_class"] == "json"} if known else set()
    return frozenset(place for place, name in enumerate(table.pair.columns) if name in names)


def _accept_written_anew(run: RestoreRun, table: TableWork, proof: _Proof, places: frozenset[int]) -> None:
    """Rows that differ in the text of their JSON alone are right; it is remembered as production's server wrote it."""
    mover, pair, wrong = Mover(run, table.pair), table.pair, proof.wrong
    sent = {key: line for line in table.spool if (key := mover.key(line)) in wrong}
    staged = TableRead(run.writer.staged_name(table.number), pair.source.columns, pair.key, ())
    for line in run.writer.fetch_rows(staged, sent):
        key = mover.key(line)
        if key in sent and same_but_for_json(sent[key], line, places):
            proof.allow(key)
            table.rebased[key] = digest(line)
    accepted = sent.keys() - proof.wrong
    for line in run.reader.fetch_rows(pair.source, accepted):
        table.apart[mover.key(line)] = digest(line)


class _Proof:
    """What must be found in one staged table."""

    def __init__(self, table: TableWork) -> None:
        self._table = table
        self._missing = dict(table.written)
        self._gone = set(table.deletes)
        self._lines = 0

    def look(self, lines: list[bytes]) -> int:
        """Digests of rows as the connector sends them; how many."""
        self._lines += len(lines)
        if self._table.pair.key:
            for line in lines:
                key, value = split_digest(line)
                if self._missing.get(key) == bytes.fromhex(value.decode()):
                    del self._missing[key]
                elif key in self._gone:
                    self._missing[key] = b""
        return len(lines)

    @property
    def wrong(self) -> set[bytes]:
        """Keys of rows that are not as they were sent."""
        # the list of active plugins is not among what is read back of options
        return {key for key in self._missing if self._table.pair.short != "options" or key != b"active_plugins"}

    def allow(self, key: bytes) -> None:
        """This row is right all the same."""
        self._missing.pop(key, None)

    def conclude(self) -> None:
        pair, wrong = self._table.pair, self.wrong
        expected = self._table.spool.lines if not pair.key else 0
        if wrong or (expected and expected != self._lines):
            keys = [key.decode("utf-8", "backslashreplace") for key in sorted(wrong)[:10]]
            raise StagedDiffers(
                f"{pair.live}: {len(wrong) or abs(expected - self._lines)} staged rows are not what was sent.",
                table=pair.live,
                keys=keys,
            )
