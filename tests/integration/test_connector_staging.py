"""Staging beside the live site: rows and files arrive byte for byte, and nothing visitors use changes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.errors import (
    ConnectorRefused,
    PathConflict,
    RowRefused,
    StageLost,
    TableNotExchangeable,
    TargetError,
    TargetReadOnly,
)
from shared.wordpress.connector.package import build_connector_zip
from shared.wordpress.connector.target import FileDigest, FileName, FilePut, OptionsKept, StagedTable
from shared.wordpress.connector.writer import SiteWriter
from shared.wordpress.http import site_client
from tests.integration.connected import KEY, Connected, activate, connected, unpack
from tests.integration.test_connector_rows import LIMIT, collect
from tests.sites import nasty
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec


@pytest.fixture(scope="module")
def target(farm: SourceFarm) -> Iterator[Connected]:
    site = farm.create(SiteSpec("staging", table_prefix="w_p_", php_values={"memory_limit": "64M"}))
    nasty.hard_tables(site)
    nasty.wide_charsets(site)
    with connected(site) as connection:
        yield connection
    site.destroy()


@pytest.fixture
def writer(target: Connected) -> Iterator[SiteWriter]:
    writer = SiteWriter(target.client, "restore-staging")
    yield writer
    writer.drop(snapshot=True)
    assert not [name for name in target.site.tables() if name.startswith(("sfn_", "sfo_"))]
    assert not [path for path in target.site.content.iterdir() if path.name.startswith("siteferry-")]


def put(base: str, path: bytes, data: bytes, mtime: int = 1_700_000_000) -> FilePut:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return FilePut(FileName(base, path), len(data), mtime, 0o600, digest, lambda: io.BytesIO(data))


def contents(target: Connected, table: str) -> list[Any]:
    """All rows as stored bytes. (CHECKSUM TABLE means nothing with virtual columns.)"""
    quoted = "`" + table.replace("`", "``") + "`"
    return sorted(target.site.sql(f"SELECT * FROM {quoted}", charset="binary"), key=repr)


def stage(writer: SiteWriter, tables: list[dict[str, Any]], *, create: bool = False) -> dict[int, str]:
    begun = writer.begin(
        [
            StagedTable(n, table["name"], tuple(table["key"]), table["create"] if create else None)
            for n, table in enumerate(tables)
        ]
    )
    for n in range(len(tables)):
        writer.copy(n)
    return begun.staged


def test_staged_copies_equal_the_live_tables(target: Connected, writer: SiteWriter) -> None:
    tables = target.tables()
    staged = stage(writer, tables)
    for n, table in enumerate(tables):
        assert staged[n] == writer.staged_name(n)
        assert contents(target, staged[n]) == contents(target, table["name"]), table["name"]
    facts = writer.inspect()
    assert not [table for table in facts["tables"] if table["name"].startswith("sf")]
    begun = writer.begin([])
    assert begun.staged == staged
    assert begun.same_filesystem == dict.fromkeys(("content", "themes", "plugins", "mu-plugins", "uploads"), True)


def test_a_copy_goes_on_where_it_was_cut_off(target: Connected, writer: SiteWriter) -> None:
    site, name = target.site, f"{target.site.prefix}many"
    site.script(
        f"CREATE TABLE {name} (k VARCHAR(20), v INT, PRIMARY KEY (k, v)) COLLATE utf8mb4_general_ci",
        f"INSERT INTO {name} SELECT CONCAT('Ä', seq % 7), seq FROM seq_1_to_30000",
    )
    writer.begin([StagedTable(0, name, ("k", "v"))])
    answers, cursor = [], None
    while not answers or not answers[-1]["done"]:
        answers.append(
            target.client.call("stage.copy", {"restore": "restore-staging", "n": 0, "cursor": cursor, "budget": 0})
        )
        cursor = answers[-1]["cursor"]
    assert len(answers) > 4
    assert answers[-1]["rows"] == 30000
    assert contents(target, writer.staged_name(0)) == contents(target, name)
    site.script(f"DROP TABLE {name}")


def test_rows_written_are_the_rows_that_were_read(target: Connected, writer: SiteWriter) -> None:
    tables = [table for table in target.tables() if "FOREIGN KEY" not in table["create"]]
    rows, _ = collect(target.drain("db.stream", {"tables": tables, "budget": 20}))
    staged = stage(writer, tables, create=True)
    written = 0
    for n, table in enumerate(tables):
        lines = rows[table["name"]].removesuffix(b"\n").split(b"\n") if rows[table["name"]] else []
        for _ in range(2):  # twice: the second time changes nothing
            if table["key"]:
                applied = writer.apply(n, table["columns"], table["key"], upserts=lines)
            else:
                applied = writer.replace_all(n, table["columns"], lines)
        assert applied.upserted == len(lines)
        assert contents(target, staged[n]) == contents(target, table["name"]), table["name"]
        written += len(lines)
    assert written > 500


def test_changes_and_deletions(target: Connected, writer: SiteWriter) -> None:
    table = target.tables(target.site.prefix + "options")[0]
    staged = stage(writer, [table])[0]
    columns = [column for column in table["columns"] if column["name"] != "option_id"]
    line = b"blogname\tA\\tb\\\\c\\n\xc3\xa4\\0\tyes"
    for _ in range(2):
        writer.apply(0, columns, ["option_name"], upserts=[line, b"brand_new\t\\n\tno"], deletes=[b"admin_email"])
    found = dict(target.site.sql(f"SELECT option_name, option_value FROM {staged}", charset="binary"))
    live = dict(target.site.sql("SELECT option_name, option_value FROM {p}options", charset="binary"))
    assert found.pop(b"blogname") == "A\tb\\c\nä\0".encode()
    assert found.pop(b"brand_new") == b"\n"
    del live[b"blogname"], live[b"admin_email"]
    assert found == live


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b"7\t" + b"x" * 21 + b"\t1", "too long"),
        (b"7\tx\tmany", "ncorrect"),
        (b"7\tx\t99999999999", "ut of range"),
        (b"7\t\xc3(\t1", "ncorrect string"),
        (b"7\tx\t\\N", "cannot be null"),
        (b"7\ttaken\t1", "Duplicate"),
    ],
    ids=["too long", "no number", "out of range", "not of the charset", "null", "not unique"],
)
def test_a_row_the_database_would_change_is_refused_by_name(
    target: Connected, writer: SiteWriter, row: bytes, says: str
) -> None:
    site, name = target.site, f"{target.site.prefix}strict"
    site.script(
        f"CREATE TABLE {name} (id INT PRIMARY KEY, t VARCHAR(20) UNIQUE, v INT NOT NULL) DEFAULT CHARSET utf8mb4",
        f"INSERT INTO {name} VALUES (1, 'taken', 1)",
    )
    table = target.tables(name)[0]
    staged = stage(writer, [table])[0]
    good = [b"%d\tgood %d\t1" % (n, n) for n in range(10, 60)]
    with pytest.raises(RowRefused, match=says) as caught:
        writer.apply(0, table["columns"], ["id"], upserts=[*good, row])
    assert caught.value.details == {"table": name, "key": "7"}
    assert contents(target, staged) == contents(target, name)
    site.script(f"DROP TABLE {name}")


def test_a_huge_row_is_written_in_pieces_and_little_memory(target: Connected, writer: SiteWriter) -> None:
    site, name = target.site, f"{target.site.prefix}big"
    site.script(
        f"CREATE TABLE {name} (id INT PRIMARY KEY, t LONGTEXT, b LONGBLOB, s VARCHAR(9)) DEFAULT CHARSET utf8mb4",
        f"INSERT INTO {name} VALUES (1, REPEAT('aß€😀\\n', 700000), REPEAT(UNHEX('00095C0A1A27FF41'), 900000), 'end')",
        f"INSERT INTO {name} VALUES (2, 'x', NULL, '')",
    )
    table = target.tables(name)[0]
    rows, _ = collect(target.drain("db.stream", {"tables": [table], "budget": 20}))
    staged = stage(writer, [table], create=True)[0]
    for _ in range(2):
        assert writer.apply(0, table["columns"], ["id"], upserts=rows[name][:-1].split(b"\n")).upserted == 2
    assert site.sql(f"SELECT MD5(t), MD5(b), s FROM {staged} ORDER BY id") == site.sql(
        f"SELECT MD5(t), MD5(b), s FROM {name} ORDER BY id"
    )
    site.script(f"DROP TABLE {name}")


def test_files_are_staged_beside_the_live_ones(target: Connected, writer: SiteWriter) -> None:
    site = target.site
    site.write("wp-content/uploads/kept.txt", "live", mode=0o640)
    before = {(item.base, item.path): item for item in writer.digest_files(["content", "themes", "uploads"])}
    big = os.urandom(5_000_000)
    puts = [
        put("uploads", b"kept.txt", b"new"),
        put("uploads", b"2026/\xff odd\n.jpg", big),
        put("themes", b"fresh/style.css", b""),
        *[put("content", b"many/%03d.txt" % n, b"%d" % n) for n in range(450)],
    ]
    begun = writer.begin([])
    sent = sum(item.size for item in puts)
    assert writer.put_files(puts) == sent
    assert writer.put_files(puts) == 0
    place = os.fsencode(site.content / begun.directory / "restore-staging" / "new")
    for item in puts:
        path = os.path.join(place, item.name.base.encode(), item.name.path)
        with open(path, "rb") as file, item.open() as wanted:
            assert file.read() == wanted.read()
        assert os.stat(path).st_mtime == 1_700_000_000
    modes = [
        stat.S_IMODE(os.stat(os.path.join(place, name)).st_mode)
        for name in (b"uploads/kept.txt", b"themes/fresh/style.css")
    ]
    assert modes == [0o640, 0o644]
    after = {(item.base, item.path): item for item in writer.digest_files(["content", "themes", "uploads"])}
    assert after == before
    assert not [path for path in _cloned(target) if b"siteferry-" in path]


def _cloned(target: Connected) -> list[str]:
    return [
        frame.payload
        for frame in target.drain("files.stream", {})
        if frame.type == "F" and b"siteferry" in frame.payload
    ]  # type: ignore[misc]


def test_what_stands_in_the_way_is_an_error_with_its_name(target: Connected, writer: SiteWriter) -> None:
    site = target.site
    writer.begin([])
    site.write("wp-content/uploads/folder/x.txt", "x")
    with pytest.raises(PathConflict, match="uploads/folder"):
        writer.put_files([put("uploads", b"folder", b"data")])
    with pytest.raises(PathConflict, match="below a file"):
        writer.put_files([put("uploads", b"folder/x.txt/y", b"data")])
    locked = site.uploads / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(TargetReadOnly, match="locked"):
        writer.put_files([put("uploads", b"locked/new.txt", b"data")])
    locked.rmdir()
    for base, path in (("uploads", b"../../x"), ("content", b"uploads/x"), ("plugins", b"siteferry-connector/key.php")):
        with pytest.raises(Exception, match=r"read|nearest|own") as caught:
            writer.put_files([put(base, path, b"data")])
        assert getattr(caught.value, "fault", "") == "bad_params"


def test_options_that_stay_the_sites_own(target: Connected, writer: SiteWriter) -> None:
    site = target.site
    table = target.tables(site.prefix + "options")[0]
    staged = stage(writer, [table])[0]
    site.sql(f"UPDATE {staged} SET option_value='clone' WHERE option_name IN ('home', 'blogname', 'siteurl')")
    site.sql(f"INSERT INTO {staged} (option_name, option_value) VALUES ('theme_mods_clone', 'x')")
    site.sql("INSERT INTO {p}options (option_name, option_value) VALUES ('theme_mods_live', 'x')")
    for _ in range(2):
        assert writer.keep_options(OptionsKept(0, ("home", "siteurl", "never_there"), (r"theme\_mods\_%",))) >= 3
    found = dict(site.sql(f"SELECT option_name, option_value FROM {staged}"))
    assert (found["home"], found["siteurl"], found["blogname"]) == (site.home, site.siteurl, "clone")
    assert "theme_mods_live" in found
    assert "theme_mods_clone" not in found
    ids = "SELECT option_id FROM {} WHERE option_name='home'"
    assert site.sql(ids.format(staged)) == site.sql(ids.format("{p}options"))


def test_ids_are_reserved_for_the_rows_that_come(target: Connected, writer: SiteWriter) -> None:
    site = target.site
    top = site.sql("SELECT MAX(ID) FROM {p}posts")[0][0]
    writer.reserve_ids({site.prefix + "posts": top + 50, site.prefix + "term_relationships": 5})
    site.script("INSERT INTO {p}posts (post_title) VALUES ('next')")
    assert site.sql("SELECT ID FROM {p}posts WHERE post_title='next'")[0][0] == top + 51
    writer.reserve_ids({site.prefix + "posts": top})
    site.script("DELETE FROM {p}posts WHERE post_title='next'")


def test_nothing_is_staged_without_a_beginning(target: Connected) -> None:
    writer = SiteWriter(target.client, "restore-never")
    with pytest.raises(StageLost):
        writer.put_files([put("uploads", b"x", b"y")])
    with pytest.raises(Exception, match="name of letters"):
        SiteWriter(target.client, "../../x").begin([])
    writer.drop(snapshot=True)


def test_tables_the_database_can_not_make_are_refused(target: Connected, writer: SiteWriter) -> None:
    writer.begin([StagedTable(0, "w_p_new", (), "CREATE TABLE `w_p_new` (a INT) COLLATE=utf8mb4_0900_ai_ci")])
    with pytest.raises(TargetError, match="utf8mb4_0900_ai_ci"):
        writer.copy(0)


def test_a_table_with_foreign_keys_is_not_staged(target: Connected, writer: SiteWriter) -> None:
    tied = next(table for table in target.tables() if "FOREIGN KEY" in table["create"])
    assert tied["name"] in writer.inspect()["foreign_keys"]
    writer.begin([StagedTable(0, tied["name"], tuple(tied["key"]), tied["create"])])
    with pytest.raises(TableNotExchangeable, match=tied["name"]):
        writer.copy(0)


def test_memory_and_a_small_post_limit(farm: SourceFarm) -> None:
    site = farm.create(SiteSpec("tight", php_values={"memory_limit": "64M", "post_max_size": "256K"}))
    try:
        with connected(site) as connection:
            writer = SiteWriter(
                ConnectorClient(connection.http, endpoints(site.home, site.siteurl), KEY), "restore-tight"
            )
            writer.begin([])
            data = os.urandom(700_000)
            assert writer.put_files([put("uploads", b"a.bin", data), put("uploads", b"b.txt", b"b")]) == 700_001
            *_, end = connection.client.stream("stage.files", {"restore": "restore-tight", "have": []})
            assert end.json()["peak_memory"] < LIMIT
            writer.drop(snapshot=True)
    finally:
        site.destroy()


def test_a_key_made_by_hand_can_not_write(farm: SourceFarm) -> None:
    site = farm.create(SiteSpec("byhand"))
    try:
        unpack(build_connector_zip(), site)
        activate(site)
        key = bytes.fromhex(site.php("return include WP_PLUGIN_DIR . '/siteferry-connector/key.php';")["key"])
        with site_client() as http:
            writer = SiteWriter(ConnectorClient(http, endpoints(site.home, site.siteurl), key), "restore-byhand")
            assert writer.snapshots() == []
            for work in (lambda: writer.begin([]), writer.rollback, lambda: writer.drop(snapshot=True)):
                with pytest.raises(ConnectorRefused, match="read the site only"):
                    work()
    finally:
        site.destroy()


def test_links_are_listed_only(target: Connected, writer: SiteWriter) -> None:
    (target.site.uploads / "link.txt").symlink_to("kept.txt")
    target.site.write("wp-content/uploads/kept.txt", "live")
    listed = [item for item in writer.digest_files(["uploads"]) if not isinstance(item, FileDigest)]
    assert [(item.path, item.target) for item in listed] == [(b"link.txt", b"kept.txt")]
    (target.site.uploads / "link.txt").unlink()
