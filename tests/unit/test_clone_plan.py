"""What is decided about a clone from what its source says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from services.cloner.domain import Plan, make_plan
from shared.contract.events import CloneOptions
from shared.wordpress.connector.errors import TableBroken
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.transfer.ddl import Dialect


def facts(**more: Any) -> dict[str, Any]:
    """An inspection, as the connector sends it."""
    return {
        "multisite": False,
        "prefix": "wp_",
        "db_charset": "utf8mb4",
        "db_collate": "",
        "constants": {},
        "urls": {"home": "https://shop.example.com", "siteurl": "https://shop.example.com"},
        "paths": {"content": "/srv/shop/wp-content", "mu-plugins": "/srv/shop/wp-content/mu-plugins"},
        "roots": [{"id": "abspath", "path": "/srv/shop", "target": ""}],
        "active_plugins": [],
        "tables": [],
        **more,
    }


def plan(**more: Any) -> Plan:
    options, dialect = CloneOptions(), Dialect(set(), set())
    return make_plan(facts(**more), target_url="http://c", document_root="/c/site", dialect=dialect, options=options)


@pytest.mark.parametrize("target", ["../clone-2/site", "wp/../../x", "..", "wp\0", "wp/" * 200, "n" * 300])
def test_a_root_stays_below_the_document_root(target: str) -> None:
    with pytest.raises(ImplausibleSite):
        plan(roots=[{"id": "abspath", "path": "/srv/shop", "target": target}])


def test_so_do_the_places_of_content_and_plugins() -> None:
    with pytest.raises(ImplausibleSite):
        plan(paths={"content": "/srv/shop/../../etc", "mu-plugins": "/srv/shop/mu"})
    made = plan(
        roots=[{"id": "abspath", "path": "/srv/shop/wp", "target": "/wp/"}],
        paths={"content": "/srv/shop/wp/wp-content", "mu-plugins": "/srv/shop/wp/wp-content/mu-plugins"},
    )
    assert (made.config.wordpress_path, made.content, made.root_targets) == ("wp", b"wp/wp-content", {"abspath": b"wp"})


def test_a_table_without_which_there_is_no_site_must_be_readable() -> None:
    broken = {"kind": "table", "create": None, "create_b64": None, "create_error": "Database error 145: crashed"}
    with pytest.raises(TableBroken, match="wp_posts"):
        plan(tables=[{**broken, "name": "wp_posts"}])
    noted = plan(tables=[{**broken, "name": "wp_statistics"}]).notes
    assert [note.samples for note in noted if note.code == "tables_unreadable"] == [
        ["wp_statistics: Database error 145: crashed"]
    ]
