"""No more clones than there may be: the next job waits, visibly and without touching its source, for one to go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.product import Product, product
from tests.e2e.target import connectors, leftovers
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec


@pytest.fixture(scope="module")
def small() -> Iterator[Product]:
    with product(environment={"SITEFERRY_MAX_CLONES": "1"}) as running:
        yield running


def test_a_second_clone_waits_until_the_first_is_deleted(small: Product, farm: SourceFarm) -> None:
    site = farm.create(SiteSpec("quota", content="bare"))
    first = small.clone(site)["job_id"]
    second, third = small.submit(site), small.submit(site)
    for job_id in (second, third):
        eventually(lambda job=job_id: small.job(job)["reason"] == "quota", timeout=60, what="the wait")  # type: ignore[misc]
    job = small.job(second)
    assert (job["status"], job["phase"], job["message"]) == (
        "pending",
        "waiting",
        "Waiting: every place for a clone is taken",
    )
    assert connectors(site) == [], "a job that waits has not begun"
    assert small.http.delete(f"/clones/{first}").status_code == 202
    ended = small.wait(second)
    assert (ended["status"], ended["attempt"]) == ("completed", 1), ended
    eventually(lambda: not leftovers(small, first), timeout=60, what="the removal")
    assert small.job(third)["reason"] == "quota"
    assert small.http.post(f"/jobs/{third}/cancel").status_code == 202
    assert small.wait(third)["status"] == "cancelled"
