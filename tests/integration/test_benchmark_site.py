"""The site that benchmarks copy is the same every time and as heavy as it says."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.site import BenchmarkSite, build
from tests.sites.farm import SourceFarm

COLUMNS = {"posts": "post_content", "postmeta": "meta_value", "comments": "comment_content"}


def _sums(big: BenchmarkSite) -> list[Any]:
    """A sum over the content of each table. WordPress's own rows (ids below 1000) carry the day they were made."""
    keys = {"posts": "ID", "postmeta": "post_id", "comments": "comment_post_ID"}
    return [
        big.site.sql(f"SELECT COUNT(*), SUM(CRC32({column})) FROM {{p}}{table} WHERE {keys[table]} >= 1000")
        for table, column in COLUMNS.items()
    ]


def test_a_small_one_is_reproducible_and_hard_in_the_right_places(farm: SourceFarm) -> None:
    big = build(farm, scale=0.01, name="bench")
    document = big.site.sql("SELECT meta_value FROM {p}postmeta WHERE meta_key='_elementor_data' LIMIT 1")[0][0]
    assert big.site.home.replace("/", "\\/") in document
    assert len(json.loads(document)[0]["elements"]) == 8
    stored = [row[0] for row in big.site.sql("SELECT meta_value FROM {p}postmeta WHERE meta_key='_layout' LIMIT 20")]
    layouts = big.site.php("return array_map( 'unserialize', $input['data'] );", stored)
    assert {layout["alt"] for layout in layouts} == {"föö"}
    assert big.rows > 1000
    assert 0.2 < big.rows_with_url / big.rows < 0.5
    sums = _sums(big)
    big.site.destroy()
    again = build(farm, scale=0.01, name="bench")
    assert (_sums(again), again.files, again.rows) == (sums, big.files, big.rows)
    again.site.destroy()
