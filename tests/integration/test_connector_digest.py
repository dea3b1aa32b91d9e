"""Digests and single rows and files: what a restore compares two sites by, and what it then asks for."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from itertools import pairwise

import pytest

from shared.wordpress.connector.target import (
    FileBytes,
    FileDigest,
    FileEnd,
    FileGone,
    FileName,
    FileStart,
    TableRead,
)
from shared.wordpress.connector.writer import SiteWriter, split_digest
from tests.integration.connected import Connected, connected
from tests.integration.test_connector_rows import LIMIT, collect
from tests.sites import nasty
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec


@pytest.fixture(scope="module")
def source(farm: SourceFarm) -> Iterator[Connected]:
    site = farm.create(SiteSpec("digest", php_values={"memory_limit": "64M"}))
    nasty.hard_tables(site)
    nasty.wide_charsets(site)
    with connected(site) as connection:
        yield connection
    site.destroy()


@pytest.fixture
def writer(source: Connected) -> SiteWriter:
    return SiteWriter(source.client, "restore-digest")


def reads(source: Connected, *names: str) -> list[TableRead]:
    return [TableRead(table["name"], tuple(table["columns"]), tuple(table["key"])) for table in source.tables(*names)]


def lines(blocks: Iterator[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for table, block in blocks:
        assert block.endswith(b"\n")
        found.setdefault(table, []).extend(block[:-1].split(b"\n"))
    return found


def key_of(read: TableRead, line: bytes) -> bytes:
    cells = line.split(b"\t")
    places = [[column["name"] for column in read.columns].index(part) for part in read.key]
    return b"\t".join(cells[place] for place in places)


def test_a_digest_is_the_md5_of_the_line_that_would_be_sent(source: Connected, writer: SiteWriter) -> None:
    tables = reads(source)
    rows, _ = collect(source.drain("db.stream", {"tables": [table.params() for table in tables], "budget": 20}))
    digests = lines(writer.digest_rows(tables))
    checked = 0
    for table in tables:
        expected = [
            (key_of(table, line), hashlib.md5(line, usedforsecurity=False).hexdigest().encode())
            for line in rows[table.name].removesuffix(b"\n").split(b"\n")
            if rows[table.name]
        ]
        assert [split_digest(line) for line in digests.get(table.name, [])] == expected, table.name
        checked += len(expected)
    assert checked > 500


def test_digests_are_the_same_from_any_cursor(source: Connected) -> None:
    for name in ("ckeys", "binkeys", "nopk", "bits"):
        params = {"tables": source.tables(source.site.prefix + name), "digest": True}
        whole, _ = collect(source.drain("db.stream", params))
        pieces, ends = collect(source.drain("db.stream", {**params, "max_bytes": 1}))
        assert len(ends) > 1
        assert pieces == whole


def test_a_huge_row_is_digested_and_fetched_in_little_memory(source: Connected, writer: SiteWriter) -> None:
    ids = nasty.big_values(source.site)
    try:
        table = reads(source, source.site.prefix + "options")[0]
        found = lines(writer.digest_rows([table]))[table.name]
        keys = dict(split_digest(line) for line in found)
        key = str(ids["option"]).encode()
        params = {"tables": [{**table.params(), "keys_b64": [base64.b64encode(key).decode()]}]}
        rows, ends = collect(source.client.stream("db.fetch", params))
        line = rows[table.name].removesuffix(b"\n")
        assert len(line) > 20_000_000
        assert keys[key] == hashlib.md5(line, usedforsecurity=False).hexdigest().encode()
        assert ends[-1]["peak_memory"] < LIMIT
    finally:
        source.site.script(
            f"DELETE FROM `{{p}}options` WHERE option_id={ids['option']}",
            f"DELETE FROM `{{p}}posts` WHERE ID={ids['post']}",
        )


def test_rows_are_fetched_by_their_keys_and_nothing_else(source: Connected, writer: SiteWriter) -> None:
    tables = reads(source)
    rows, _ = collect(source.drain("db.stream", {"tables": [table.params() for table in tables], "budget": 20}))
    asked = 0
    for table in tables:
        if not table.key:
            continue
        every = rows[table.name].removesuffix(b"\n").split(b"\n") if rows[table.name] else []
        wanted = every[::3]
        keys = [key_of(table, line) for line in wanted]
        assert sorted(writer.fetch_rows(table, keys)) == sorted(wanted), table.name
        asked += len(keys)
    assert asked > 150
    posts = next(table for table in tables if table.name == source.site.prefix + "posts")
    assert list(writer.fetch_rows(posts, [b"99999999"])) == []


def test_options_are_told_apart_by_their_name(source: Connected, writer: SiteWriter) -> None:
    table = reads(source, source.site.prefix + "options")[0]
    columns = tuple(column for column in table.columns if column["name"] != "option_id")
    named = TableRead(table.name, columns, ("option_name",))
    keys = [split_digest(line)[0] for line in lines(writer.digest_rows([named]))[table.name]]
    assert {b"siteurl", b"home", b"blogname"} <= set(keys)
    assert [line.split(b"\t")[0] for line in writer.fetch_rows(named, [b"blogname"])] == [b"blogname"]


def test_every_file_of_wp_content_is_digested_under_its_nearest_base(source: Connected, writer: SiteWriter) -> None:
    site = source.site
    site.write("wp-content/siteferry-" + "a" * 32 + "/r/old/content/x.php", "<?php\n")
    site.write("wp-content/own.txt", "own")
    site.write("wp-content/uploads/a\nb\\c.txt", "odd")
    bases = {"themes": "themes", "plugins": "plugins", "uploads": "uploads", "mu-plugins": "mu-plugins"}
    expected = {}
    for folder, _, names in os.walk(os.fsencode(site.content)):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), os.fsencode(site.content))
            if path.startswith((b"siteferry-", b"plugins/siteferry-connector/")) or os.path.islink(
                folder + b"/" + name
            ):
                continue
            first, _, rest = path.partition(b"/")
            base = bases.get(first.decode(errors="replace"), "content") if rest else "content"
            with open(os.path.join(folder, name), "rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            expected[base, path if base == "content" else rest] = digest
    names = ("content", "themes", "plugins", "mu-plugins", "uploads")
    found = [item for item in writer.digest_files(names) if isinstance(item, FileDigest)]
    assert {(item.base, item.path): item.md5 for item in found} == expected
    assert len(found) == len(expected) > 30
    pieces = []
    for frame in source.drain("files.digest", {"bases": list(names), "max_bytes": 1}):
        if frame.type == "J":
            pieces += frame.json()["files"]
    assert [base64.b64decode(item["path_b64"]) for item in pieces] == [item.path for item in found]


def test_files_are_fetched_by_name(source: Connected, writer: SiteWriter) -> None:
    site = source.site
    site.write("wp-content/uploads/large.bin", os.urandom(9_000_000))
    wanted = [item for item in writer.digest_files(["themes", "uploads"]) if isinstance(item, FileDigest)][-60:]
    gone = FileName("uploads", b"never/was.jpg")
    writer.budget = 0.1
    events = list(
        writer.fetch_files([item.name for item in wanted[:30]] + [gone] + [item.name for item in wanted[30:]])
    )
    assert [event for event in events if isinstance(event, FileGone)] == [FileGone(gone, "vanished")]
    starts = [number for number, event in enumerate(events) if isinstance(event, FileStart)]
    assert len(starts) == len(wanted)
    for (first, behind), item in zip(pairwise([*starts, len(events)]), wanted, strict=True):
        start = events[first]
        assert isinstance(start, FileStart)
        assert (start.name, start.mode) == (item.name, item.mode)
        data = b"".join(event.data for event in events[first:behind] if isinstance(event, FileBytes))
        assert hashlib.md5(data, usedforsecurity=False).hexdigest() == item.md5
        assert [event for event in events[first:behind] if isinstance(event, FileEnd)] == [FileEnd(item.size, False)]


@pytest.mark.parametrize(
    "name", [("uploads", b"../../wp-config.php"), ("content", b"themes/x"), ("abspath", b"wp-config.php")]
)
def test_no_name_leads_out_of_the_bases(source: Connected, writer: SiteWriter, name: tuple[str, bytes]) -> None:
    with pytest.raises(Exception, match=r"path can not be read|nearest|no base") as caught:
        list(writer.fetch_files([FileName(*name)]))
    assert getattr(caught.value, "fault", "") == "bad_params"


def test_the_connector_and_what_restores_keep_are_not_for_the_asking(source: Connected, writer: SiteWriter) -> None:
    source.site.write("wp-content/siteferry-" + "b" * 32 + "/r/manifest.json.php", "<?php exit; ?>{}")
    names = [
        FileName("plugins", b"siteferry-connector/key.php"),
        FileName("content", b"siteferry-" + b"b" * 32 + b"/r/manifest.json.php"),
    ]
    assert list(writer.fetch_files(names)) == [FileGone(name, "not_a_file") for name in names]


def test_inspect_tells_a_restore_what_it_may_do(source: Connected, writer: SiteWriter) -> None:
    site = source.site
    site.script("CREATE TABLE sfo_0123abcd_7 (a INT)")
    facts = writer.inspect()
    assert facts["privileges"] == {"create": True, "alter": True, "rename": True, "drop": True}
    assert facts["writable_bases"] == dict.fromkeys(("content", "themes", "plugins", "mu-plugins", "uploads"), True)
    assert [1, site.username] in facts["users"]
    assert facts["users_cut"] is False
    assert not [table for table in facts["tables"] if table["name"].startswith("sf")]
    assert not [name for name in site.tables() if name.startswith("sfn_")]
    assert "users" not in source.client.call("inspect")
    tied = {
        row[0]
        for row in site.sql(
            "SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA=DATABASE()"
        )
    }
    assert set(facts["triggers_on"]) == tied
    site.script("DROP TABLE sfo_0123abcd_7")
