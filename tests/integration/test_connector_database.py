"""A site's database that is not read as one would think: tables that are broken, accounts that only db.php knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.errors import Permanent
from shared.wordpress.connector.errors import DatabaseLoginRefused, DatabaseUnsupported, TableBroken
from tests.integration.connected import Connected, connected
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site


@contextmanager
def damaged(site: Site, table: str, ending: str, harm: Callable[[bytes], bytes]) -> Iterator[None]:
    """One of a table's files is not what it was; afterwards it is again, so that the server can drop it."""
    path = site.farm.database.directory / "data" / site.database / f"{table}{ending}"
    site.sql(f"FLUSH TABLES `{table}`")
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    try:
        yield
    finally:
        site.sql(f"FLUSH TABLES `{table}`")
        path.write_bytes(whole)


def no_longer(site: Site, constant: str, value: str) -> None:
    path = site.abspath / "wp-config.php"
    text, changed = re.subn(
        rf"define\( '{constant}', '[^']*' \)", f"define( '{constant}', '{value}' )", path.read_text()
    )
    assert changed == 1
    site.write("wp-config.php", text)


def read(source: Connected, tables: list[dict[str, Any]] | None = None) -> None:
    for _ in source.drain("db.stream", {"tables": source.tables() if tables is None else tables}):
        pass


@pytest.mark.parametrize(
    ("engine", "ending", "harm"),
    [
        ("MyISAM", ".MYI", lambda data: b"\0" * len(data)),
        ("MyISAM", ".MYD", lambda data: data[: len(data) // 2]),
        ("Aria", ".MAI", lambda data: b"\0" * len(data)),
    ],
)
def test_a_broken_table_is_named_and_says_what_mends_it(
    make_site: MakeSite, engine: str, ending: str, harm: Callable[[bytes], bytes]
) -> None:
    site = make_site("broken", content="bare")
    site.script(
        f"CREATE TABLE {{p}}stats (id INT PRIMARY KEY, word VARCHAR(200)) ENGINE={engine}",
        "INSERT INTO {p}stats SELECT seq, REPEAT('larch', 30) FROM seq_1_to_400",
    )
    with connected(site) as source:
        read(source)
        tables = source.tables()
        with damaged(site, f"{site.prefix}stats", ending, harm):
            with pytest.raises(TableBroken, match="stats") as caught:
                read(source, tables)
            assert "repair" in caught.value.hint
            read(source, [table for table in tables if not table["name"].endswith("stats")])


def test_what_db_php_connects_with_is_used(make_site: MakeSite) -> None:
    site = make_site("dropin", content="bare")
    other = make_site("stale", content="bare")
    account = f"'{site.db_user}', '{site.db_password}', '{site.database}', DB_HOST"
    site.write("wp-content/db.php", f"<?php $wpdb = new wpdb( {account} );")
    with connected(site) as source:
        for constant, value in (("DB_PASSWORD", "old"), ("DB_USER", "nobody"), ("DB_NAME", other.database)):
            no_longer(site, constant, value)
            assert source.client.call("inspect")["database"]["name"] == site.database
            read(source)


def test_servers_that_a_drop_in_keeps_in_a_list_are_used(make_site: MakeSite) -> None:
    """As HyperDB does it: https://wordpress.org/plugins/hyperdb/ (`add_database`)."""
    site = make_site("hyper", content="bare")
    site.write(
        "wp-content/db.php",
        "<?php class Hyper extends wpdb { public $hyper_servers = array();\n"
        "  public function add_database( $db ) { $this->hyper_servers['global']['write'][1][] = $db; } }\n"
        f"$wpdb = new Hyper( '{site.db_user}', '{site.db_password}', '{site.database}', DB_HOST );\n"
        f"$wpdb->add_database( array( 'host' => DB_HOST, 'user' => '{site.db_user}', "
        f"'password' => '{site.db_password}', 'name' => '{site.database}' ) );\n"
        "$wpdb->dbuser = $wpdb->dbpassword = '';\n",
    )
    with connected(site) as source:
        no_longer(site, "DB_PASSWORD", "old")
        read(source)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ("$wpdb->dbuser = '';", DatabaseLoginRefused),
        ("define( 'DB_ENGINE', 'sqlite' );", DatabaseUnsupported),
    ],
)
def test_a_database_only_db_php_can_reach_is_told_as_such(
    make_site: MakeSite, more: str, kind: type[Permanent]
) -> None:
    site = make_site("secretive", content="bare")
    account = f"'{site.db_user}', '{site.db_password}', '{site.database}', DB_HOST"
    site.write("wp-content/db.php", f"<?php $wpdb = new wpdb( {account} ); {more}")
    with connected(site) as source:
        no_longer(site, "DB_PASSWORD", "old")
        with pytest.raises(kind) as caught:
            source.client.call("inspect")
        assert caught.value.hint


def test_a_versioned_table_is_read_by_the_key_of_todays_rows(make_site: MakeSite) -> None:
    site = make_site("versioned", content="bare")
    versions = (
        "since TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE, "
        "till TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (since, till)"
    )
    site.script(
        f"CREATE TABLE {{p}}periods (id INT, v VARCHAR(200), {versions}, PRIMARY KEY (id)) WITH SYSTEM VERSIONING",
        "INSERT INTO {p}periods (id, v) VALUES (1, 'one')",
        "UPDATE {p}periods SET v='two'",
        "CREATE TABLE {p}versioned (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
        f"CREATE TABLE {{p}}made (a INT NOT NULL, b INT AS (a + 1) STORED, {versions}, UNIQUE KEY u (a, b)) "
        "WITH SYSTEM VERSIONING",
    )
    with connected(site) as source:
        facts = source.client.call("inspect")
    keys = {each["name"]: each["key"] for each in facts["tables"]}
    assert keys[f"{site.prefix}periods"] == ["id"]
    assert keys[f"{site.prefix}versioned"] == ["id"]
    assert keys[f"{site.prefix}made"] == [], "what is made of other columns does not travel, and may tell rows apart"
