"""Counters of the gateway, in Prometheus' format."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from shared.engine.metrics import QueueGauges

REGISTRY = CollectorRegistry()
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

REQUESTS = Counter(
    "siteferry_gateway_requests_total", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
SECONDS = Histogram(
    "siteferry_gateway_request_seconds", "Time to answer.", ["route"], buckets=BUCKETS, registry=REGISTRY
)
SUBMITTED = Counter("siteferry_gateway_jobs_submitted_total", "Jobs accepted.", ["kind", "lane"], registry=REGISTRY)
CALLS = Counter(
    "siteferry_gateway_submissions_total",
    "Submissions by form of call and API key.",
    ["form", "key"],
    registry=REGISTRY,
)
"""`form`: async, waiting (POST /clone and /restore), v1. Who still has to move from the last one."""
CONNECTED = Gauge("siteferry_gateway_nats_connected", "Whether NATS is connected.", registry=REGISTRY)

QUEUE = QueueGauges(REGISTRY)

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

_children: dict[tuple[str, str, int], tuple[Any, Any]] = {}


def observe(scope: Scope, status: int, seconds: float) -> None:
    """Count one request. The label is the route's pattern, never the path, so ids make no new series."""
    route = getattr(scope.get("route"), "path", "other")
    method = scope["method"] if scope["method"] in METHODS else "other"
    key = (method, route, status)
    children = _children.get(key)
    if children is None:
        children = (REQUESTS.labels(method, route, status), SECONDS.labels(route))
        _children[key] = children
    children[0].inc()
    children[1].observe(seconds)


def render() -> bytes:
    """The text of /metrics."""
    return generate_latest(REGISTRY)
