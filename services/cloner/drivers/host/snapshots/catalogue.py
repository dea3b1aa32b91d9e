"""What a database holds, and which of its tables can travel as tablespaces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from services.cloner.drivers.host.snapshots.manifest import Definition
from shared.wordpress.transfer.ddl import quote

CLASSES = {
    **dict.fromkeys("float double".split(), "double"),
    **dict.fromkeys("uuid inet4 inet6".split(), "cast"),
    "bit": "bit",
}
"""How columns of these types travel in rows (`shared.wordpress.transfer.database.Column`); others as they are."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")
"""Names that are the names of their files, too."""
SYSTEM_COLUMNS = 3
"""InnoDB counts its own with a table's: DB_ROW_ID, DB_TRX_ID, DB_ROLL_PTR."""
DEFINER = re.compile(r"^CREATE (?:OR REPLACE )?(ALGORITHM=\w+ )?DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ")


@dataclass(frozen=True)
class Found:
    """A base table or a sequence."""

    name: str
    engine: str
    sequence: bool
    why_rows: str
    """Why its rows must travel, "" when its tablespace can."""


def found(cursor: Any, database: str) -> list[Found]:
    """Every base table and sequence."""
    by = (database,)
    cursor.execute(
        "SELECT table_name, table_type, COALESCE(engine, ''), COALESCE(create_options, '')"
        " FROM information_schema.tables WHERE table_schema=%s AND table_type NOT LIKE '%%VIEW' ORDER BY table_name",
        by,
    )
    tables = cursor.fetchall()
    cursor.execute(
        "SELECT table_name, COUNT(*), SUM(is_generated='ALWAYS') FROM information_schema.columns"
        " WHERE table_schema=%s GROUP BY table_name",
        by,
    )
    columns = {name: (int(count), int(generated)) for name, count, generated in cursor.fetchall()}
    cursor.execute(
        "SELECT DISTINCT table_name, index_type FROM information_schema.statistics"
        " WHERE table_schema=%s AND index_type NOT IN ('BTREE', 'HASH')",
        by,
    )
    odd_keys = dict(cursor.fetchall())
    cursor.execute(
        "SELECT SUBSTRING_INDEX(name, '/', -1), n_cols FROM information_schema.innodb_sys_tables WHERE name LIKE %s",
        (database.replace("_", "\\_") + "/%",),
    )
    stored = {name: int(count) - SYSTEM_COLUMNS for name, count in cursor.fetchall()}
    made = []
    for name, kind, engine, options in tables:
        count, generated = columns.get(name, (0, 0))
        why = ""
        if engine.lower() != "innodb":
            why = f"its engine is {engine}"
        elif not PLAIN_NAME.fullmatch(name):
            why = "its name is written otherwise on the disk"
        elif kind != "BASE TABLE":
            why = f"it is a {kind.lower()} table"
        elif generated:
            why = "it has generated columns"
        elif name in odd_keys:
            why = f"it has a {odd_keys[name]} key"
        elif any(word in options.lower() for word in ("partitioned", "encrypt", "page_compressed")):
            why = f"it is {options.lower()}"
        elif stored.get(name) != count:
            why = "the disk has other columns than the server shows"
        made.append(Found(name, engine, kind == "SEQUENCE", why))
    return made


def columns_of(cursor: Any, database: str, table: str) -> list[tuple[str, str]]:
    """Name and class of each column with values of its own."""
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema=%s AND table_name=%s"
        " AND is_generated='NEVER' ORDER BY ordinal_position",
        (database, table),
    )
    return [(name, CLASSES.get(kind.lower(), "text")) for name, kind in cursor.fetchall()]


def create_of(cursor: Any, database: str, name: str) -> str:
    """The definition of a table or sequence."""
    cursor.execute(f"SHOW CREATE TABLE {quote(database)}.{quote(name)}")
    return str(cursor.fetchone()[1])


def defined(cursor: Any, database: str) -> list[tuple[Any, str]]:
    """Kind and name of views, triggers and routines."""
    cursor.execute(
        "SELECT routine_type, routine_name FROM information_schema.routines"
        " WHERE routine_schema=%s AND routine_type IN ('PROCEDURE', 'FUNCTION')",
        (database,),
    )
    made = list(cursor.fetchall())
    cursor.execute("SELECT 'VIEW', table_name FROM information_schema.views WHERE table_schema=%s", (database,))
    made += cursor.fetchall()
    cursor.execute(
        "SELECT 'TRIGGER', trigger_name FROM information_schema.triggers WHERE trigger_schema=%s"
        " ORDER BY event_object_table, action_timing, event_manipulation, action_order",
        (database,),
    )
    return made + list(cursor.fetchall())


def definitions(cursor: Any, database: str) -> list[Definition]:
    """Views, triggers and routines."""
    cursor.execute(f"USE {quote(database)}")
    return [_shown(cursor, kind, name) for kind, name in defined(cursor, database)]


def _shown(cursor: Any, kind: Any, name: str) -> Definition:
    cursor.execute(f"SHOW CREATE {kind} {quote(name)}")
    row = cursor.fetchone()
    mode, text = ("", row[1]) if kind == "VIEW" else (row[1], row[2])
    # without its definer: it is made by the clone it will be in, with that one's rights
    create = DEFINER.sub(lambda match: f"CREATE {match[1] or ''}", str(text or ""))
    return Definition(kind, name, create, str(mode))
