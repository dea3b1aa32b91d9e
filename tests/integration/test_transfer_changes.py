"""A copy of several answers, and a source that is written to meanwhile: its rows are right in the copy afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from pymysql.converters import encoders

from shared.wordpress.base import BaseHeader, pack, read_base, row_identity
from shared.wordpress.connector.client import ConnectorClient
from shared.wordpress.connector.target import TableRead
from shared.wordpress.connector.writer import SiteWriter, split_digest
from shared.wordpress.transfer import changes
from shared.wordpress.transfer.changes import CatchUp, Changes
from shared.wordpress.transfer.database import Column, Loader, Table
from shared.wordpress.transfer.ddl import quote
from shared.wordpress.transfer.digests import RowDigests
from siteferry.embedded.servers import MariaDB
from tests.integration.connected import Connected, connected
from tests.sites import nasty
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

POSTS = 300
ANSWER = 64 * 1024
"""Bytes of one answer: a few dozen of these posts."""


@pytest.fixture(scope="module")
def source(farm: SourceFarm) -> Iterator[Connected]:
    site = farm.create(SiteSpec("moving"))
    nasty.hard_tables(site)
    body = "harbour " * 250
    for n in range(POSTS):
        site.sql(
            "INSERT INTO {p}posts (ID, post_title, post_content, post_excerpt, to_ping, pinged,"
            " post_content_filtered) VALUES (%s, %s, %s, '', '', '', '')",
            (1000 + n, f"Post {n}", body),
        )
    with connected(site) as connection:
        yield connection
    site.destroy()


class Copy:
    """A database beside the source's, filled as a cloner would."""

    def __init__(self, source: Connected, server: MariaDB, directory: Path) -> None:
        self.source = source
        self.server = server
        self.name = f"copy_{secrets.token_hex(4)}"
        self.records = directory / "rows"
        self.now = directory / "rows-now"
        self.tables = [
            Table(
                table["name"],
                "InnoDB",
                table["create"],
                tuple(Column(column["name"], column["type_class"], rewrite=False) for column in table["columns"]),
                tuple(table["key"]),
            )
            for table in source.tables()
        ]
        self.tables.sort(key=lambda table: table.name != self.prefixed("posts"))  # first, so that it ends first
        with self._connect(None) as connection:
            connection.cursor().execute(f"CREATE DATABASE {self.name}")
        self.digests = RowDigests(self.records, source.site.prefix, {})
        self.loader = Loader(lambda: self._connect(self.name), self.tables, self._remember)

    def prefixed(self, name: str) -> str:
        return self.source.site.prefix + name

    def _connect(self, database: str | None) -> Connection[Any]:
        return pymysql.connect(
            unix_socket=str(self.server.socket),
            user=self.server.admin_user,
            password=self.server.admin_password,
            database=database,
            charset="utf8mb4",
            init_command="SET NAMES binary",
            use_unicode=False,
            local_infile=True,
            max_allowed_packet=256 << 20,
            ssl_disabled=True,
        )

    def _remember(self, table: Table, rows: bytes) -> bytes:
        self.digests.add(table, rows, rows)
        return rows

    def answers(self) -> Iterator[str]:
        """Load one answer after the other; the table each ended in."""
        self.loader.open()
        for table in self.tables:
            self.loader.create(table)
        wire = [read(table, table.key, [column.name for column in table.columns]).params() for table in self.tables]
        cursor: dict[str, Any] | None = None
        while True:
            params = {"tables": wire, "budget": 10, "max_bytes": ANSWER, "cursor": cursor}
            end = self.loader.receive(self.source.client.stream("db.stream", params), on_rows=lambda: None)
            if end["done"]:
                assert self.digests.position() is not None
                return
            cursor = end["cursor"]
            yield cursor["table"]

    def catch_up(self, client: ConnectorClient | None = None) -> Changes:
        again = CatchUp(
            client or self.source.client,
            self.loader,
            lambda _table, rows: rows,
            prefix=self.source.site.prefix,
            check=lambda: None,
        )
        found = again.run(self.records, self.now)
        self.loader.commit_position(None, done=True)
        return found

    def rows(self, name: str, *, theirs: bool = False) -> list[Any]:
        database = self.source.site.database if theirs else self.name
        farm = self.source.site.farm
        with (
            farm.connect(charset="binary", database=database, conv=encoders) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SELECT * FROM {quote(name)}")
            return sorted(cursor.fetchall(), key=repr)

    def different(self) -> list[str]:
        """Tables whose rows differ from the source's."""
        return [table.name for table in self.tables if self.rows(table.name) != self.rows(table.name, theirs=True)]

    def wrongly_remembered(self) -> list[str]:
        """Tables of which the base says something else than the source."""
        with (self.records.parent / "base").open("w+b") as file:
            pack(
                BaseHeader("clone-x", "http://x", self.source.site.prefix, "2026-01-01T00:00:00+00:00"),
                [self.now],
                file,
            )
            file.seek(0)
            base = read_base(file)
        wrong = []
        for table in self.tables:
            short = table.name.removeprefix(self.source.site.prefix)
            key, columns = row_identity(short, table.key, [column.name for column in table.columns])
            blocks = SiteWriter(self.source.client, "restore-x").digest_rows([read(table, key, columns)])
            told = [split_digest(line) for _, block in blocks for line in block.split(b"\n")[:-1]]
            expected = {name if key else bytes.fromhex(md5.decode()): bytes.fromhex(md5.decode()) for name, md5 in told}
            if dict(base.rows(short, key, columns) or {}) != expected:
                wrong.append(short)
        return wrong

    def close(self) -> None:
        self.loader.close()
        self.digests.close()
        with self._connect(None) as connection:
            connection.cursor().execute(f"DROP DATABASE {self.name}")


def read(table: Table, key: tuple[str, ...], columns: Any) -> TableRead:
    kinds = {column.name: column.type_class for column in table.columns}
    return TableRead(table.name, tuple({"name": name, "type_class": kinds[name]} for name in columns), key)


@pytest.fixture
def copy(source: Connected, farm: SourceFarm, tmp_path: Path) -> Iterator[Copy]:
    made = Copy(source, farm.database, tmp_path)
    yield made
    made.close()


def test_rows_behind_the_cursor_are_right_afterwards(copy: Copy) -> None:
    site, posts, options = copy.source.site, copy.prefixed("posts"), copy.prefixed("options")
    edits = iter(
        [
            ("UPDATE {p}posts SET post_title='edited', post_content='new\\ttext' WHERE ID=1000",),
            ("DELETE FROM {p}posts WHERE ID=1001",),
            ("INSERT INTO {p}posts (ID, post_title, post_content, post_excerpt, to_ping, pinged,"
             " post_content_filtered) VALUES (900, 'written meanwhile', '', '', '', '', '')",),
        ]
    )  # fmt: skip
    answers = 0
    for table in copy.answers():
        answers += 1
        if table == posts and (edit := next(edits, None)):
            site.script(*edit)
    assert next(edits, None) is None, "the posts came in too few answers"
    site.script(
        "UPDATE {p}options SET option_value='Moved on' WHERE option_name='blogname'",
        "DELETE FROM {p}options WHERE option_name='blogdescription'",
        "INSERT INTO {p}options (option_name, option_value) VALUES ('brand_new', 'x')",
        "UPDATE {p}usermeta SET meta_value='Nick' WHERE meta_key='nickname'",
    )
    assert answers > 5
    assert {posts, options} <= set(copy.different())
    found = copy.catch_up()
    assert copy.different() == []
    assert copy.wrongly_remembered() == []
    assert found.gone == 2
    assert found.changed >= 5
    assert copy.catch_up().changed == found.changed, "whoever begins again comes to the same end"
    assert copy.different() == []


def test_nothing_is_done_where_nothing_changed(copy: Copy) -> None:
    for _ in copy.answers():
        pass
    assert copy.catch_up() == Changes()
    assert copy.different() == []
    assert sorted(copy.now.read_bytes().split(b"\n")) == sorted(copy.records.read_bytes().split(b"\n"))


def test_a_long_table_is_looked_at_again_with_few_of_its_rows_in_memory(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = copy.source.site
    for _ in copy.answers():
        pass
    site.script(
        "UPDATE {p}posts SET post_title='later' WHERE ID IN (1002, 1150, 1299)",
        "DELETE FROM {p}posts WHERE ID IN (1003, 1200, 1298)",
    )
    monkeypatch.setattr(changes, "MAX_ROWS", POSTS // 10)
    found = copy.catch_up()
    assert copy.prefixed("posts") not in found.left
    assert (found.changed, found.gone) == (3, 3)
    assert copy.different() == []
    assert copy.wrongly_remembered() == []


@pytest.mark.parametrize(
    "change", ["UPDATE {p}posts SET post_title='other'", "DELETE FROM {p}posts"], ids=["updated", "deleted"]
)
def test_a_table_of_which_too_much_changed_stays_as_it_was_copied(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    site, posts = copy.source.site, copy.prefixed("posts")
    for _ in copy.answers():
        pass
    site.script(f"{change} WHERE ID BETWEEN 1100 AND 1140")
    monkeypatch.setattr(changes, "MAX_ROWS", 30)
    found = copy.catch_up()
    assert posts in found.left
    assert (found.changed, found.gone) == (0, 0)
    assert copy.different() == [posts]
    assert sorted(copy.now.read_bytes().split(b"\n")) == sorted(copy.records.read_bytes().split(b"\n"))


def test_a_table_that_is_gone_or_other_now_stays_as_it_was_copied(copy: Copy) -> None:
    site = copy.source.site
    site.script("CREATE TABLE {p}fading (id INT PRIMARY KEY, a INT)", "INSERT INTO {p}fading VALUES (1, 1), (2, 2)")
    site.script("CREATE TABLE {p}turning (id INT PRIMARY KEY, a INT)", "INSERT INTO {p}turning VALUES (1, 1)")
    fresh = Copy(copy.source, copy.server, copy.records.parent)
    try:
        for _ in fresh.answers():
            pass
        site.script("DROP TABLE {p}fading", "ALTER TABLE {p}turning DROP COLUMN a")
        found = fresh.catch_up()
        assert sorted(found.left) == [fresh.prefixed("fading"), fresh.prefixed("turning")]
        assert len(fresh.rows(fresh.prefixed("fading"))) == 2
        assert len(fresh.rows(fresh.prefixed("turning"))) == 1
        assert sorted(fresh.now.read_bytes().split(b"\n")) == sorted(fresh.records.read_bytes().split(b"\n"))
    finally:
        fresh.close()
        site.script("DROP TABLE IF EXISTS {p}fading, {p}turning")
