"""Tables are filled first and counted afterwards (ADR 54).

InnoDB counts a table anew for its statistics once a tenth of its rows has changed: one of few rows at once, a large one
again and again. What is filled by a transaction that still runs can not be counted, and MariaDB 10.11 tries it without
a pause until that transaction ends: a processor is busy for as long as rows come (for 16 MB of them 1.65 s of MariaDB's
processor time instead of 0.7). Statistics that are switched on once a table is full are taken at once, and right.
"""

from __future__ import annotations

from dataclasses import replace

from .model import TableModel

OPTION = "STATS_AUTO_RECALC"
COUNT = f"{OPTION}=DEFAULT"
"""What an ALTER TABLE says once the table is full."""


def uncounted(table: TableModel, rows: int) -> tuple[TableModel, bool]:
    """The table as it is made to be filled with so many rows, and whether that is another than the site's."""
    if rows < 1 or table.engine.lower() != "innodb" or OPTION in table.options:
        return table, False
    return replace(table, options={**table.options, OPTION: "0"}), True
