"""Which tables of the two sites belong together, and what happens to each."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from services.restorer.domain.options import ACTIVE, Kept
from services.restorer.errors import SchemaDrift, UnsupportedTables
from shared.contract.events import RestoreOptions
from shared.wordpress.connector.skips import ROW_RULES, RowRule, row_rules_for, rows_stay_behind
from shared.wordpress.connector.target import TableRead
from shared.wordpress.runtime import RUNTIME_TABLES
from shared.wordpress.transfer.ddl import Dialect, UnknownDefinition

Facts = Mapping[str, Any]

CORE = frozenset(
    "posts postmeta comments commentmeta terms termmeta term_taxonomy term_relationships options links".split()
)
USERS = frozenset({"users", "usermeta"})
DUE = frozenset(
    "nextrun next_run next_run_at nextrun_at next_execution next_execution_at run_at runtime run_time firstrun "
    "available_at execute_at scheduled_for scheduled_date_gmt".split()
)
CALLED = frozenset("hook hook_name action_hook callback callable job class handler command task_class payload".split())
"""Columns that together mean work that waits for its time, whatever the table is called: of Cavalcade, of queues for
WordPress and Laravel, of MemberPress."""

WAITING_POSTS = RowRule(
    "waiting-work", "posts", "post_type", "Action Scheduler's, where it keeps posts", (), ("scheduled-action",)
)
"""https://actionscheduler.org/: sites that began before its version 3 have jobs among their posts."""

KNOWN_COLLATIONS = frozenset(
    "utf8mb4_unicode_ci utf8mb4_unicode_520_ci utf8mb4_general_ci utf8mb4_bin utf8mb3_general_ci utf8mb3_unicode_ci "
    "utf8mb3_bin utf8_general_ci utf8_unicode_ci utf8_bin latin1_swedish_ci latin1_general_ci latin1_bin "
    "ascii_general_ci ascii_bin binary".split()
)
ENGINES = frozenset({"innodb", "myisam", "memory", "aria"})


@dataclass(frozen=True)
class Pair:
    """One table on both sides. `short` is its name without prefix, `live` the target's name of it."""

    short: str
    live: str
    source: TableRead
    target: TableRead | None
    """None: production has no such table."""
    rows: int
    """About how many rows the clone's has."""
    data_bytes: int
    create: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What tells rows apart; empty: nothing does."""
        return self.source.key

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that travel."""
        return tuple(column["name"] for column in self.source.columns)


@dataclass
class Selection:
    """The tables of a restore, those that stay as they are (name -> why), and what differs in build."""

    pairs: list[Pair]
    kept: dict[str, str]
    drift: list[str]
    tied: frozenset[str] = frozenset()
    """Tables of production with foreign keys or triggers: they stay where nothing changes, and are never exchanged."""
    apart: list[str] = field(default_factory=list)
    """Tables that stay because the two sites have built them differently, as sentences."""


def select(
    source: Facts,
    target: Facts,
    options: RestoreOptions,
    kept: Kept,
    ours: Sequence[int],
    *,
    preserved: Sequence[str] = (),
) -> Selection:
    """Pair the tables. `ours`: ids of the clone's own administrator there, who never reaches production. `preserved`:
    patterns of tables that stay in every restore.

    Raises SchemaDrift.
    """
    chosen = Selection([], {}, [])
    theirs = {table["name"]: table for table in target["tables"]}
    for table in source["tables"]:
        short = _short(table["name"], source)
        live = _name(short, target)
        why = _stays(short, table, options, preserved)
        if why is None:
            try:
                pair = _pair(short, live, table, theirs.get(live), (source, target), kept, ours, chosen.drift)
            except UnknownDefinition as error:
                chosen.drift.append(f"{live}: it can not be made in production. {error.message}")
                continue
            if pair is not None:
                chosen.pairs.append(pair)
                continue
            why = "built differently on the two sites"
            chosen.apart.append(f"{live}: {_rows_there(table)} on the clone")
        if live in theirs:
            chosen.kept[live] = why
    named = {pair.live for pair in chosen.pairs}
    for name in theirs:
        if name not in named:
            chosen.kept.setdefault(name, "only production has it")
    chosen.tied = frozenset({*target.get("foreign_keys", ()), *target.get("triggers_on", ())} & named)
    return chosen


def _short(name: str, facts: Facts) -> str:
    """A table's name without prefix; that of WordPress where the site has given accounts tables of other names."""
    prefix: str = facts["prefix"]
    constants = facts.get("constants") or {}
    if name == constants.get("CUSTOM_USER_TABLE"):
        return "users"
    if name == constants.get("CUSTOM_USER_META_TABLE"):
        return "usermeta"
    return name[len(prefix) :] if name.startswith(prefix) else name


def _name(short: str, facts: Facts) -> str:
    names = {_short(table["name"], facts): table["name"] for table in facts["tables"]}
    return str(names.get(short, facts["prefix"] + short))


