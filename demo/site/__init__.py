"""The demo source: Harbour & Pine, a boatbuilder's site of 40 posts, 12 pages and 200 pictures, built on a farm.

with SourceFarm(directory, port=8090) as farm:
    site = build(farm)       # or open_or_build(farm), which finds what an earlier run left in the directory
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from demo.site import words
from tests.sites.core import give, run_php
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

NAME = "harbour-pine"
TITLE = "Harbour & Pine"
USERNAME, PASSWORD = "maren", "larch-and-larks-1974"
PICTURES = 200
HERE = Path(__file__).parent
THEMES = HERE / "themes"
VERSION = 2
"""Raise it when the site changes: a cached one of another version is built anew."""

Say = Callable[[str], None]


def open_or_build(farm: SourceFarm, *, pictures: int = PICTURES, say: Say = lambda _: None) -> Site:
    """The site of an earlier run of this farm's directory, when it is whole and at the same address; else a new one."""
    note = farm.directory / "demo.json"
    wanted = {"version": VERSION, "origin": farm.origin(NAME), "pictures": pictures}
    if note.exists():
        kept = json.loads(note.read_text())
        spec = SiteSpec(NAME, title=TITLE, username=USERNAME, password=PASSWORD, table_prefix="hp_")
        site = farm.adopt(spec, database=kept["database"], db_password=kept["db_password"])
        if all(kept.get(key) == value for key, value in wanted.items()):
            return site
        site.destroy()
        note.unlink()
    farm.sweep(NAME)
    site = build(farm, pictures=pictures, say=say)
    note.touch(mode=0o600)
    note.write_text(json.dumps(wanted | {"database": site.database, "db_password": site.db_password}))
    return site


def build(farm: SourceFarm, *, pictures: int = PICTURES, say: Say = lambda _: None) -> Site:
    """Build the site, in two processes where it pays."""
    say("installing WordPress")
    spec = SiteSpec(NAME, title=TITLE, username=USERNAME, password=PASSWORD, table_prefix="hp_", content="bare")
    site = farm.create(spec)
    _dress(site)
    album = words.pictures(pictures)
    say(f"painting {pictures} pictures")
    _paint(site, album)
    ids: list[int] = site.php((HERE / "php" / "attachments.php").read_text().removeprefix("<?php"), album)
    say("making their sizes")
    sizes = (HERE / "php" / "sizes.php").read_text().removeprefix("<?php")
    _in_two(lambda half: site.php(sizes, half), ids)
    say("writing posts, pages and comments")
    data = words.content(PASSWORD + "-too") | {"pictures": ids}
    site.php((HERE / "php" / "content.php").read_text().removeprefix("<?php"), data)
    return site


def _dress(site: Site) -> None:
    """Parent theme, child theme and plugin: all ours, as which themes a distribution packages changes every release."""
    themes, plugins = site.content / "themes", site.content / "plugins"
    shutil.copytree(THEMES, themes, dirs_exist_ok=True)
    shutil.copytree(HERE / "plugin", plugins / "harbour-bookings")
    shutil.rmtree(themes / "plain-pine")
    give(themes)
    give(plugins)


def _paint(site: Site, album: Sequence[dict[str, Any]]) -> None:
    def half(jobs: Sequence[dict[str, Any]]) -> None:
        plan = site.directory / f"paint-{jobs[0]['seed']}.json"
        plan.write_text(json.dumps([job | {"path": str(site.uploads / job["file"])} for job in jobs]))
        run_php(HERE / "php" / "images.php", str(plan))
        plan.unlink()

    _in_two(half, album)


def _in_two(work: Callable[[Any], object], items: Sequence[Any]) -> None:
    """Two processes, one for each core."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, list(items[n::2])) for n in range(2) if items[n::2]]:
            done.result()


__all__ = ["NAME", "PASSWORD", "PICTURES", "THEMES", "TITLE", "USERNAME", "build", "open_or_build"]
