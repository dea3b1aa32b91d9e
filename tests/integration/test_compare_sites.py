"""The fidelity helpers on real databases and pages: two sites built alike differ in their address alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sites import nasty
from tests.sites.compare import Exclusions, Mapping, Tables, compare_pages, compare_tables, leftovers
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

# Two installs of their own, not a site and its clone: what WordPress makes up on each is left out, guid included.
OWN = Exclusions(
    options=frozenset({"auth_*", "*_transient_*", "admin_email*", "rewrite_rules", "cron", "theme_mods_twenty*"}),
    columns=frozenset({("users", "user_pass"), ("posts", "guid"), ("users", "user_registered")}),
)  # fmt: skip
OWN_DATES = frozenset(
    {("posts", name) for name in ("post_date", "post_date_gmt", "post_modified", "post_modified_gmt")}
    | {("comments", name) for name in ("comment_date", "comment_date_gmt", "comment_content")}
)


@pytest.fixture(scope="module")
def twins(farm: SourceFarm) -> Iterator[tuple[Site, Site]]:
    one = farm.create(SiteSpec("twin-a", password="same password"))
    other = farm.create(SiteSpec("twin-of-another-length", password="same password"))
    mail = f"@{one.name}.localhost"  # an address of mail stays when a site moves
    for column, table in (("post_content", "posts"), ("option_value", "options")):
        other.sql(f"UPDATE {{p}}{table} SET {column}=REPLACE({column}, %s, %s)", (f"@{other.name}.localhost", mail))
    yield one, other
    one.destroy()
    other.destroy()


def _between(one: Site, other: Site) -> Mapping:
    return Mapping.between(one, other.home, paths={str(one.docroot): str(other.docroot)})


def test_what_wordpress_stored_on_another_address_is_what_the_mapping_says(twins: tuple[Site, Site]) -> None:
    exclusions = Exclusions(options=OWN.options, columns=OWN.columns | OWN_DATES)
    assert compare_tables(Tables.of(twins[0]), Tables.of(twins[1]), _between(*twins), exclusions) == []


def test_every_kind_of_difference_is_told(twins: tuple[Site, Site]) -> None:
    one, other = twins
    exclusions = Exclusions(options=OWN.options, columns=OWN.columns | OWN_DATES)
    other.script(
        "CREATE TABLE `{p}surplus` (id INT)",
        "UPDATE `{p}posts` SET post_title='Changed' WHERE post_name='about'",
        "DELETE FROM `{p}postmeta` WHERE meta_key='_layout' LIMIT 1",
        "ALTER TABLE `{p}links` ADD COLUMN more INT",
    )
    try:
        told = compare_tables(Tables.of(one), Tables.of(other), _between(one, other), exclusions)
    finally:
        other.script("DROP TABLE `{p}surplus`", "ALTER TABLE `{p}links` DROP COLUMN more")
        other.script("UPDATE `{p}posts` SET post_title='About' WHERE post_name='about'")
    assert len(told) == 4
    for sign in ("wp_surplus: not on the source", "post_title", "wp_postmeta[", "wp_links: columns"):
        assert any(sign in line for line in told), sign


def test_pages_of_twins_are_equal_and_a_changed_one_is_not(twins: tuple[Site, Site]) -> None:
    one, other = twins
    paths = one.paths(20)
    ignore = (r"<time.*?</time>", r"<rss.*")
    assert compare_pages(one, other.home, paths, ignore=ignore) == []
    other.script("UPDATE `{p}posts` SET post_content=CONCAT(post_content, 'x') WHERE post_name='about'")
    assert [line.split(":")[0] for line in compare_pages(one, other.home, ["/about/"])] == ["/about/"]


def test_hard_tables_compare_equal_with_themselves_and_leftovers_are_found(farm: SourceFarm) -> None:
    site = farm.create(SiteSpec("hardest", content="bare"))
    nasty.hard_tables(site)
    nasty.wide_charsets(site)
    nasty.triggers(site)
    nasty.hard_values(site)
    tables = Tables.of(site)
    stay = Mapping(((site.home, site.home),))
    told = compare_tables(tables, tables, stay)
    assert [line for line in told if "/secure" not in line and "/LOUD" not in line.upper()] == []
    assert len(told) == 2  # the mapping always writes the target's own spelling
    found = {left.place.split("[")[0] for left in leftovers(tables, site.home)}
    assert {"wp_options.option_value", "wp_we`ird.v", "wp_bits.lb", "wp_latin1.body", "wp_generated.url"} <= found
    assert leftovers(tables, "http://never-heard-of.example.com") == []
    site.destroy()
