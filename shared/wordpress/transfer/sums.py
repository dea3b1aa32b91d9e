"""What a server says about the rows it stores: each value as it travels, and a checksum of many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wordpress.transfer.ddl import quote

if TYPE_CHECKING:
    from shared.wordpress.transfer.database import Column, Table


def stored(column: Column) -> str:
    """SQL for a value as it travels."""
    name = quote(column.name)
    if column.type_class == "bit":
        return f"CAST({name} AS UNSIGNED)"
    if column.type_class == "double":
        return f"{name} * 1e0"
    if column.type_class == "cast":
        return f"CAST({name} AS CHAR CHARACTER SET utf8mb4)"
    return name


def stored_sum(table: Table) -> str:
    """A SELECT of the number of rows a table has, and their checksum."""
    cells = ", ".join(f"IFNULL(CAST({stored(column)} AS BINARY), 'N')" for column in table.columns)
    total = f"COALESCE(SUM(CRC32(CONCAT_WS('\\t', {cells}))), 0)"
    return f"SELECT COUNT(*), CAST({total} AS UNSIGNED) FROM {quote(table.name)}"
