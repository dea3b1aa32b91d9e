"""How long a submission takes: POST /clone with 50 concurrent closed-loop submitters, and a GET right after each.

Real nats-server (`sync_interval: always`), one gateway process, submitters in a process of their own. The floor is a
bare FastAPI endpoint with the same body under the same load. No projector runs: every GET is answered from the stream.

`edge_…`: the same through Caddy, as 200 submitters and 500 pollers have it who ask once a second each, for a minute.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

from siteferry.embedded.servers.ports import free_port
from tests.integration.edge import caddy_before
from tests.integration.gateway_process import end, running_gateway, wait_ready

SUBMISSIONS = 3000
WARM_UP = 300
CONCURRENCY = 50
EDGE_SECONDS = 60


def run() -> dict[str, Any]:
    """`p99_ms`, `p50_ms`, `rate` (submissions a second), `not_found`, the same of the floor, and `edge_p99_ms`."""
    with running_gateway(rate_limit_per_minute=0) as gateway:
        measure(gateway.url, WARM_UP)
        figures = measure(gateway.url, SUBMISSIONS)
        with caddy_before(gateway.port) as caddy:
            edge = through_the_edge(caddy.url)
    floor = bare()
    return {
        **figures,
        **edge,
        "concurrency": CONCURRENCY,
        "in_front": "nothing: straight to one gateway process",
        "floor_p50_ms": floor["p50_ms"],
        "floor_p99_ms": floor["p99_ms"],
        "floor_rate": floor["rate"],
    }


def through_the_edge(url: str) -> dict[str, Any]:
    """Milliseconds of submissions and looks through Caddy. Raises RuntimeError when any call was refused."""
    before = os.getloadavg()[0]
    command = [sys.executable, "-m", "benchmarks._paced", url, f"--seconds={EDGE_SECONDS}"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    if told["errors"]:
        raise RuntimeError(f"{told['errors']} calls through Caddy were refused")
    return {
        "edge_p99_ms": percentile(told["posts"], 99),
        "edge_p50_ms": percentile(told["posts"], 50),
        "edge_get_p99_ms": percentile(told["gets"], 99),
        "edge_submissions": len(told["posts"]),
        "edge_looks": len(told["gets"]),
        "load_before": round(before, 1),
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
