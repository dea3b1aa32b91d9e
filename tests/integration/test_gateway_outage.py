"""NATS is away: nothing is accepted that can not be stored, nothing hangs, and all comes back by itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import httpx2
import pytest

from shared.bus.connection import connect
from shared.contract import streams
from tests.integration.gateway_process import Gateway, end, launch, running_gateway, wait_ready
from tests.integration.house import eventually

WISH = {"source_url": "https://shop.example.com", "username": "admin", "password": "geheim-77"}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running:
        yield running


def timed(api: httpx2.Client, method: str, path: str) -> tuple[httpx2.Response, float]:
    began = time.monotonic()
    return api.request(method, path, json=WISH if method == "POST" else None), time.monotonic() - began


def test_unreachable_store_is_said_at_once_and_work_goes_on_when_it_is_back(gateway: Gateway) -> None:
    with gateway.client() as api:
        before = api.post("/clone", json=WISH).json()["job_id"]
        gateway.stop_nats()
        for method, path in [("POST", "/clone"), ("GET", f"/jobs/{before}"), ("GET", "/jobs"), ("POST", "/clone")]:
            answer, seconds = timed(api, method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert seconds < 3
        assert api.get("/livez").status_code == 200
        assert api.get("/readyz").status_code == 503
        gateway.start_nats()
        eventually(lambda: api.get("/readyz").status_code == 200, what="reconnecting")
        assert api.get(f"/jobs/{before}").status_code == 200
        after = api.post("/clone", json=WISH)
        assert after.status_code == 202
        assert len(api.get(f"/jobs/{after.json()['job_id']}/story").json()["messages"]) == 1
        assert "siteferry_gateway_nats_connected 1.0" in api.get("/metrics").text


def test_frozen_store_costs_a_caller_two_seconds(gateway: Gateway) -> None:
    with gateway.client() as api:
        gateway.nats_process.popen.send_signal(signal.SIGSTOP)
        try:
            answer, seconds = timed(api, "POST", "/clone")
            assert answer.status_code == 503
            assert seconds < 3
        finally:
            gateway.nats_process.popen.send_signal(signal.SIGCONT)
        eventually(lambda: api.post("/clone", json=WISH).status_code == 202, what="working again")


def test_gateway_may_start_before_its_store(gateway: Gateway) -> None:
    end(gateway.popen)
    gateway.stop_nats()
    gateway.popen, _ = launch(gateway.directory, gateway.nats, gateway.port)
    wait_ready(gateway.url, gateway.popen, path="/livez")
    with gateway.client() as api:
        assert api.post("/clone", json=WISH).status_code == 503
        gateway.start_nats()
        eventually(lambda: api.post("/clone", json=WISH).status_code == 202, what="connecting")


def test_sigterm_ends_the_gateway_quickly_with_connections_open(gateway: Gateway) -> None:
    with gateway.client() as api:
        assert api.get("/livez").status_code == 200
        began = time.monotonic()
        gateway.popen.terminate()
        gateway.popen.wait(5)
        assert time.monotonic() - began < 4
    assert "Traceback" not in gateway.log


def test_readiness_names_consumers_that_are_gone(gateway: Gateway) -> None:
    """What feeds workers is missing: calls are answered, and who asks is told."""

    async def change(make: bool) -> None:
        async with connect(gateway.settings, service="test") as bus:
            if make:
                await streams.install(bus.js)
            else:
                await bus.js.delete_consumer("CLONES", "clone-work-low")
                await bus.js.delete_consumer(streams.OUTGOING, streams.DELIVERER)

    with gateway.client() as api:
        assert api.get("/readyz").json()["status"] == "ok"
        asyncio.run(change(make=False))
        told = api.get("/readyz")
        assert (told.status_code, told.json()["status"]) == (200, "degraded")
        assert told.json()["problems"] == [
            "the consumer CLONES/clone-work-low is gone",
            "the consumer WEBHOOKS/deliverer is gone",
        ]
        asyncio.run(change(make=True))
        assert api.get("/readyz").json() == {
            "status": "ok",
            "checks": {"nats": True, "streams": True, "stores": True},
            "problems": [],
        }
