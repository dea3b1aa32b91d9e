"""What was edited in a clone since it was made or last refreshed: its rows and files against its base.

In a carrier that is confined to that clone. Nobody's work is left out: what a site does while it runs
(`shared.wordpress.runtime`), what never travels (`shared.wordpress.connector.skips`), and the administrator of ours.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from pymysql.cursors import SSCursor

from services.cloner.run import CloneRun
from services.cloner.steps.finalize import EMAIL
from shared.contract.edits import MOST_FILES, MOST_SAMPLES, MOST_TABLES
from shared.log import get
from shared.wordpress.base import PLACES, BadBase, Base, BaseTable, read_base
from shared.wordpress.connector.package import PLUGIN_FILE
from shared.wordpress.connector.skips import FileRule
from shared.wordpress.rewrite import escape, unescape
from shared.wordpress.runtime import RUNTIME_OPTIONS, RUNTIME_OPTIONS_LIKE, RUNTIME_TABLES, serialized
from shared.wordpress.transfer.database import SESSION, Column
from shared.wordpress.transfer.ddl import quote
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.sums import stored

log = get(__name__)

BASE = "base"
"""In the clone's records: what it was."""
FETCH = 500
MOST_KEY = 100
PASSING_META = frozenset({b"session_tokens", b"community-events-location", b"wc_last_active"})
"""Of users: where they are signed in, and from where."""
PASSING_TYPES = frozenset({b"scheduled-action", b"oembed_cache", b"customize_changeset"})
ACTIVE = b"active_plugins"
NAMES = re.compile(rb's:\d+:"([^"]{1,300})";')
AUTOLOAD = (b"yes", b"on", b"auto")
_LIKE = re.compile("|".join(f"(?:{re.escape(like[:-1].replace(chr(92), ''))})" for like in RUNTIME_OPTIONS_LIKE))
"""They all end in a wildcard, and have no other."""


@dataclass
class _Table:
    """What differs in one table."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    altered: bool = False
    samples: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.added + self.changed + self.removed + self.altered

    def sample(self, key: bytes) -> None:
        if len(self.samples) < MOST_SAMPLES:
            text = ", ".join(unescape(cell).decode("utf-8", "backslashreplace") for cell in key.split(b"\t"))
            self.samples.append(text[:MOST_KEY])


def edits(run: CloneRun) -> dict[str, Any]:
    """What was edited, in the form of `shared.contract.edits.Edits`. `run`'s target is the clone itself."""
    run.context.report(message="Looking for what was edited in the clone")
    try:
        with (run.target.records / BASE).open("rb") as packed:
            base = read_base(packed)
    except FileNotFoundError:
        return {"known": False}
    except BadBase as error:
        log.warning("what a clone was can not be read", clone=run.clone_id, error=str(error))
        return {"known": False}
    tables = _tables(run, base)
    files = [*_files(run, base)]
    shown = sorted(tables, key=lambda name: -tables[name].count)[:MOST_TABLES]
    return {
        "tables": {name: vars(tables[name]) for name in shown},
        "rows": sum(table.added + table.changed + table.removed for table in tables.values()),
        "files": len(files),
        "file_samples": files[:MOST_FILES],
    }


def _tables(run: CloneRun, base: Base) -> dict[str, _Table]:
    prefix, found = base.header.prefix, {}
    with target_errors("comparing the clone's tables"), closing(run.target.connect()) as connection:
        with connection.cursor() as cursor:
            for statement in (*SESSION, "START TRANSACTION WITH CONSISTENT SNAPSHOT"):
                cursor.execute(statement)
        there = _columns(connection)
        ours = _administrators(connection, prefix, there)
        known = {prefix + short if prefix + short in there else short: short for short in base.tables}
        for name in sorted({*there, *known}):
            short = known.get(name, name.removeprefix(prefix))
            if RUNTIME_TABLES.match(short):
                continue
            comparison = _Comparison(run, name, short, base.tables.get(short), ours)
            one = comparison.run(connection, there.get(name))
            if one.count:
                found[name] = one
    return found


