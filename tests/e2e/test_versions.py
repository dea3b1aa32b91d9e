"""Sources of other releases: WordPress and database as another Debian packages them, MySQL 9.

They come as bare systems from the distribution's mirror, once, and are kept (scripts/base-system.sh):
`make test VERSIONS=1` asks for those of Debian 12 and 13, `make test MYSQL=1` for MySQL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import Product
from tests.e2e.test_fidelity import GUID, copy
from tests.sites.compare import compare_pages, leftovers
from tests.sites.core import WORDPRESS
from tests.sites.farm import SourceFarm
from tests.sites.foreign import ForeignDatabase, ForeignMariaDB, MySQL, wordpress_of
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(900)  # the first time a system is fetched

ASKED_FOR = {"VERSIONS": bool(os.environ.get("VERSIONS")), "MYSQL": bool(os.environ.get("MYSQL"))}


def foreign_farm(switch: str, database: Callable[[Path], ForeignDatabase], suite: str | None) -> Iterator[SourceFarm]:
    if not ASKED_FOR[switch]:
        pytest.skip(f"make test {switch}=1")
    if os.geteuid() != 0:
        pytest.skip("needs root: another release's server runs in a root directory of its own")
    with SourceFarm(database=database, wordpress=wordpress_of(suite) if suite else WORDPRESS) as farm:
        yield farm


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def release(request: pytest.FixtureRequest) -> Iterator[SourceFarm]:
    """WordPress 6.1 with MariaDB 10.11, and WordPress 6.8 with MariaDB 11.8."""
    yield from foreign_farm("VERSIONS", partial(ForeignMariaDB, suite=request.param), request.param)


@pytest.fixture(scope="module")
def mysql() -> Iterator[SourceFarm]:
    """WordPress of this machine on MySQL 9."""
    yield from foreign_farm("MYSQL", partial(MySQL, suite="sid"), None)


def clone_and_compare(siteferry: Product, site: Site, **more: Any) -> None:
    """Rows and pages of a clone, whose definitions may read differently on another server."""
    made = copy(siteferry, site)
    assert leftovers(made.tables, site.home) == []
    assert made.different_rows(definitions=False, **more) == []
    assert compare_pages(site, made.url, site.paths()[:8], ignore=GUID) == []


def test_a_source_of_another_release_is_cloned(siteferry: Product, release: SourceFarm) -> None:
    clone_and_compare(siteferry, release.create(SiteSpec("release")))


def test_a_source_on_mysql_is_cloned(siteferry: Product, mysql: SourceFarm) -> None:
    site = mysql.create(SiteSpec("mysql"))
    assert int(site.sql("SELECT VERSION()")[0][0].split(".")[0]) >= 9
    site.script(
        "CREATE TABLE {p}words (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, word VARCHAR(60) NOT NULL, "
        "told JSON, KEY word (word)) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci",
        f"INSERT INTO {{p}}words (word, told) VALUES ('larch', JSON_OBJECT('at', '{site.home}/larch/')), "
        "('Lärche', NULL), ('⛵', '[]')",
    )
    clone_and_compare(siteferry, site)
