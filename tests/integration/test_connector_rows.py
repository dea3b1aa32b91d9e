"""db.stream: rows arrive byte for byte, at every page size, from every kind of table, in little memory."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shared.wordpress.connector.errors import ConnectorFault, ConnectorRefused
from shared.wordpress.connector.protocol import Frame
from tests.integration.connected import Connected, connected
from tests.sites import nasty
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

LIMIT = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def source(farm: SourceFarm) -> Iterator[Connected]:
    site = farm.create(SiteSpec("rows", table_prefix="w_p_", php_values={"memory_limit": "64M"}))
    nasty.hard_tables(site)
    nasty.wide_charsets(site)
    with connected(site) as connection:
        yield connection
    site.destroy()


class Target:
    """A second database on the same server, loaded the way a clone is."""

    def __init__(self, source: Connected) -> None:
        self.source = source
        self.name = f"{source.site.database}_copy"
        self.connection = source.site.farm.connect(charset="utf8mb4", local_infile=True)
        self.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
        self.execute(f"CREATE DATABASE `{self.name}`")
        self.execute(f"USE `{self.name}`")
        self.execute("SET NAMES binary, time_zone='+00:00', foreign_key_checks=0, sql_mode='NO_AUTO_VALUE_ON_ZERO'")

    def execute(self, statement: str) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def load(self, table: dict[str, Any], rows: bytes) -> None:
        fields, assignments = [], []
        for number, column in enumerate(table["columns"]):
            name = "`" + column["name"].replace("`", "``") + "`"
            if column["type_class"] == "bit":
                fields.append(f"@b{number}")
                assignments.append(f"{name} = CAST(@b{number} AS UNSIGNED)")
            else:
                fields.append(name)
        read, write = os.pipe()
        feeder = threading.Thread(target=_feed, args=(write, rows))
        feeder.start()
        tail = f" SET {', '.join(assignments)}" if assignments else ""
        self.execute(
            f"LOAD DATA LOCAL INFILE '/dev/fd/{read}' INTO TABLE {quoted(table['name'])} CHARACTER SET binary"
            f" ({', '.join(fields)}){tail}"
        )
        feeder.join()
        os.close(read)

    def same(self, table: str) -> bool:
        """Equal by CHECKSUM TABLE, or, where virtual columns make that meaningless, row by row."""
        databases = (self.source.site.database, self.name)
        sums = {self.execute(f"CHECKSUM TABLE `{name}`.{quoted(table)} EXTENDED")[0][1] for name in databases}
        if len(sums) == 1:
            return True
        if " VIRTUAL" not in self.execute(f"SHOW CREATE TABLE {quoted(table)}")[0][1].decode().upper():
            return False
        first, second = (self.execute(f"SELECT * FROM `{name}`.{quoted(table)}") for name in databases)
        return bool(first) and first == second

    def close(self) -> None:
        self.execute(f"DROP DATABASE IF EXISTS `{self.name}`")
        self.connection.close()


@pytest.fixture
def target(source: Connected) -> Iterator[Target]:
    copy = Target(source)
    yield copy
    copy.close()


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _feed(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


def collect(frames: Iterator[Frame]) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Rows by table, and the end statements."""
    rows: dict[str, bytearray] = {}
    ends: list[dict[str, Any]] = []
    table = ""
    for frame in frames:
        if frame.type == "T":
            table = frame.json()["table"]
            rows.setdefault(table, bytearray())
        elif frame.type == "R":
            rows[table] += frame.payload
        elif frame.type == "E":
            ends.append(frame.json())
    return {name: bytes(data) for name, data in rows.items()}, ends


def test_every_table_arrives_unchanged(source: Connected, target: Target) -> None:
    tables = source.tables()
    rows, ends = collect(source.drain("db.stream", {"tables": tables, "budget": 20}))
    assert ends[-1]["peak_memory"] < LIMIT
    for table in tables:
        target.execute(table["create"])
        target.load(table, rows[table["name"]])
    different = [table["name"] for table in tables if not target.same(table["name"])]
    assert different == []
    assert len(tables) > 30


