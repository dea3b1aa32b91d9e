"""How long a submission takes: POST /clone with 50 concurrent closed-loop submitters, and a GET right after each.

Real nats-server (`sync_interval: always`), one gateway process, submitters in a process of their own. The floor is a
bare FastAPI endpoint with the same body under the same load. No projector runs: every GET is answered from the stream.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from siteferry.embedded.servers.ports import free_port
from tests.integration.gateway_process import end, running_gateway, wait_ready

SUBMISSIONS = 3000
WARM_UP = 300
CONCURRENCY = 50


def run() -> dict[str, Any]:
    """`p99_ms`, `p50_ms`, `rate` (submissions a second), `not_found` and the same of the floor."""
    with running_gateway(rate_limit_per_minute=0) as gateway:
        measure(gateway.url, WARM_UP)
        figures = measure(gateway.url, SUBMISSIONS)
    floor = bare()
    return {
        **figures,
        "concurrency": CONCURRENCY,
        "in_front": "nothing: straight to one gateway process",
        "floor_p50_ms": floor["p50_ms"],
        "floor_p99_ms": floor["p99_ms"],
        "floor_rate": floor["rate"],
    }


def bare() -> dict[str, Any]:
    """The floor."""
    port = free_port()
    popen = subprocess.Popen([sys.executable, "-m", "benchmarks.bare_app", str(port)])
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url, popen, path="/openapi.json")
        measure(url, WARM_UP, "--no-look")
        return measure(url, SUBMISSIONS, "--no-look")
    finally:
        end(popen)


def measure(url: str, submissions: int, *options: str) -> dict[str, Any]:
    """One run of the submitters, in figures."""
    command = [sys.executable, "-m", "benchmarks.submitters", url, f"--submissions={submissions}", *options]
    output = subprocess.run([*command, f"--concurrency={CONCURRENCY}"], check=True, capture_output=True).stdout
    told = json.loads(output)
    if told["errors"]:
        raise RuntimeError(f"{told['errors']} calls were refused")
    figures: dict[str, Any] = {
        "p99_ms": percentile(told["posts"], 99),
        "p50_ms": percentile(told["posts"], 50),
        "max_ms": round(max(told["posts"]), 1),
        "rate": round(len(told["posts"]) / told["seconds"]),
        "submissions": len(told["posts"]),
    }
    if told["gets"]:
        figures |= {"get_p99_ms": percentile(told["gets"], 99), "not_found": told["not_found"]}
    return figures


def percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1], 1)


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
