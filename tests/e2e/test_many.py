"""Twenty clones at once, ten more beside them, within the memory that was promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.product import KEEPING, Product, product
from tests.e2e.target import connectors, leftovers
from tests.e2e.test_fidelity import Copy
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files, tables
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(900)
MEMORY = 250 << 20
AT_ONCE, MORE = 20, 4


class Watch(threading.Thread):
    """The largest resident memory a process was seen with, in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self._done = pid, 0, threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.05):
            with open(f"/proc/{self.pid}/statm") as statm:
                self.peak = max(self.peak, int(statm.read().split()[1]) * 4096)

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.peak


@pytest.fixture(scope="module")
def busy() -> Iterator[Product]:
    """A Siteferry of its own: these tests fill it."""
    with product(environment=KEEPING) as running:
        yield running


@pytest.fixture(scope="module")
def sites(farm: SourceFarm) -> list[Site]:
    """Two sources for all: jobs share the connector of a source that is read by several at once."""
    return [farm.create(SiteSpec("many-one")), farm.create(SiteSpec("many-two", content="bare"))]


def test_twenty_clones_at_once_and_more_beside_them(busy: Product, sites: list[Site]) -> None:
    watch = Watch(busy.pid("cloner"))
    watch.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        first = list(pool.map(lambda n: busy.submit(sites[n % len(sites)]), range(AT_ONCE)))
        assert len(set(first)) == AT_ONCE
        jobs = [busy.wait(job_id, timeout=900) for job_id in first]
        assert [job["error"] for job in jobs] == [None] * AT_ONCE
        second = list(pool.map(lambda n: busy.submit(sites[n % len(sites)]), range(MORE)))
        more = [busy.wait(job_id, timeout=600) for job_id in second]
        assert [job["error"] for job in more] == [None] * MORE
    assert watch.stop() < MEMORY
    assert len({job["result"]["clone_url"] for job in jobs + more}) == AT_ONCE + MORE
    # The source's own bookkeeping changes whenever somebody visits it.
    moving = frozenset({"cron"})
    assert Copy(sites[0], jobs[0], busy).different_rows(options=moving) == []
    assert Copy(sites[(MORE - 1) % len(sites)], more[-1], busy).different_rows(options=moving) == []
    assert all(connectors(site) == [] for site in sites)
    listed = busy.http.get("/clones", params={"limit": 100}).json()["clones"]
    assert {clone["clone_id"] for clone in listed if clone["state"] == "active"} == {*first, *second}
    for job_id in (*first, *second):
        assert busy.http.delete(f"/clones/{job_id}").status_code == 202
    eventually(
        lambda: not any(leftovers(busy, job_id) for job_id in (*first, *second)), timeout=120, what="the removal"
    )


def test_memory_does_not_grow_with_the_site(busy: Product, farm: SourceFarm) -> None:
    """Rows of 40 MB and a file of 600 MB, in one worker, below 250 MB."""
    site = farm.create(SiteSpec("heavy"))
    files.big_file(site)
    tables.big_values(site)
    watch = Watch(busy.pid("cloner"))
    watch.start()
    started = time.monotonic()
    job = busy.clone(site, timeout=300)
    peak = watch.stop()
    assert job["result"]["bytes"] > 600 << 20
    assert peak < MEMORY, f"{peak >> 20} MB after {time.monotonic() - started:.0f} s"