@pytest.mark.parametrize("name", ["ckeys", "binkeys", "bigkeys", "zeroid", "nopk", "bits", "ucs2", "partitioned"])
def test_resuming_after_every_few_rows_gives_the_same_rows(source: Connected, name: str) -> None:
    tables = source.tables(source.site.prefix + name)
    whole, _ = collect(source.drain("db.stream", {"tables": tables}))
    pieces, ends = collect(source.drain("db.stream", {"tables": tables, "max_bytes": 1}))
    assert len(ends) > 1
    assert sorted(pieces[tables[0]["name"]].split(b"\n")) == sorted(whole[tables[0]["name"]].split(b"\n"))
    assert pieces == whole


def test_every_cursor_inside_an_answer_can_be_resumed_from(source: Connected) -> None:
    name = source.site.prefix + "deep"
    tables = source.tables(name)
    source.site.script(f"INSERT INTO `{name}` (v) SELECT REPEAT(MD5(seq), 300) FROM seq_1_to_900")
    seen, cursors = bytearray(), []
    for frame in source.client.stream("db.stream", {"tables": tables, "budget": 20}):
        if frame.type == "R":
            seen += frame.payload
        elif frame.type == "K":
            cursors.append((len(seen), frame.json()))
    assert len(cursors) > 5
    for position, cursor in cursors:
        rest, _ = collect(source.client.stream("db.stream", {"tables": tables, "cursor": cursor, "budget": 20}))
        assert rest.get(name, b"") == bytes(seen[position:])


def test_composite_keys_use_their_index(source: Connected) -> None:
    """The comparison must become ranges on the index, not a scan of all rows before the cursor."""
    site, name = source.site, f"{source.site.prefix}steps"
    site.script(
        f"CREATE TABLE {name} (lang VARCHAR(8) COLLATE utf8mb4_general_ci, id INT, v INT, PRIMARY KEY (lang, id))"
        " DEFAULT CHARSET=utf8mb4",
        f"INSERT INTO {name} SELECT 'en', seq, seq FROM seq_1_to_30000",
    )
    table = source.tables(name)
    cursor = {"table": name, "key": [base64.b64encode(v).decode() for v in (b"EN", b"29990")], "offset": 29990}
    before = _handler_reads(site)
    rows, _ = collect(source.client.stream("db.stream", {"tables": table, "cursor": cursor}))
    assert rows[name].count(b"\n") == 10
    # The dictionary look-ups of the request itself cost some reads too; a scan would cost 30,000.
    assert _handler_reads(site) - before < 15_000


def _handler_reads(site: Any) -> int:
    rows = site.sql("SHOW GLOBAL STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_rnd_next')")
    return sum(int(value) for _, value in rows)


def test_a_huge_row_passes_in_little_memory(source: Connected, target: Target) -> None:
    site = source.site
    ids = nasty.big_values(site)
    site.script("CREATE TABLE `{p}hugenokey` (a INT, b LONGBLOB)", "INSERT INTO `{p}hugenokey` VALUES (1, 'x')")
    every = "UNHEX('000102030405060708090A0B0C0D0E0F5C1A27FF')"
    site.script(f"INSERT INTO `{{p}}hugenokey` VALUES (2, REPEAT({every}, 1000000)), (3, NULL)")
    names = [site.prefix + name for name in ("options", "posts", "hugenokey")]
    tables = source.tables(*names)
    rows: dict[str, bytearray] = {}
    peaks, largest, table = [], 0, ""
    for frame in source.drain("db.stream", {"tables": tables, "budget": 20, "max_bytes": 30_000_000}):
        if frame.type == "T":
            table = frame.json()["table"]
        elif frame.type == "R":
            rows.setdefault(table, bytearray()).extend(frame.payload)
            largest = max(largest, len(frame.payload))
            assert frame.continues or frame.payload.endswith(b"\n")
        elif frame.type == "E":
            peaks.append(frame.json()["peak_memory"])
    assert max(peaks) < LIMIT
    assert largest <= 8 * 1024 * 1024 + 1
    for spec in tables:
        target.execute(spec["create"])
        target.load(spec, bytes(rows[spec["name"]]))
        assert target.same(spec["name"])
    site.script(
        f"DELETE FROM `{{p}}options` WHERE option_id={ids['option']}",
        f"DELETE FROM `{{p}}posts` WHERE ID={ids['post']}",
        "DROP TABLE `{p}hugenokey`",
    )


