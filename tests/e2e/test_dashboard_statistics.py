"""Statistics: counted from the real streams, on the page, at the command line, each tenant's own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from shared.contract.events import now
from shared.contract.subjects import Lane
from shared.contract.workers import WorkerState
from tests.live.guarded import KEYS, write_keys
from tests.live.simulator import Simulated
from tests.live.stack import eventually
from tests.live.stage import Stage, chromium, stage

SLOW = 30_000
PICTURES = os.environ.get("SITEFERRY_TEST_PICTURES")
"""A folder for pictures of the pages, for people."""


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stage]:
    async with stage() as found:
        await Simulated(found.bus, keys=found.keys).play()
        failed = await Simulated(found.bus, keys=found.keys).submit()
        await failed.start()
        await failed.fail()
        await Simulated(found.bus, keys=found.keys, lane=Lane.LOW).submit()
        running = await Simulated(found.bus, keys=found.keys, lane=Lane.HIGH).submit()
        await running.start()

        async def told() -> bool:
            lanes = {lane["lane"]: lane for lane in (await asked(found.url))["lanes"]}
            return bool(lanes["high"]["running"] and lanes["low"]["queued"])

        await eventually(told, timeout=60, what="what was played in the projection")
        yield found


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def asked(url: str, *, key: str = "", **params: str) -> dict[str, Any]:
    headers = {"Host": url.removeprefix("http://"), **({"Authorization": f"Bearer {key}"} if key else {})}
    async with httpx2.AsyncClient(base_url=url.replace("localhost", "127.0.0.1"), headers=headers) as client:
        answer = await client.get("/statistics", params=params)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


async def test_the_call_counts_what_the_streams_say(it: Stage) -> None:
    for window, pieces in (("hour", 12), ("day", 24)):
        told = await asked(it.url, window=window)
        assert (told["submitted"], told["completed"], told["failed"]) == (4, 1, 1)
        assert (told["success_rate"], len(told["pieces"])) == (0.5, pieces)
        assert len(told["failures"]) == 1
        lanes = {lane["lane"]: lane for lane in told["lanes"]}
        assert (lanes["low"]["queued"], lanes["high"]["running"]) == (1, 1)
        assert lanes["low"]["oldest_queued_seconds"] > 0


async def test_the_command_tells_the_same(it: Stage) -> None:
    command = [str(Path(sys.executable).parent / "siteferry"), "--url", it.url, "statistics", "--window", "day"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    assert "1 completed, 1 failed, 0 cancelled" in done.stdout
    assert "50.0%" in done.stdout
    done = await asyncio.to_thread(
        subprocess.run, [*command, "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["window"] == "day"


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
async def test_the_page(it: Stage, browser: Browser, theme: Any, width: int) -> None:
    async with await browser.new_context(
        color_scheme=theme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    ) as context:
        page = await context.new_page()
        page.set_default_timeout(SLOW)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        await page.goto(it.url)
        await page.get_by_role("link", name="Statistics").click()
        await expect(page.locator(".figures")).to_contain_text("50.0 %")
        await expect(page.get_by_role("img", name="Jobs that ended since")).to_be_visible()
        low = page.get_by_role("row", name="Low")
        await expect(low.get_by_role("cell").first).to_have_text("1")
        before = await page.get_by_role("img", name="Jobs that ended since").locator("rect").count()
        assert before >= 2
        await page.get_by_role("button", name="Last day").click()
        await expect(page).to_have_url(f"{it.url}/#/statistics?window=day")
        await expect(page.get_by_role("button", name="Last day")).to_have_attribute("aria-pressed", "true")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
        found = (await Axe().run(page)).response
        assert [problem["id"] for problem in found["violations"]] == []
        await page.wait_for_timeout(100)
        assert complaints == []


async def test_the_page_follows_what_happens(it: Stage, browser: Browser) -> None:
    page = await browser.new_page()
    page.set_default_timeout(SLOW)
    await page.goto(f"{it.url}/#/statistics")
    submitted = page.locator(".figures dd").first
    await expect(submitted).to_have_text("4")
    await Simulated(it.bus, keys=it.keys).submit()
    await expect(submitted).to_have_text("5", timeout=SLOW)
    await page.close()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
async def test_operators_see_who_works_on_what_and_who_calls_how(
    it: Stage, browser: Browser, theme: Any, width: int
) -> None:
    job = await Simulated(it.bus, keys=it.keys).submit()
    await job.start()
    state = WorkerState(
        id="cloner/a1b2c3",
        kind="clone",
        slots=4,
        jobs=[job.job_id],
        free_bytes=41_500_000_000,
        started_at=now(),
        said_at=now(),
    )
    idle = WorkerState(id="restorer/d4e5f6", kind="restore", slots=2, started_at=now(), said_at=now())

    async def say() -> None:
        while True:
            for each in (state, idle):
                await it.bus.js.publish(f"$KV.workers.{each.id.replace('/', '.')}", each.model_dump_json().encode())
            await asyncio.sleep(1)

    saying = asyncio.create_task(say())
    try:
        wish = {"source_url": "https://shop.example.com", "username": "admin", "password": "x"}
        headers = {"Host": it.url.removeprefix("http://")}
        async with httpx2.AsyncClient(base_url=it.url.replace("localhost", "127.0.0.1"), headers=headers) as client:
            assert (await client.post("/clone", json=wish)).status_code == 202

            async def counted() -> bool:
                return bool((await client.get("/statistics/calls")).json()["calls"])

            await eventually(counted, timeout=30, what="the call")
        context = await browser.new_context(
            color_scheme=theme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        page = await context.new_page()
        page.set_default_timeout(SLOW)
        await page.goto(f"{it.url}/#/statistics")
        works = page.get_by_role("row", name="cloner/a1b2c3")
        await expect(works).to_contain_text("1 of 4")
        await expect(works).to_contain_text("41.5 GB")
        await expect(works.get_by_role("link")).to_have_attribute("href", f"#/jobs/{job.job_id}")
        await expect(page.get_by_role("row", name="restorer/d4e5f6")).to_contain_text("nothing now")
        calls = page.get_by_role("region", name="Calls of 30 days").get_by_role("row").filter(has_text="local")
        await expect(calls).to_contain_text("answered at once")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
        found = (await Axe().run(page)).response
        assert [problem["id"] for problem in found["violations"]] == []
        if PICTURES:
            await page.screenshot(path=f"{PICTURES}/statistics-{theme}.png", full_page=True)
        await context.close()
    finally:
        saying.cancel()


async def test_each_tenant_sees_its_own_figures() -> None:
    with tempfile.TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name:
        key_file = Path(name) / "keys"
        write_keys(key_file, *KEYS)
        async with stage(api_keys_file=str(key_file)) as it:
            await Simulated(it.bus, tenant="agency", keys=it.keys).play()

            async def counted() -> bool:
                return (await asked(it.url, key=KEYS["agency"]))["completed"] == 1

            await eventually(counted, timeout=30, what="the job of the agency")
            headers = {"Host": it.url.removeprefix("http://"), "Authorization": f"Bearer {KEYS['agency']}"}
            async with httpx2.AsyncClient(base_url=it.url.replace("localhost", "127.0.0.1"), headers=headers) as client:
                assert (await client.get("/workers")).status_code == 403, "it tells of all tenants"
            theirs = await asked(it.url, key=KEYS["other"])
            assert (theirs["submitted"], theirs["completed"]) == (0, 0)
