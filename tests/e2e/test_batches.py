"""A look first, then a batch: on the whole product, with real sites."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.product import Product
from tests.e2e.target import connectors
from tests.sites.fixtures import MakeSite


def ended(siteferry: Product, batch_id: str, *, timeout: float = 120) -> dict[str, Any]:
    """The batch when all its jobs have ended; its progress never went back meanwhile."""
    deadline, progress = time.monotonic() + timeout, 0.0
    while time.monotonic() < deadline:
        batch: dict[str, Any] = siteferry.http.get(f"/batches/{batch_id}").json()
        assert batch["progress"] >= progress
        progress = batch["progress"]
        if batch["finished_at"]:
            return batch
        time.sleep(0.2)
    raise AssertionError(f"{batch_id} has not ended: {batch['counts']}")


def test_sites_are_looked_at_and_cloned_as_one(siteferry: Product, make_site: MakeSite) -> None:
    sites = [make_site(name, content="bare") for name in ("fleet-one", "fleet-two", "fleet-three")]
    login = {"username": sites[0].username, "password": sites[0].password}
    seen = siteferry.http.post("/preflight", json={"source_url": sites[0].url, **login}).json()
    assert (seen["ready"], seen["administrator"]) == (True, True), seen

    clones = [{"source_url": site.url, "password": site.password, "name": site.name} for site in sites]
    clones[2]["password"] = "not-the-password"
    body = {"defaults": {"username": sites[0].username, "ttl_minutes": 30}, "clones": clones}
    answer = siteferry.http.post("/batches", json=body)
    assert answer.status_code == 202, answer.text
    batch = ended(siteferry, answer.json()["batch_id"])
    assert (batch["status"], batch["progress"]) == ("partially_completed", 100)
    assert [job["status"] for job in batch["jobs"]] == ["completed", "completed", "failed"]
    assert batch["jobs"][2]["error"] == "wrong_password"
    for site, job in zip(sites, batch["jobs"], strict=True):
        assert job["source_url"] == site.url.rstrip("/")
        assert connectors(site) == []

    dead = siteferry.http.get("/jobs", params={"status": "failed", "batch": batch["batch_id"]}).json()["jobs"]
    assert [job["error"]["code"] for job in dead] == ["wrong_password"]
    retry = siteferry.http.post(f"/jobs/{batch['jobs'][0]['job_id']}/retry")
    assert (retry.status_code, retry.json()["code"]) == (409, "not_retryable")