class _Comparison:
    """One table of the clone against what it was."""

    def __init__(self, run: CloneRun, name: str, short: str, base: BaseTable | None, ours: frozenset[bytes]) -> None:
        self._run = run
        self._name = name
        self._short = short
        self._base = base
        self._ours = ours

    def run(self, connection: Any, there: list[str] | None) -> _Table:
        """`there`: its columns; None when it is gone."""
        found, base = _Table(), self._base
        if there is None:
            found.altered = True
        elif base is None:  # it was empty, or there was none
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT COUNT(*) FROM {quote(self._name)}")
                found.added = int(cursor.fetchone()[0])
        elif set(there) - {"option_id"} != set(base.columns) - {"option_id"}:
            found.altered = True
        else:
            self._rows(connection, base, found)
        return found

    def _rows(self, connection: Any, base: BaseTable, found: _Table) -> None:
        left = base.rows  # what is found goes from it: a second one would be as large
        places = [base.columns.index(name) for name in base.key]
        for cells in self._stored(connection, base.columns):
            digest = hashlib.md5(b"\t".join(cells), usedforsecurity=False).digest()
            if not places:
                found.added += digest not in base.rows and not any(self._run.clone_id.encode() in one for one in cells)
                continue
            key = b"\t".join([cells[i] for i in places])
            own = base.moved.get(key, key)
            was = left.pop(own, None)
            known = base.loaded.get(own, was)
            if digest == known:
                continue
            row = dict(zip(base.columns, cells, strict=True))
            if runs_by_itself(self._short, row, self._ours) or (
                known is not None and known in self._with_connector(row)
            ):
                continue
            found.added += was is None
            found.changed += was is not None
            found.sample(key)
        for key in left if places else ():
            if not runs_by_itself(self._short, dict(zip(base.key, key.split(b"\t"), strict=False)), self._ours):
                found.removed += 1
                found.sample(key)

    def _stored(self, connection: Any, columns: tuple[str, ...]) -> Iterator[list[bytes]]:
        """The cells of each row as they travel."""
        planned = {table.name: table for table in self._run.plan.tables}.get(self._name)
        classes = {column.name: column.type_class for column in planned.columns} if planned else {}
        wanted = [Column(name, classes.get(name, "text"), rewrite=False) for name in columns]
        cells = ", ".join(f"CAST({stored(column)} AS BINARY)" for column in wanted)
        with connection.cursor(SSCursor) as cursor:
            cursor.execute(f"SELECT {cells} FROM {quote(self._name)}")
            while rows := cursor.fetchmany(FETCH):
                _moved(self._run, len(rows), self._name)
                for row in rows:
                    yield [b"\\N" if cell is None else escape(cell) for cell in row]

    def _with_connector(self, row: Mapping[str, bytes]) -> Iterator[bytes]:
        """Digests of the list of active plugins as it was while our connector was one: WordPress takes off the clone's
        list what is not there, and sorts it."""
        if self._short != "options" or row.get("option_name") != ACTIVE:
            return
        names = [name.decode("utf-8", "surrogateescape") for name in NAMES.findall(unescape(row["option_value"]))]
        value = escape(serialized(sorted({*names, PLUGIN_FILE})))
        for autoload in (row.get("autoload", b""), *AUTOLOAD):
            told = {**row, "option_value": value, "autoload": autoload}
            line = b"\t".join([told[name] for name in row])
            yield hashlib.md5(line, usedforsecurity=False).digest()


def runs_by_itself(short: str, cells: Mapping[str, bytes], ours: frozenset[bytes]) -> bool:
    """Whether a row of a table (named without prefix) is nobody's work; `ours`: ids of our accounts. Pure."""
    if short == "options":
        name = cells.get("option_name", b"").decode("utf-8", "replace")
        return name in RUNTIME_OPTIONS or _LIKE.match(name) is not None
    if short == "users":
        return cells.get("ID") in ours
    if short == "usermeta":
        return cells.get("user_id") in ours or cells.get("meta_key") in PASSING_META
    if short == "postmeta":
        return cells.get("meta_key") == b"_edit_lock"
    if short == "posts":
        return cells.get("post_status") == b"auto-draft" or cells.get("post_type") in PASSING_TYPES
    return False


