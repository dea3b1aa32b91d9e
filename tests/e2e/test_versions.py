"""Sources of other releases: WordPress and database as another Debian packages them, MySQL 9.

They come as bare systems from the distribution's mirror, once, and are kept (scripts/base-system.sh):
`make test VERSIONS=1` asks for those of Debian 12 and 13, `make test MYSQL=1` for MySQL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import Product
from tests.e2e.restoring import Pair
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


def test_json_edited_on_a_clone_goes_back_to_mysql(siteferry: Product, mysql: SourceFarm) -> None:
    """MySQL orders keys, sets blanks and spells characters as it likes; that is no other row."""
    site = mysql.create(SiteSpec("documents", content="bare"))
    site.script(
        "CREATE TABLE {p}documents (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, told JSON)",
        f"INSERT INTO {{p}}documents (told) VALUES (JSON_OBJECT('at', '{site.home}/larch/', 'b', 1)), ('{{}}'), (NULL)",
    )
    pair = Pair(siteferry, site, siteferry.clone(site))
    at = pair.clone_url.replace("/", "\\/")
    told = '{"longer":1e2,"b":[1,{"z":null,"a":"\\u00fc"}],"at":"' + at + '\\/oak\\/"}'
    pair.on_clone("UPDATE {p}documents SET told=%s WHERE id=2", told)
    done = pair.restore()["result"]
    assert done["rows"] == 1
    stored = json.loads(site.sql("SELECT told FROM {p}documents WHERE id=2")[0][0])
    assert stored == {"longer": 100.0, "b": [1, {"z": None, "a": "ü"}], "at": f"{site.home}/oak/"}
    assert pair.restore()["result"]["rows"] == 0