def _stays(short: str, table: Facts, options: RestoreOptions, preserved: Sequence[str]) -> str | None:
    """Why production keeps this table as it is; None when the clone's is taken."""
    asked = {name for name in (short, table["name"])}
    if asked & set(options.preserve_tables):
        return "kept as asked"
    if options.include_tables and not asked & set(options.include_tables):
        return "not asked for"
    if not asked & set(options.include_tables) and any(fnmatchcase(name, one) for name in asked for one in preserved):
        return "kept in every restore, by SITEFERRY_RESTORE_PRESERVE_TABLES"
    if options.preserve_users and short in USERS:
        return "production's accounts stay"
    if table["kind"] != "table" or table.get("create_error"):
        return f"a {table['kind']}, not a table of rows"
    runs = (RUNTIME_TABLES.match(short) or _schedules(table)) and not asked & set(options.include_tables)
    if runs or rows_stay_behind(table["name"], table["name"].removesuffix(short)):
        return "what happens on the site while it runs"
    return None


def _schedules(table: Facts) -> bool:
    names = {str(column["name"]).lower() for column in table["columns"]}
    return bool(names & DUE) and bool(names & CALLED)


def _pair(
    short: str,
    live: str,
    table: Facts,
    theirs: Facts | None,
    sides: tuple[Facts, Facts],
    kept: Kept,
    ours: Sequence[int],
    drift: list[str],
) -> Pair | None:
    columns, key = _columns(table), tuple(table["key"])
    if theirs is not None:
        agreed = _agree(live, short, table, theirs, drift)
        if agreed is None:
            return None
        columns, key = agreed
    if short == "options" and "option_name" in {column["name"] for column in columns}:
        key = ("option_name",)
        columns = tuple(column for column in columns if column["name"] != "option_id")
    rules = row_rules_for(table["name"], sides[0]["prefix"], (*ROW_RULES, WAITING_POSTS))
    where = tuple(rule.params() for rule in rules if rule.column in {column["name"] for column in columns})
    only = _only(short, kept)
    here = TableRead(table["name"], columns, key, (*where, *only, *_not_ours(short, ours)))
    there = None if theirs is None else TableRead(live, columns, key, (*where, *only))
    create = None if theirs is not None else _create(table, sides[1])
    return Pair(short, live, here, there, int(table["rows"] or 0), int(table["data_bytes"] or 0), create)


def _columns(table: Facts) -> tuple[dict[str, Any], ...]:
    """What describes each column on its way; generated ones are made by the server."""
    wanted = ("name", "type_class", "charset", "type")
    return tuple({name: column.get(name) for name in wanted} for column in table["columns"] if not column["generated"])


def _agree(
    live: str, short: str, table: Facts, theirs: Facts, drift: list[str]
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]] | None:
    """The columns both sides have, and the key. None: the rows can not be compared."""
    there = {column["name"]: column for column in _columns(theirs)}
    both = tuple(column for column in _columns(table) if column["name"] in there)
    made = {column["name"] for side in (table, theirs) for column in side["columns"] if column["generated"]}
    only_here = [column["name"] for column in _columns(table) if column["name"] not in {*there, *made}]
    only_there = [name for name in there if name not in {column["name"] for column in both} | made]
    if only_here:
        drift.append(f"{live}: only the clone has the columns {', '.join(only_here)}; they stay behind.")
    if only_there:
        drift.append(f"{live}: only production has the columns {', '.join(only_there)}; new rows get their defaults.")
    other = [column["name"] for column in both if _holds(column) != _holds(there[column["name"]])]
    key = tuple(table["key"])
    if key == tuple(theirs["key"]) and not other and set(key) <= {column["name"] for column in both}:
        return tuple({**column, "charset": there[column["name"]]["charset"]} for column in both), key
    what = f"the columns {', '.join(other)} have other types or character sets" if other else "its key is another"
    if short in CORE:
        raise SchemaDrift(f"{live} is built differently on the two sites: {what}.", table=live)
    drift.append(f"{live}: {what}; production's table stays.")
    return None


def _holds(column: dict[str, Any]) -> tuple[str, str | None]:
    """What two columns must have in common: rows travel as the bytes that are stored, never recoded."""
    if column["type_class"] == "json":
        return "text", "utf8mb4"  # of MySQL; MariaDB's is text that is looked at
    charset = column["charset"]
    return column["type_class"], "utf8mb4" if charset in {"utf8", "utf8mb3"} else charset


def _only(short: str, kept: Kept) -> tuple[dict[str, Any], ...]:
    return (kept.where(ACTIVE),) if short == "options" else ()


def _not_ours(short: str, ours: Sequence[int]) -> tuple[dict[str, Any], ...]:
    column = {"users": "ID", "usermeta": "user_id"}.get(short)
    return ({"column": column, "not_in": list(ours)},) if column and ours else ()


def _create(table: Facts, target: Facts) -> str:
    encoded = table["create_b64"]
    text = base64.b64decode(encoded).decode("utf-8", "surrogateescape") if encoded else str(table["create"])
    seen = {(column["collation"] or "").lower() for known in target["tables"] for column in known["columns"]}
    return Dialect(KNOWN_COLLATIONS | seen, ENGINES).table(text)


def refuse_tied(chosen: Selection, changed: Sequence[str]) -> None:
    """Raises UnsupportedTables when a table that changes is tied to others."""
    tied = sorted(chosen.tied & set(changed))
    if tied:
        text = f"Foreign keys or triggers tie tables that would be exchanged: {', '.join(tied[:10])}."
        raise UnsupportedTables(text, tables=tied[:50])


def _rows_there(table: Facts) -> str:
    rows = int(table["rows"] or 0)
    return f"about {rows:,} rows" if rows else "its rows"
