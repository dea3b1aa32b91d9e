"""A second clone of a source that an image was kept of, against the first one: time, disk, and what the image costs.

In turns on two running products, one that keeps images and one that does not (`SITEFERRY_IMAGE_HOURS=0`), whose clone
is the measure of all others. Between turns clones and images are removed. As root the same on a loop-mounted XFS with
reflinks; elsewhere those keys are missing, and `skipped` says why.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.disks import on_both, running
from benchmarks.site import BenchmarkSite, build
from tests.e2e.product import Product
from tests.sites.farm import SourceFarm

ROUNDS = 3


def run(rounds: int = ROUNDS, scale: float = 1.0) -> dict[str, Any]:
    """Seconds, medians; keys of the file system with reflinks begin with `reflink_`."""
    with SourceFarm() as farm:
        big = build(farm, scale=scale)
        found = on_both(lambda where: measured(big, where, rounds))
    return {"rows": big.rows, "bytes": big.bytes, **found}


def measured(big: BenchmarkSite, where: Path, rounds: int) -> dict[str, Any]:
    """What it takes on the file system `where` is on."""
    seconds: dict[str, list[float]] = defaultdict(list)
    disk: dict[str, list[int]] = defaultdict(list)
    reused: dict[str, Any] = {}
    with running(where / "kept", image_hours=1) as kept, running(where / "bare", image_hours=0) as bare:

        def clone(product: Product, name: str) -> dict[str, Any]:
            used, began = shutil.disk_usage(where).used, time.monotonic()
            result: dict[str, Any] = product.clone(big.site, timeout=600)["result"]
            seconds[name].append(time.monotonic() - began)
            os.sync()
            disk[name].append(shutil.disk_usage(where).used - used)
            return result

        for turn in range(rounds):
            gone = [(bare, clone(bare, "bare")), (kept, clone(kept, "first")), (kept, clone(kept, "second"))]
            reused = gone[-1][1]["reused"]
            change(big, turn)
            gone.append((kept, clone(kept, "changed")))
            for product, result in gone:
                product.http.delete(f"/clones/{result['clone_id']}")
            for image in kept.http.get("/images").json()["images"]:
                kept.http.delete(f"/images/{image['image_id']}")
            for product, result in gone:
                while product.directory(result["clone_id"]).exists():
                    time.sleep(0.2)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        **{f"{name}_s": round(value, 2) for name, value in median.items()},
        "second_to_first": round(median["second"] / median["bare"], 3),
        "changed_to_first": round(median["changed"] / median["bare"], 3),
        "image_cost": round(median["first"] / median["bare"], 3),
        "disk_second_to_first": round(statistics.median(disk["second"]) / statistics.median(disk["bare"]), 3),
        "reused": {name: value for name, value in reused.items() if name not in ("image_id", "made_at")},
    }


def change(big: BenchmarkSite, turn: int) -> None:
    """One in a hundred posts and uploads."""
    big.site.sql(f"UPDATE {{p}}posts SET post_title=CONCAT(post_title, '{turn}') WHERE ID MOD 100 = {turn}")
    uploads = sorted(path for path in (big.site.content / "uploads").rglob("*") if path.is_file())
    for path in uploads[turn::100]:
        with path.open("ab") as file:
            file.write(b".")
