"""Restoring a clone nobody touched writes nothing: for every hard thing there is on a source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.product import Product
from tests.e2e.restoring import Pair, files_of, rows_of
from tests.sites import nasty
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site

SMALL = 3 << 20

ROWS: list[Callable[[Site], Any]] = [
    nasty.hard_tables,
    nasty.wide_charsets,
    nasty.full_columns,
    nasty.other_types,
    nasty.rare_tables,
    nasty.address_keys,
    nasty.hard_values,
    nasty.views,
    nasty.foreign_tables,
    nasty.sibling_install,
    lambda site: nasty.big_values(site, SMALL),
]
FILES: list[Callable[[Site], Any]] = [
    lambda site: nasty.big_file(site, SMALL),
    lambda site: nasty.many_files(site, 300),
    nasty.unreadable,
    nasty.links,
    nasty.odd_names,
    nasty.rare_files,
    nasty.hidden_files,
    nasty.clutter,
    nasty.stylesheet_with_urls,
    nasty.drop_ins,
    nasty.host_bound,
]


@pytest.mark.parametrize("kinds", [ROWS, FILES, [nasty.triggers, nasty.noisy]], ids=["rows", "files", "code"])
def test_nothing_is_written(siteferry: Product, make_site: MakeSite, kinds: list[Callable[[Site], Any]]) -> None:
    site = make_site("untouched", content="bare")
    for make in kinds:
        make(site)
    pair = Pair(siteferry, site, siteferry.clone(site, timeout=400))
    shown = pair.restore(dry_run=True, timeout=400)["result"]["plan"]
    assert [plan for plan in shown["tables"] if plan["action"] != "keep"] == []
    assert [plan for plan in shown["folders"] if plan["action"] != "keep"] == []
    rows, files = rows_of(site), files_of(site)
    done = pair.restore(timeout=400)["result"]
    assert (done["rows"], done["files"], done["tables"], done["snapshot_id"]) == (0, 0, 0, None)
    differ = {name for name, digest in rows_of(site).items() if rows.get(name) != digest}
    assert differ <= {f"{site.prefix}options"}, "entering a site for the first time writes some options"
    assert files_of(site) == files
