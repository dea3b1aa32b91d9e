"""pytest's side of the farm: started when the first test asks for it, one per xdist worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

ORDINARY = "ordinary"
_farms: list[SourceFarm] = []


@pytest.fixture(scope="session")
def farm() -> Iterator[SourceFarm]:
    """The worker's farm of WordPress sources, about three seconds to start."""
    with SourceFarm() as running:
        _farms.append(running)
        yield running
        _farms.clear()


@pytest.fixture(scope="module", autouse=True)
def sites_go_with_their_module() -> Iterator[None]:
    """The next module may call its sites the same, and need the space."""
    yield
    for running in _farms:
        for name in running.sites.keys() - {ORDINARY}:
            running.destroy(name)


class MakeSite:
    """`make_site("acme", table_prefix="x_")` - the site goes when the test ends."""

    def __init__(self, farm: SourceFarm) -> None:
        self.farm = farm
        self._made: list[Site] = []

    def __call__(self, spec: SiteSpec | str, **options: Any) -> Site:
        wanted = replace(spec, **options) if isinstance(spec, SiteSpec) else SiteSpec(spec, **options)
        site = self.farm.create(wanted)
        self._made.append(site)
        return site

    def clear(self) -> None:
        while self._made:
            self._made.pop().destroy()


@pytest.fixture
def make_site(farm: SourceFarm) -> Iterator[MakeSite]:
    """Builds sites that live as long as the test."""
    maker = MakeSite(farm)
    try:
        yield maker
    finally:
        maker.clear()


@pytest.fixture(scope="session")
def plain_site(farm: SourceFarm) -> Site:
    """An ordinary site for tests that only read from it, one per worker."""
    return farm.create(SiteSpec(ORDINARY))