def _columns(connection: Any) -> dict[str, list[str]]:
    """The clone's tables, and their columns that hold values of their own."""
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE c.table_schema=DATABASE() AND c.is_generated='NEVER'"
            " AND t.table_type='BASE TABLE' ORDER BY c.ordinal_position"
        )
        for table, column in cursor.fetchall():
            found.setdefault(table.decode(), []).append(column.decode())
    return found


def _administrators(connection: Any, prefix: str, there: Mapping[str, list[str]]) -> frozenset[bytes]:
    """Ids of the accounts that are ours."""
    if not {"ID", "user_email"} <= set(there.get(f"{prefix}users", ())):
        return frozenset()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ID FROM {quote(f'{prefix}users')} WHERE user_email=%s", (EMAIL,))
        return frozenset(str(int(row[0])).encode() for row in cursor.fetchall())


def _files(run: CloneRun, base: Base) -> Iterator[str]:
    """Files that are new, other or gone: how, and their names for a person."""
    left, folders = dict(base.files), _folders(run)
    root = os.fsencode(run.target.document_root)
    for folder, place in folders.items():
        others = {other for other in folders if other != folder}
        for path in _walk(run, root + b"/" + folder, place, {root + b"/" + other for other in others}):
            below = path[len(root) + len(folder) + 2 :]
            was, now = left.pop((place, below), None), _md5(path)
            _moved(run, 1, _shown(folder, b""))
            if now is not None and now != was:
                yield f"{'added' if was is None else 'changed'} {_shown(folder, below)}"
    places = {place: folder for folder, place in folders.items()}
    for place, below in left:
        if place in places and not run.plan.arrangement.is_quarantined(places[place] + b"/" + below):
            yield f"removed {_shown(places[place], below)}"


def _moved(run: CloneRun, count: int, where: str) -> None:
    run.token.check()
    run.context.moved(count)
    run.context.report(message=f"Looking for what was edited: {where}")


def _shown(folder: bytes, below: bytes) -> str:
    return (folder + b"/" + below).decode("utf-8", "backslashreplace")[-300:]


def _folders(run: CloneRun) -> dict[bytes, str]:
    """Folders of the clone, relative to its document root, whose files a base tells of: which of WordPress's each is.

    The last to claim a folder has it, so the content folder comes first.
    """
    found: dict[bytes, str] = {}
    for place in PLACES:
        source = str(run.facts["paths"].get(place) or "").rstrip("/")
        for one in sorted(run.plan.roots, key=lambda one: -len(one["path"])):
            held = one["path"].rstrip("/")
            if source and (source == held or source.startswith(held + "/")):
                below = os.fsencode(source[len(held) :].strip("/"))
                found[posixpath.join(run.plan.root_targets[one["id"]], below).rstrip(b"/")] = place
                break
    return found


def _walk(run: CloneRun, folder: bytes, place: str, others: set[bytes]) -> Iterator[bytes]:
    """Every file below, without following links, and without those that never travel."""
    rules = [rule for rule in run.file_rules if rule.base in {"any", place}]
    for here, names, files in os.walk(folder):
        run.token.check()
        below = here[len(folder) :].strip(b"/")

        def stays(name: bytes, kind: str, below: bytes = below) -> bool:
            return any(rule_matches(rule, posixpath.join(below, name), kind) for rule in rules)

        names[:] = [name for name in names if posixpath.join(here, name) not in others and not stays(name, "dir")]
        for name in files:
            if not stays(name, "file"):
                yield posixpath.join(here, name)


def rule_matches(rule: FileRule, below: bytes, kind: str) -> bool:
    """Whether what lies there (relative to what the rule is about) stays behind; `kind`: file or dir. Pure."""
    if rule.kind and rule.kind != kind:
        return False
    text, name = os.fsdecode(below), os.fsdecode(posixpath.basename(below))
    return any(
        fnmatch.fnmatchcase(name.lower(), glob[3:])
        if glob.startswith("**/")
        else fnmatch.fnmatchcase(name if rule.base == "any" else text, glob)
        for glob in rule.globs
    )


def _md5(path: bytes) -> str | None:
    """None for what is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