def test_leaving_a_large_result_early_does_not_read_it_to_its_end(source: Connected) -> None:
    """Without a key the whole table is one result; ending the answer must not wait for the rest of it."""
    site, name = source.site, f"{source.site.prefix}heap"
    site.script(
        f"CREATE TABLE {name} (a INT, b LONGTEXT) ENGINE=InnoDB",
        f"INSERT INTO {name} SELECT seq, REPEAT(MD5(seq), 8000) FROM seq_1_to_1200",
    )
    *_, end = source.client.stream("db.stream", {"tables": source.tables(name), "max_bytes": 1_000_000})
    statistics = end.json()
    assert not statistics["done"]
    assert statistics["bytes"] < 20_000_000
    sent = site.sql("SHOW GLOBAL STATUS LIKE 'Bytes_sent'")
    *_, end = source.client.stream("db.stream", {"tables": source.tables(name), "max_bytes": 1_000_000})
    more = int(site.sql("SHOW GLOBAL STATUS LIKE 'Bytes_sent'")[0][1]) - int(sent[0][1])
    assert more < 100_000_000  # of 307 MB
    site.script(f"DROP TABLE {name}")


def test_excluded_rows_stay_behind_in_count_and_stream(source: Connected) -> None:
    site, name = source.site, f"{source.site.prefix}excluded"
    site.script(
        f"CREATE TABLE {name} (id INT PRIMARY KEY, k VARCHAR(60) NULL)",
        f"INSERT INTO {name} VALUES (1, '_transient_a'), (2, 'Xtransient_b'), (3, NULL)",
        f"INSERT INTO {name} VALUES (4, '_edit_lock'), (5, 'x''y')",
    )
    table = source.tables(name)[0] | {
        "where": [{"column": "k", "not_like": [r"\_transient\_%"]}, {"column": "k", "not_in": ["_edit_lock", "x'y"]}]
    }
    assert source.client.call("db.count", {"tables": [table]})["counts"] == {name: 2}
    rows, _ = collect(source.client.stream("db.stream", {"tables": [table]}))
    assert rows[name] == b"2\tXtransient_b\n3\t\\N\n"


def test_a_table_that_went_away_is_reported_and_a_changed_one_refused(source: Connected) -> None:
    site, name = source.site, f"{source.site.prefix}brief"
    site.script(f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT)")
    tables = source.tables(name)
    site.script(f"ALTER TABLE {name} DROP COLUMN v")
    with pytest.raises(ConnectorRefused) as caught:
        list(source.client.stream("db.stream", {"tables": tables}))
    assert caught.value.fault == "schema_changed"
    site.script(f"DROP TABLE {name}")
    frames = list(source.client.stream("db.stream", {"tables": tables}))
    assert [frame.json()["reason"] for frame in frames if frame.type == "W"] == ["table_gone"]


def test_the_database_going_away_is_a_typed_temporary_fault(source: Connected) -> None:
    with pytest.raises((ConnectorFault, ConnectorRefused)) as caught:
        list(source.client.stream("db.stream", {"tables": [{"name": source.site.prefix + "posts", "key": ["nope"]}]}))
    assert caught.value.fault == "schema_changed"
