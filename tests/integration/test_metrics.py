"""Every service tells Prometheus how deep the queue is; the numbers are the server's, and vanish while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from shared.bus.connection import connect
from shared.contract.subjects import Lane
from shared.health import serve_health
from siteferry.embedded.servers.ports import free_port
from tests.engine.lab import Lab, fast, lab
from tests.engine.light import Plan
from tests.live.stack import eventually, status_process

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def engine() -> AsyncIterator[Lab]:
    async with lab() as made:
        yield made


async def scrape(url: str, serving: asyncio.Task[None] | None = None) -> Series:
    """What is told at `url`. When who serves it here has ended, its own error says more than a refused connection."""
    if serving is not None and serving.done():
        serving.result()
        raise AssertionError("nobody serves the numbers any more")
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        response = await client.get(f"{url}/metrics")
    assert response.status_code == 200
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def queue(series: Series, lane: Lane) -> list[float | None]:
    names = ("siteferry_queue_waiting", "siteferry_queue_running", "siteferry_queue_lag")
    return [value(series, name, kind="clone", lane=lane) for name in names]


async def test_a_worker_tells_of_itself_and_of_the_queue(engine: Lab) -> None:
    port, stop = free_port(), asyncio.Event()
    async with connect(engine.house.settings(), service="cloner") as bus:
        health = asyncio.create_task(serve_health(port, list, stop, bus))
        url = f"http://127.0.0.1:{port}"
        before = await eventually(lambda: scrape(url, health), what="the numbers of workers before this one")
        held = [await engine.submit(Plan(steps=1, ticks=0, hold="s1")) for _ in range(3)]
        failing = await engine.submit(Plan(steps=1, fail={"s1": 1}, hopeless="s1"), lane=Lane.HIGH)
        async with engine.worker(slots=2, settings=fast()):
            await engine.ended(failing)

            async def settled() -> Series | None:
                series = await scrape(url, health)
                return series if queue(series, Lane.NORMAL) == [2, 1, 3] else None

            series = await eventually(settled, what="two jobs waiting and one running")
            assert queue(series, Lane.HIGH) == [0, 0, 0]
            assert value(series, "siteferry_queue_readable") == 1
            assert value(series, "siteferry_worker_slots", kind="clone") == 2
            assert value(series, "siteferry_worker_running_jobs", kind="clone") == 1
            for name, labels in {
                "siteferry_job_retries_total": {"kind": "clone", "code": "unlucky"},
                "siteferry_jobs_ended_total": {"kind": "clone", "outcome": "failed"},
            }.items():
                assert value(series, name, **labels) == (value(before, name, **labels) or 0) + 1
            (engine.things / "go").touch()
            for job in held:
                await engine.ended(job)
            await engine.all_acknowledged()
        await asyncio.to_thread(engine.house.kill)

        async def gone() -> bool:
            series = await scrape(url, health)
            return value(series, "siteferry_queue_readable") == 0 and queue(series, Lane.NORMAL) == [None] * 3

        await eventually(gone, what="the series of a queue that can not be read")
        await asyncio.to_thread(engine.house.start)
        await eventually(lambda: _readable(url, health), what="the queue again")
        stop.set()
        await health


async def _readable(url: str, serving: asyncio.Task[None]) -> bool:
    series = await scrape(url, serving)  # what was acknowledged last may come again after a kill -9, so no exact number
    return value(series, "siteferry_queue_readable") == 1 and None not in queue(series, Lane.NORMAL)


async def test_status_tells_how_far_the_projection_is_behind(engine: Lab) -> None:
    await engine.submit(Plan())
    async with status_process(engine.house, ack_wait="3") as status:

        async def current() -> Series | None:
            series = await scrape(status.url)
            return series if value(series, "siteferry_projection_pending_messages", kind="clone") == 0 else None

        series = await eventually(current, what="a projection that is not behind")
        assert queue(series, Lane.NORMAL) == [1, 0, 1]
        assert value(series, "siteferry_projection_messages_total", kind="clone") == 1


async def test_the_gateway_tells_the_same_depth(engine: Lab) -> None:
    await engine.submit(Plan(), lane=Lane.LOW)
    settings = GatewaySettings(
        **engine.house.settings().model_dump(exclude={"vault_key_file", "ack_wait"}),
        vault_key_file=engine.root / "vault.key",
        ack_wait=3.0,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def told() -> bool:
                return 'siteferry_queue_lag{kind="clone",lane="low"} 1.0' in (await client.get("/metrics")).text

            await eventually(told, what="the depth of the low lane")
