"""A clone is the source, moved: every row, every file, every page; compared by code that shares nothing with ours."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pytest

from shared.cells.names import database_name
from tests.e2e.product import Product
from tests.e2e.target import connect, connectors
from tests.sites.compare import Exclusions, Mapping, Tables, compare_files, compare_pages, compare_tables, leftovers
from tests.sites.fixtures import MakeSite
from tests.sites.nasty import files, tables, values
from tests.sites.site import Site
from tests.sites.spec import PLAIN

TRANSIENTS = frozenset({"_transient_*", "_site_transient_*", "_wc_session_*"})
SKIPPED_FILES = ("wp-config.php", "wp-content/upgrade*", "*.log")
GUID = (r"<guid[^>]*>.*?</guid>", r"<link rel='shortlink'[^>]*>")


@dataclass
class Copy:
    """A site, its clone, and where to look."""

    site: Site
    job: dict[str, Any]
    siteferry: Product

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.job["result"]
        return result

    @property
    def url(self) -> str:
        return str(self.result["clone_url"]).rstrip("/")

    @property
    def document_root(self) -> Any:
        return self.siteferry.directory(self.result["clone_id"]) / "site"

    @property
    def mapping(self) -> Mapping:
        return Mapping.between(self.site, self.url, paths={str(self.site.docroot): str(self.document_root)})

    @property
    def tables(self) -> Tables:
        name = database_name(self.result["clone_id"])
        return Tables(lambda: connect(self.siteferry, name), name, self.site.prefix)

    def different_rows(self, *, options: frozenset[str] = frozenset(), **more: Any) -> list[str]:
        users = frozenset({self.result["username"]})
        known = Exclusions(options=TRANSIENTS | options, users=users, **more)
        return compare_tables(Tables.of(self.site), self.tables, self.mapping, known)

    def different_files(self, *skip: str) -> list[str]:
        return compare_files(self.site.docroot, self.document_root, skip=(*SKIPPED_FILES, *skip))

    def notes(self) -> dict[str, dict[str, Any]]:
        return {note["code"]: note for note in self.result["notes"]}


def copy(siteferry: Product, site: Site, *, timeout: float = 120, **more: Any) -> Copy:
    made = Copy(site, siteferry.clone(site, timeout=timeout, **more), siteferry)
    assert connectors(site) == [], "nothing of ours stays on the source"
    return made


def test_rows_files_and_pages_are_equal(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("twin")
    values.hard_values(site)
    unreadable = "option_value LIKE 's:999:%%'"  # no program can read it, so it is left alone (a test of the rewriter)
    site.sql(f"DELETE FROM {{p}}options WHERE {unreadable}")
    made = copy(siteferry, site)
    assert made.different_rows() == []
    assert made.different_files() == []
    assert leftovers(made.tables, site.home) == []
    paths = site.paths()
    assert len(paths) >= 20
    assert compare_pages(site, made.url, paths[:25], ignore=GUID) == []
    assert made.result["leftovers"] == 0


def test_a_source_with_tight_limits_plain_permalinks_another_prefix_and_no_rest(
    siteferry: Product, make_site: MakeSite
) -> None:
    limits = {"memory_limit": "64M", "max_execution_time": "30", "post_max_size": "8M", "upload_max_filesize": "2M"}
    site = make_site("tight", php_values=limits, permalinks=PLAIN, table_prefix="Shop_9_", rest_disabled=True)
    place = "b64:" + base64.b64encode(site.home.encode()).decode()
    site.sql("INSERT INTO {p}options (option_name, option_value) VALUES ('fs_accounts', %s)", (place,))
    made = copy(siteferry, site)
    assert made.different_rows() == []
    left = made.notes()["leftovers"]
    assert (left["count"], made.result["leftovers"]) == (1, 1)
    assert left["samples"] == [f"Shop_9_options.option_value row fs_accounts: {site.home}"]
    assert made.different_files() == []
    assert "rest_unavailable" in made.notes()


@pytest.mark.parametrize("layout", ["wp-subdir", "blog"])
def test_wordpress_in_a_directory_of_its_own(siteferry: Product, make_site: MakeSite, layout: str) -> None:
    site = make_site(f"layout-{layout}", layout=layout)
    site.write("ads.txt", "google.com, pub-1, DIRECT\n")
    site.write("google1234.html", "google-site-verification: google1234.html")
    site.write(".well-known/security.txt", "Contact: mailto:a@example.com\n")
    site.write("landing/index.html", "<html>beside</html>")
    made = copy(siteferry, site)
    assert leftovers(made.tables, site.home) == []
    assert compare_pages(site, made.url, site.paths()[:8], ignore=GUID) == []
    if layout == "wp-subdir":
        assert {"ads.txt", "google1234.html"} <= {path.name for path in made.document_root.iterdir()}
        assert made.notes()["files_beside"]["samples"] == [".well-known", "landing"]
    else:
        assert "files_beside" not in made.notes(), "what lies above /blog is no part of the site"


def test_a_content_directory_of_another_name(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("content-elsewhere", content_dir="app")
    made = copy(siteferry, site)
    assert made.different_rows() == []
    assert (made.document_root / "app" / "themes").is_dir()
    assert compare_pages(site, made.url, site.paths()[:8], ignore=GUID) == []


def test_hard_tables(siteferry: Product, make_site: MakeSite) -> None:
    """No key, text keys, UTF-8 in latin1, BIT, BLOB, generated columns, zero dates, MyISAM, odd names, views."""
    site = make_site("hard-tables")
    tables.hard_tables(site)
    tables.views(site)
    others, siblings = tables.foreign_tables(site), tables.sibling_install(site)
    made = copy(siteferry, site)
    foreign = frozenset(name.removeprefix(site.prefix) for name in site.tables() if name not in made.tables.names())
    assert made.different_rows(tables=foreign, columns=frozenset({("bits", "lb")})) == []
    notes = made.notes()
    assert notes["binary_names_source"]["count"] == 1
    assert notes["binary_names_source"]["samples"][0].startswith("wp_bits.lb row 3: ")
    assert notes["tables_foreign"]["count"] == len(siblings)
    assert set(others) <= set(notes["tables_other"]["samples"])
    assert not set(made.tables.names()) & {*siblings, *others}


def test_triggers_are_reported_and_do_not_fire(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("triggers")
    tables.triggers(site)
    made = copy(siteferry, site)
    assert made.different_rows() == []
    assert made.notes()["triggers_not_copied"]["count"] >= 1


def test_a_row_of_40_mb_through_64_mb_of_memory(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("big-row", php_values={"memory_limit": "64M", "max_execution_time": "30"})
    tables.big_values(site)
    made = copy(siteferry, site, timeout=240)
    assert made.different_rows() == []
    assert made.result["leftovers"] == 0


def test_a_file_of_600_mb_and_5000_small_ones(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("many-files", php_values={"memory_limit": "64M", "max_execution_time": "30"})
    files.big_file(site)
    files.many_files(site)
    made = copy(siteferry, site, timeout=240)
    assert made.different_files() == []


def test_unreadable_files_links_odd_names_and_clutter(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("odd-files")
    unreadable = files.unreadable(site)
    links = files.links(site)
    files.odd_names(site)
    files.hidden_files(site)
    clutter = files.clutter(site)
    made = copy(siteferry, site)
    known = [path.decode(errors="surrogateescape") for path in (*unreadable, *links.values(), *clutter.values())]
    told = " ".join(sample for note in made.result["notes"] for sample in note["samples"])
    for path in unreadable[:1]:
        assert path.decode(errors="backslashreplace") in told
    patterns = [pattern for path in known for pattern in (path, f"{path}/*")]
    assert [line for line in made.different_files(*patterns) if "folder" not in line] == []


def test_what_is_left_out_as_asked_is_told(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("left-out")
    stylesheet = files.stylesheet_with_urls(site)
    options = {"exclude_tables": ["comments"], "exclude_paths": ["wp-content/themes/twentytwenty*"]}
    made = copy(siteferry, site, options=options)
    assert f"{site.prefix}comments" not in made.tables.names()
    assert made.notes()["tables_excluded"]["samples"] == [f"{site.prefix}comments"]
    assert made.different_rows(tables=frozenset({"comments"})) == []
    told = made.notes()["stylesheets_name_source"]["samples"]
    assert [sample for sample in told if stylesheet.name in sample]
