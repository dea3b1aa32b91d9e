"""One table of production beside the clone's: digests first, then only the rows that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from services.restorer.domain import diff
from services.restorer.domain.diff import SAME, Act, Verdict, Why
from services.restorer.domain.losses import kind_of, loss, modified_at, own_trace
from services.restorer.domain.options import ACTIVE, active_plugins
from services.restorer.domain.tables import Pair
from services.restorer.run import RestoreRun
from services.restorer.steps.rows import KEYS, Mover, Row, all_rows, batched, digest
from services.restorer.work import Spool, TableWork
from shared.contract.jobs import Loss, TablePlan
from shared.wordpress.connector.package import PLUGIN_FILE
from shared.wordpress.connector.writer import split_digest
from shared.wordpress.rewrite import escape
from shared.wordpress.runtime import serialized
from shared.wordpress.transfer.fitting import column_limit

MOST = 5_000
"""Changed rows of one table that are looked at for values that get shorter."""
CUT = 16
"""Bytes of the shortest value that counts as cut: a shorter one is more likely a word that was changed."""
SAME_REASON = "the same on both sides"


class TableComparison:
    """Takes digests of both sides, block by block, production's first; `finish` fetches what differs and decides."""

    def __init__(self, run: RestoreRun, pair: Pair, losses: list[Loss]) -> None:
        self.pair = pair
        self._run = run
        self._losses = losses
        self._mover = Mover(run, pair)
        self._here: dict[bytes, bytes] = {}
        self._counted: Counter[bytes] = Counter()
        """Rows of production without a key, minus the clone's."""
        self._differ: list[bytes] = []
        base = run.base
        self._base = base.rows(pair.short, pair.key, pair.columns) if base else None
        self._loaded = base.loaded(pair.short, pair.key, pair.columns) if base else {}
        self._mover.keys = base.moved(pair.short, pair.key, pair.columns) if base else {}
        self._cloned_at = base.created if base else None
        self._plan = TablePlan(table=pair.live, action="keep", reason=SAME_REASON)
        self._work = TableWork(pair, self._plan, Spool(run.directory))
        self._limited = [
            place
            for place, column in enumerate(pair.source.columns)
            if column["type_class"] == "text" and column_limit(column.get("type") or "", column["charset"])
        ]
        self._changed: dict[bytes, dict[int, bytes]] = {}
        self._lost: dict[bytes, tuple[Why, datetime | None]] = {}

    def production(self, block: bytes) -> None:
        """Digests of production's rows."""
        for line in block.split(b"\n")[:-1]:
            key, value = split_digest(line)
            if self.pair.key:
                self._here[key] = bytes.fromhex(value.decode())
            else:
                self._counted[bytes.fromhex(value.decode())] += 1

    def clone(self, block: bytes) -> int:
        """Digests of the clone's rows; how many."""
        lines = block.split(b"\n")[:-1]
        for line in lines:
            key, value = split_digest(line)
            if not self.pair.key:
                self._counted[bytes.fromhex(value.decode())] -= 1
            elif self._same(own := self._mover.own_key(key), bytes.fromhex(value.decode())):
                self._plan.same += 1
                self._number(own)
                self._rebase(own, self._here.pop(own))
            else:
                self._differ.append(key)
        return len(lines)

    def _same(self, key: bytes, clone: bytes) -> bool:
        """Whether a row needs no look: it is the same on both sides, or each side has what it had after cloning."""
        here = self._here.get(key)
        if here is None or here == clone:
            return here == clone
        return self._loaded.get(key) == clone and self._base is not None and self._base.get(key) == here

    def finish(self) -> TableWork:
        """What is to be done. Rows that production would lose are added to the losses."""
        if self.pair.key:
            for keys in batched(self._differ, KEYS):
                self._run.token.check()
                self._fetched(self._mover.rows(self._run.reader.fetch_rows(self.pair.source, keys)))
            self._left()
            self._name_losses()
            self._name_shorter()
        elif any(self._counted.values()):
            self._replace()
        if self.pair.short == "options":
            self._plugins()
        plan = self._plan
        self._work.leftovers, self._work.left_at = self._mover.leftovers, self._mover.left_at
        if self.pair.target is None:
            plan.action, plan.reason = "create", "only the clone has it"
        elif plan.action == "keep" and plan.add + plan.change + plan.remove:
            plan.action, plan.reason = "change", ""
        return self._work

    def _fetched(self, rows: Iterable[Row]) -> None:
        for row in rows:
            target = self._here.pop(row.key, None)
            verdict = self._verdict(target, row.digest, row.key)
            if verdict.act is Act.WRITE and self.pair.short == "options" and self._run.encoded.found_in(row.line):
                self._work.identity.append(row.key.decode("utf-8", "backslashreplace"))
                verdict = SAME
            self._number(row.key)
            if verdict.act is Act.NOTHING:
                self._plan.same += 1
                if target == row.digest:
                    self._rebase(row.key, target)
                continue
            self._rebase(row.key, row.digest)
            self._mover.look(row.line)
            self._work.spool.add(row.line)
            self._work.written[row.key] = row.digest
            if target is None:
                self._plan.add += 1
                continue
            self._plan.change += 1
            self._remember_limited(row)
            if verdict.lost:
                self._plan.production_newer += 1
                self._lost[row.key] = (verdict.lost, self._cloned_at)
            elif self._base is None and self.pair.short == "posts":
                cells = dict(zip(self.pair.columns, row.line.split(b"\t"), strict=False))
                self._lost[row.key] = ("production_newer", modified_at(cells))

    def _left(self) -> None:
        """Rows that only production has."""
        for key, target in self._here.items():
            verdict = self._verdict(target, None, key)
            if verdict.act is Act.NOTHING:
                self._plan.same += 1
                continue
            self._work.deletes.append(key)
            self._rebase(key, None)
            self._plan.remove += 1
            if verdict.lost == "production_only":
                self._plan.production_only += 1
            elif verdict.lost:
                self._plan.production_newer += 1
            if verdict.lost:
                self._lost[key] = (verdict.lost, None)
        self._here = {}

    def _verdict(self, target: bytes | None, clone: bytes | None, key: bytes) -> Verdict:
        decide = diff.setting if self.pair.short == "options" else diff.row
        base = self._base.get(key) if self._base is not None else None
        return decide(target, clone, base, base_known=self._base is not None)

    def _remember_limited(self, row: Row) -> None:
        if self._limited and len(self._changed) < MOST:
            cells = row.line.split(b"\t")
            self._changed[row.key] = {place: cells[place] for place in self._limited}

    def _name_shorter(self) -> None:
        """Values of production that begin with what the clone has and go on: the clone's was cut."""
        found: Counter[str] = Counter()
        for keys in batched(self._changed, KEYS) if self.pair.target else ():
            for line in self._run.writer.fetch_rows(self.pair.target, keys):  # type: ignore[arg-type]
                cells = line.split(b"\t")
                for place, new in self._changed.get(self._mover.key(line), {}).items():
                    if len(new) >= CUT and cells[place] != new and cells[place].startswith(new):
                        found[self.pair.columns[place]] += 1
        for name, count in sorted(found.items()):
            self._work.shorter.append(f"{name}: {count} {'value gets' if count == 1 else 'values get'} shorter.")

    def _name_losses(self) -> None:
        """Look at production's rows that would go, and tell those that somebody would miss."""
        what, table = kind_of(self.pair.short), self.pair.target
        if what is None or table is None:
            return
        for keys in batched(self._lost, KEYS):
            self._run.token.check()
            for line in self._run.writer.fetch_rows(table, keys):
                key = self._mover.key(line)
                if what == "entry" and self._own_trace(line):
                    self._keep(key)
                    continue
                why, since = self._lost.get(key, ("production_only", None))
                found = loss(what, self.pair.live, key, self.pair.columns, line, why, since=since)
                if found is not None:
                    self._losses.append(found)
                    self._plan.production_newer += self._base is None and why == "production_newer"

    def _own_trace(self, line: bytes) -> bool:
        """Whether a row of production is what our own signing in left there."""
        run = self._run
        since = [self._cloned_at] if self._cloned_at else []
        entered = datetime.fromisoformat(run.state["planned_at"])
        offset = float(run.ours.get("gmt_offset") or 0)
        return own_trace(
            self.pair.columns, line, run.ours["users"], run.owner, cloned=since, entered=entered, hours=offset
        )

    def _keep(self, key: bytes) -> None:
        """A row that only production has stays."""
        if key in self._work.deletes:
            self._work.deletes.remove(key)
            self._work.rebased.pop(key, None)
            self._plan.remove -= 1
            self._plan.production_only -= 1
            self._plan.same += 1

    def _replace(self) -> None:
        """Rows nothing tells apart: all or none."""
        before = Counter[bytes]()
        rows = list(self._mover.rows(all_rows(self._run, self.pair.source)))
        after = Counter(row.digest for row in rows)
        if self.pair.target is not None:
            for _, block in self._run.writer.digest_rows([self.pair.target]):
                before.update(bytes.fromhex(split_digest(line)[1].decode()) for line in block.split(b"\n")[:-1])
        if before == after:
            self._plan.same = before.total()
            return
        for row in rows:
            self._mover.look(row.line)
            self._work.spool.add(row.line)
        plan, gone = self._plan, (before - after).total()
        plan.action, plan.reason = "replace", "its rows have no key"
        plan.add, plan.remove, plan.production_only = (after - before).total(), gone, gone
        plan.same = (before & after).total()
        what = kind_of(self.pair.short)
        if what is not None:
            self._losses += [Loss(what=what, table=self.pair.live, key="", why="production_only")] * gone

    def _plugins(self) -> None:
        """The list of active plugins is made, not taken: some of each side's."""
        if self._run.command.options.preserve_plugins or self.pair.target is None:
            return
        chosen = active_plugins(self._run.theirs["active_plugins"], self._run.ours["active_plugins"])
        if set(chosen) - {PLUGIN_FILE} == set(self._run.ours["active_plugins"]):
            return
        values = {"option_name": ACTIVE.encode(), "option_value": escape(serialized(chosen)), "autoload": b"yes"}
        if set(self.pair.columns) - set(values):
            return
        line = b"\t".join(values[name] for name in self.pair.columns)
        self._work.spool.add(line)
        self._work.written[ACTIVE.encode()] = digest(line)
        self._plan.change += 1

    def _rebase(self, key: bytes, digest: bytes | None) -> None:
        """Note what production has after the restore."""
        if self._base is not None and self._base.get(key) != digest:
            self._work.rebased[key] = digest

    def _number(self, key: bytes) -> None:
        if len(self.pair.key) == 1 and key.isdigit():
            self._work.highest = max(self._work.highest, int(key))
