"""A clone put back to what it was when it was made, and a version kept: the generated site, on this disk and on XFS.

In turns on one running product: rows and files are changed, then the clone is reset. `reset_s` is from the call to the
end of the job; `image_cost` is a first clone that keeps what it is over one that does not (`SITEFERRY_RESETS`), in
turns too. As root the same on a loop-mounted XFS with reflinks; elsewhere those keys are missing, and `skipped` says
why.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.disks import on_both, running
from benchmarks.site import BenchmarkSite, build
from shared.cells.names import database_name
from tests.e2e.product import Product
from tests.e2e.target import connect
from tests.sites.farm import SourceFarm

RESETS = 5
CLONES = 3


def run(resets: int = RESETS, clones: int = CLONES, scale: float = 1.0) -> dict[str, Any]:
    """Seconds, medians; keys of the file system with reflinks begin with `reflink_`."""
    with SourceFarm() as farm:
        big = build(farm, scale=scale)
        return on_both(
            lambda where: measured(big, where, resets, clones), lambda where: measured(big, where, resets, clones=1)
        )


def measured(big: BenchmarkSite, where: Path, resets: int, clones: int) -> dict[str, Any]:
    """What it takes on the file system `where` is on."""
    made: dict[bool, list[float]] = {True: [], False: []}
    with running(where / "kept", resets="true") as kept, running(where / "bare", resets="false") as bare:
        clone_id = ""
        for _ in range(clones):
            for product in (kept, bare):
                began = time.monotonic()
                clone_id = product.clone(big.site, timeout=600)["result"]["clone_id"]
                made[product is kept].append(time.monotonic() - began)
                if product is kept:
                    last = clone_id
                else:
                    product.http.delete(f"/clones/{clone_id}")
        times = [reset(kept, last, big.site.prefix) for _ in range(resets)]
        began = time.monotonic()
        answer = kept.http.post(f"/clones/{last}/versions", json={"name": "measured"})
        ended(kept, answer.json()["job_id"])
        version = time.monotonic() - began
    return {
        "reset_s": round(statistics.median(times), 2),
        "reset_max_s": round(max(times), 2),
        "version_s": round(version, 2),
        "first_clone_s": round(statistics.median(made[True]), 2),
        "image_cost": round(statistics.median(made[True]) / statistics.median(made[False]), 3),
    }


def reset(product: Product, clone_id: str, prefix: str) -> float:
    """Change the clone, reset it; seconds of the latter."""
    with connect(product, database_name(clone_id)) as connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE {prefix}posts SET post_content=CONCAT(post_content, ' changed') WHERE ID % 10 = 0")
        cursor.execute(f"DELETE FROM {prefix}comments WHERE comment_ID % 2 = 0")
        connection.commit()
    uploads = product.directory(clone_id) / "site" / "wp-content" / "uploads"
    (uploads / "added.txt").write_text("added")
    began = time.monotonic()
    answer = product.http.post(f"/clones/{clone_id}/reset", json={})
    assert answer.status_code == 202, answer.text
    ended(product, answer.json()["job_id"])
    took = time.monotonic() - began
    assert not (uploads / "added.txt").exists()
    return took


def ended(product: Product, job_id: str) -> None:
    """Wait for a job that completes."""
    job = product.wait(job_id, timeout=600)
    assert job["status"] == "completed", job["error"]
