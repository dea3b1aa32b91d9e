"""Ids of new rows: a clone begins far behind its source, so that what is new there and what is new here can meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .model import ColumnModel, TableModel

LARGEST: Final = {"tinyint": 7, "smallint": 15, "mediumint": 23, "int": 31, "integer": 31, "bigint": 63}
"""Bits of the largest number of a signed column."""
ENGINES: Final = frozenset({"innodb", "myisam", "aria"})
"""Engines that go on behind the number a definition names, whatever smaller numbers are loaded."""
OPTION: Final = "AUTO_INCREMENT"


def banded(table: TableModel, band: int) -> tuple[TableModel, int | None]:
    """The table as its new rows begin `band` numbers behind where the source goes on, and their first number.

    None where they begin as they do on the source: without a number, of another engine, or where the column's type
    has no room for the band and as many rows again.
    """
    column = next((one for one in table.columns if one.auto_increment), None)
    if band <= 0 or column is None or table.engine.lower() not in ENGINES or not _leads(table, column):
        return table, None
    first = int(table.options.get(OPTION, 1)) + band
    if column.type not in LARGEST or first + band > _largest(column):
        return table, None
    return replace(table, options={**table.options, OPTION: str(first)}), first


def _leads(table: TableModel, column: ColumnModel) -> bool:
    """Whether a key begins with it; else numbers are given within groups of rows, and the definition's is ignored."""
    return any(key.parts and key.parts[0].column.lower() == column.name.lower() for key in table.keys)


def _largest(column: ColumnModel) -> int:
    return (1 << LARGEST[column.type] << int(column.unsigned)) - 1
