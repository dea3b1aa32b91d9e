"""What a server makes of rows it can not hold is found, named by column and row, and remembered as it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shared.wordpress.base import BaseHeader, pack, read_base
from shared.wordpress.transfer.changes import table_read
from shared.wordpress.transfer.proof import Proof, Proved
from tests.integration.connected import Connected
from tests.integration.test_transfer_changes import Copy, source
from tests.sites import nasty
from tests.sites.farm import SourceFarm

__all__ = ["source"]


@pytest.fixture(scope="module")
def hard(source: Connected) -> Connected:
    nasty.wide_charsets(source.site)
    nasty.other_types(source.site)
    nasty.full_columns(source.site)
    return source


@pytest.fixture
def copy(hard: Connected, farm: SourceFarm, tmp_path: Path) -> Iterator[Copy]:
    made = Copy(hard, farm.database, tmp_path)
    yield made
    made.close()


def prove(copy: Copy) -> Proved:
    for _ in copy.answers():
        pass
    proof = Proof(
        copy.source.client,
        copy.loader,
        lambda _table, rows: rows,
        prefix=copy.source.site.prefix,
        check=lambda: None,
    )
    with closing(copy._connect(copy.name)) as connection:
        return proof.run(connection, copy.records, copy.now)


def test_every_kind_of_column_is_proved(copy: Copy) -> None:
    assert len(copy.tables) > 35
    found = prove(copy)
    assert found.same, (found.changed.samples(), found.unnamed)
    assert set(copy.loader.sums) == {table.name for table in copy.tables}


def test_what_the_server_changed_is_named_and_remembered(copy: Copy) -> None:
    narrow, heap, keys = copy.prefixed("full"), copy.prefixed("fullheap"), copy.prefixed("ckeys")

    def built(name: str, old: str, new: str) -> None:
        at = next(n for n, table in enumerate(copy.tables) if table.name == name)
        assert old in copy.tables[at].create
        copy.tables[at] = replace(copy.tables[at], create=copy.tables[at].create.replace(old, new))
        copy.loader.tables[name] = copy.tables[at]

    built(narrow, "`link` varchar(60)", "`link` varchar(45)")
    built(narrow, "`more` varchar(200)", "`more` varchar(3)")
    built(heap, "varchar(60)", "varchar(35)")
    built(keys, "varchar(200)", "varchar(20)")
    found = prove(copy)
    named = dict(sample.split(": ", 1) for sample in found.changed.samples())
    assert named.pop(f"{narrow}.more") == "1 row (1)"
    assert named.pop(f"{narrow}.link").startswith("16 rows (1, 146, 147, 148, 149, …)")
    assert named.pop(f"{keys}.url").startswith("512 rows (")
    assert named == {}
    assert found.unnamed == {heap: f"values of {heap}.link"}
    with (copy.records.parent / "base").open("w+b") as file:
        header = BaseHeader("clone-x", "http://x", copy.source.site.prefix, "2026-01-01T00:00:00+00:00")
        pack(header, [copy.now], file)
        file.seek(0)
        base = read_base(file)
    assert len(base.tables["full"].loaded) == 16
    assert len(base.tables["full"].rows) == 25
    table = copy.loader.tables[narrow]
    assert table_read(table, table.key, ["id"]).params()["key"] == ["id"]
