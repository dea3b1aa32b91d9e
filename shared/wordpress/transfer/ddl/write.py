"""From models to SQL."""

from __future__ import annotations

from collections.abc import Callable

from .expressions import written
from .model import CheckModel, ColumnModel, ForeignKey, KeyModel, KeyPart, TableModel, ViewModel
from .tokens import Kind, Token, quoted_name, quoted_string

Collation = Callable[[str], str]


def table_sql(table: TableModel, collation: Collation = str) -> str:
    """A `CREATE TABLE`. `collation` maps collations inside expressions."""
    elements = [_column(column, collation) for column in table.columns]
    elements += [_key(key) for key in table.keys]
    elements += [_foreign_key(key) for key in table.foreign_keys]
    elements += [_check(check, collation) for check in table.checks]
    options = [f"ENGINE={table.engine}"] if table.engine else []
    options += [f"DEFAULT CHARSET={table.charset}"] if table.charset else []
    options += [f"COLLATE={table.collation}"] if table.collation else []
    options += [f"{name}={value}" for name, value in table.options.items()]
    options += [f"COMMENT={quoted_string(table.comment)}"] if table.comment else []
    options += [written(table.partition, collation)] if table.partition else []
    return " ".join([f"CREATE TABLE {quoted_name(table.name)} ({', '.join(elements)})", *options])


def view_sql(view: ViewModel, collation: Collation = str) -> str:
    """A `CREATE VIEW` with the rights of who asks: the source's definer does not exist here (error 1449)."""
    columns = f" ({', '.join(map(quoted_name, view.columns))})" if view.columns else ""
    name = quoted_name(view.name)
    return f"CREATE OR REPLACE SQL SECURITY INVOKER VIEW {name}{columns} AS {written(view.query, collation)}"


def _column(column: ColumnModel, collation: Collation) -> str:
    arguments = f"({','.join(token.sql() for token in column.args)})" if column.args else ""
    parts = [quoted_name(column.name), column.type + arguments]
    parts += ["unsigned"] if column.unsigned else []
    parts += ["zerofill"] if column.zerofill else []
    parts += [f"CHARACTER SET {column.charset}"] if column.charset else []
    parts += [f"COLLATE {column.collation}"] if column.collation else []
    if column.generated:
        parts.append(f"GENERATED ALWAYS AS ({written(column.generated, collation)})")
        parts.append("STORED" if column.stored else "VIRTUAL")
    elif column.nullable is not None:
        parts.append("NULL" if column.nullable else "NOT NULL")
    parts += ["INVISIBLE"] if column.invisible else []
    parts += [f"DEFAULT {_default(column.default, collation)}"] if column.default and not column.generated else []
    parts += [f"ON UPDATE {written(column.on_update, collation)}"] if column.on_update else []
    parts += ["AUTO_INCREMENT"] if column.auto_increment else []
    parts += [f"COMMENT {quoted_string(column.comment)}"] if column.comment else []
    parts += [f"CHECK ({written(column.check, collation)})"] if column.check else []
    return " ".join(parts)


def _default(value: tuple[Token, ...], collation: Collation) -> str:
    """Functions stand in parentheses, but for the times that every server takes bare."""
    text = written(value, collation)
    bare = value[0].kind is not Kind.WORD or value[0].text.startswith("_")
    bare = bare or value[0].word in {"NULL", "TRUE", "FALSE", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "NOW"}
    return text if bare else f"({text})"


def _key(key: KeyModel) -> str:
    name = f" {quoted_name(key.name)}" if key.name and key.kind != "PRIMARY" else ""
    using = f" USING {key.using}" if key.using and key.kind not in {"FULLTEXT", "SPATIAL"} else ""
    comment = f" COMMENT {quoted_string(key.comment)}" if key.comment else ""
    kind = f"{key.kind} " if key.kind else ""
    return f"{kind}KEY{name} ({','.join(map(_part, key.parts))}){using}{comment}"


def _part(part: KeyPart) -> str:
    length = f"({part.length})" if part.length is not None else ""
    return quoted_name(part.column) + length + (" DESC" if part.descending else "")


def _foreign_key(key: ForeignKey) -> str:
    name = f"CONSTRAINT {quoted_name(key.name)} " if key.name else ""
    columns, references = ", ".join(map(quoted_name, key.columns)), ", ".join(map(quoted_name, key.references))
    tail = "".join(f" {action}" for action in key.actions)
    return f"{name}FOREIGN KEY ({columns}) REFERENCES {quoted_name(key.table)} ({references}){tail}"


def _check(check: CheckModel, collation: Collation) -> str:
    name = f"CONSTRAINT {quoted_name(check.name)} " if check.name else ""
    return f"{name}CHECK ({written(check.condition, collation)})"
