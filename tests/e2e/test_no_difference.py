"""What a clone's server would change on the way in does not get lost, and never travels back by itself."""

from __future__ import annotations

import re
from typing import Any

from tests.e2e.product import Product
from tests.e2e.restoring import Pair
from tests.e2e.test_fidelity import Copy, copy
from tests.sites.compare import Tables
from tests.sites.fixtures import MakeSite
from tests.sites.nasty import tables


def back(made: Copy) -> list[dict[str, Any]]:
    """Tables a restore of this clone would change, were it not touched."""
    job = Pair(made.siteferry, made.site, made.job).restore(dry_run=True)
    return [plan for plan in job["result"]["plan"]["tables"] if plan["action"] != "keep"]


def test_values_at_their_columns_limit_are_neither_cut_here_nor_in_production(
    siteferry: Product, make_site: MakeSite
) -> None:
    site = make_site("limits")
    tables.full_columns(site)
    made = copy(siteferry, site)
    note = made.notes()["left_too_long"]
    named = {sample.partition(":")[0]: sample for sample in note["samples"]}
    full = {f"{site.prefix}full.{name}" for name in ("link", "code", "tiny", "small", "old", "body")}
    assert set(named) == full | {"wp_comments.comment_author_url", f"{site.prefix}fullheap.link"}
    assert re.fullmatch(r"wp_comments\.comment_author_url: 1 row \(\d+\)", named["wp_comments.comment_author_url"])
    rows = {row[0]: row for row in made.tables.rows(f"{site.prefix}full")}
    theirs = {row[0]: row for row in Tables.of(site).rows(f"{site.prefix}full")}
    shown = made.tables.stored(f"{site.prefix}full")
    for name in ("link", "code", "tiny", "small", "old", "body", "raw", "kind", "kinds"):
        assert rows[b"1"][shown.index(name)] == theirs[b"1"][shown.index(name)], name
    assert rows[b"1"][shown.index("more")] == f"{made.url}/more".encode(), "what fits is the clone's"
    room = 60 - len(made.url) + len(site.home)
    for length in range(38, 61):
        moved = rows[b"%d" % (100 + length)][shown.index("link")] or b""
        assert moved.startswith((made.url if length <= room else site.home).encode()), length
        assert len(moved) == (length - len(site.home) + len(made.url) if length <= room else length)
    assert back(made) == []


def test_types_only_mariadb_has(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("other-types")
    names = tables.other_types(site)
    made = copy(siteferry, site)
    assert made.different_rows() == []
    assert back(made) == []
    pair = Pair(siteferry, site, made.job)
    pair.on_clone(
        "UPDATE `{p}other` SET u=CONVERT('223e4567-e89b-12d3-a456-426655440000' USING utf8mb4), "
        "six=CONVERT('::2' USING utf8mb4) WHERE id=2"
    )
    pair.on_clone("UPDATE `{p}uuids` SET v='edited' LIMIT 7")
    pair.on_clone("DELETE FROM `{p}addresses` WHERE a < CONVERT('fe80::9' USING utf8mb4)")
    pair.on_clone(
        "INSERT INTO `{p}addresses` SELECT CONVERT('fe80::ffff' USING utf8mb4), CONVERT('10.9.9.9' USING utf8mb4)"
    )
    pair.restore(accept_loss=True)
    for name in names:
        production = [
            tuple(cell.replace(site.home.encode(), made.url.encode()) if cell else cell for cell in row)
            for row in Tables.of(site).rows(name)
        ]
        assert sorted(production, key=repr) == sorted(made.tables.rows(name), key=repr)


def test_keys_that_hold_one_address_in_both_schemes_stay_apart(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("address-keys", content="bare")
    names = tables.address_keys(site)
    made = copy(siteferry, site)
    note = made.notes()["left_twice"]
    assert {sample.partition(":")[0] for sample in note["samples"]} == {f"{name}.url" for name in names}
    assert note["count"] == 3
    for name in names:
        assert len(made.tables.rows(name)) == len(Tables.of(site).rows(name))
    assert back(made) == []
    pair = Pair(siteferry, site, made.job)
    pair.on_clone("UPDATE `{p}byurl` SET hits=7 WHERE url LIKE '%%secure' OR url LIKE '%%plain'")
    pair.on_clone("UPDATE `{p}pages` SET n=n+10")
    before = {row[0] for row in Tables.of(site).rows(names[0])}
    pair.restore(accept_loss=True)
    assert {row[0] for row in Tables.of(site).rows(names[0])} == before, "keys of production stay its own"
    assert site.sql("SELECT COUNT(*) FROM {p}byurl WHERE hits=7") == [(2,)]
    assert site.sql("SELECT SUM(n) FROM {p}pages") == [(36,)]


def test_definitions_that_name_the_address_are_told(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("definitions", content="bare")
    site.sql(
        f"CREATE TABLE {{p}}places (id INT PRIMARY KEY, link VARCHAR(200) DEFAULT '{site.home}/here',"
        f" plain VARCHAR(20) DEFAULT 'here', full_link VARCHAR(250) AS (CONCAT('{site.home}/', id)) VIRTUAL,"
        f" CONSTRAINT ours CHECK (link LIKE '{site.home}%%'))"
    )
    site.sql("INSERT INTO {p}places (id) VALUES (1)")
    site.sql(f"CREATE VIEW {{p}}paths AS SELECT CONCAT('{site.home}/?p=', id) AS url FROM {{p}}places")
    made = copy(siteferry, site)
    note = made.notes()["definitions_name_source"]
    assert {sample.partition(": ")[0] for sample in note["samples"]} == {
        "wp_places.link",
        "wp_places.full_link",
        "wp_places, check ours",
        "view wp_paths",
    }
