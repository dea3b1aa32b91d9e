"""The dashboard of an installation with API keys, in real Chromium: sign in, see one's own, sign out; fall-backs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from shared.contract.events import now
from shared.contract.jobs import ErrorInfo, Status
from shared.contract.subjects import EventType
from tests.live.guarded import KEYS, write_keys
from tests.live.simulator import Simulated
from tests.live.stage import Stage, chromium, stage

SLOW = 20_000


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name:
        key_file = Path(name) / "keys"
        write_keys(key_file, *KEYS)
        async with stage(api_keys_file=str(key_file)) as found:
            yield found


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with await browser.new_context(reduced_motion="reduce") as context:
        page = await context.new_page()
        page.set_default_timeout(SLOW)
        yield page


async def job_of(it: Stage, tenant: str, name: str) -> Simulated:
    return await Simulated(it.bus, tenant=tenant, name=name, keys=it.keys).submit()


async def sign_in(page: Page, url: str, tenant: str = "agency") -> None:
    await page.goto(url)
    await page.get_by_label("API key").fill(KEYS[tenant])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=SLOW)


async def test_a_wrong_key_is_said_and_a_right_one_shows_ones_own_jobs_live(it: Stage, page: Page) -> None:
    mine, theirs = await job_of(it, "agency", "Ours"), await job_of(it, "other", "Theirs")
    await page.goto(it.url)
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SLOW)
    await expect(page.get_by_role("navigation")).to_have_count(0)
    results = await Axe().run(page)
    assert [violation["id"] for violation in results.response["violations"]] == []
    await page.get_by_label("API key").fill("guessed")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not valid")
    await page.get_by_label("API key").fill(KEYS["agency"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Ours")).to_be_visible(timeout=SLOW)
    await expect(page.locator("[data-mode]")).to_have_text("live")
    await expect(page.get_by_text("Theirs")).to_have_count(0)
    assert await page.evaluate("document.cookie") == ""
    assert KEYS["agency"] not in await page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    late = await job_of(it, "agency", "Late")
    await expect(page.get_by_role("link", name="Late")).to_be_visible(timeout=SLOW)
    await page.goto(f"{it.url}/#/jobs/{theirs.job_id}")
    await expect(page.get_by_text("There is no such job")).to_be_visible(timeout=SLOW)
    await page.goto(f"{it.url}/#/jobs/{mine.job_id}")
    await mine.start()
    await mine.complete()
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible(timeout=SLOW)
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("[data-password]")).to_have_text("correct-horse-7")
    await page.reload()
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible(timeout=SLOW)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SLOW)
    await page.goto(f"{it.url}/#/jobs/{late.job_id}")
    await page.reload()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SLOW)


async def test_without_websockets_a_job_is_live_by_events_and_without_those_polled(it: Stage, page: Page) -> None:
    job = await job_of(it, "agency", "Blocked")
    await page.route_web_socket("**/ws", lambda socket: asyncio.ensure_future(socket.close()))
    await sign_in(page, f"{it.url}/#/jobs/{job.job_id}")
    mode = page.locator("header [data-mode]")
    await expect(mode).to_have_text("live by events", timeout=SLOW)
    await job.start()
    await job.run_steps(upto="files")
    await expect(page.locator(".step.running")).to_contain_text("Copy files", timeout=SLOW)
    await expect(mode).to_have_text("live by events")
    await page.route("**/events", lambda route: asyncio.ensure_future(route.abort()))
    await page.reload()
    await expect(mode).to_have_text("polling every 2 s", timeout=SLOW)
    await job.complete()
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible(timeout=SLOW)


async def test_after_a_wrong_password_another_one_is_asked_for(it: Stage, page: Page) -> None:
    job = await job_of(it, "agency", "Typo")
    await job.start()
    error = ErrorInfo(code="wrong_password", message="The password is wrong.")
    await job.emit(EventType.FAILED, status=Status.FAILED, message=error.message, error=error, finished_at=now())
    await sign_in(page, f"{it.url}/#/jobs/{job.job_id}")
    again = page.get_by_role("button", name="Start again with another password")
    await expect(again).to_be_visible(timeout=SLOW)
    await expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    await again.click()
    form = page.get_by_role("form", name="Start again with another password")
    await expect(form.get_by_label("Site address")).to_have_value(job.source_url)
    await form.get_by_label("Administrator").fill("admin")
    await form.get_by_label("Password").fill("the right one")
    results = await Axe().run(page)
    serious = [v["id"] for v in results.response["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == []
    await form.get_by_role("button", name="Start again").click()
    await expect(page).not_to_have_url(f"{it.url}/#/jobs/{job.job_id}", timeout=SLOW)
    await expect(page.get_by_role("heading", name="Typo")).to_be_visible(timeout=SLOW)
    made = await Simulated(it.bus, tenant="agency", job_id=page.url.rpartition("/")[2]).adopt()
    assert made.job is not None
    assert (made.job.source_url, made.job.name, made.job.tenant) == (job.source_url, "Typo", "agency")


async def test_a_link_opens_the_dashboard_signed_in_once(it: Stage, browser: Browser, page: Page) -> None:
    async with httpx2.AsyncClient(base_url=it.url, headers={"Authorization": f"Bearer {KEYS['agency']}"}) as client:
        url = (await client.post("/session/links")).json()["url"]
    await page.goto(url)
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=SLOW)
    await expect(page).to_have_url(f"{it.url}/#/")
    async with await browser.new_context() as another:
        stranger = await another.new_page()
        await stranger.goto(url)
        await expect(stranger.get_by_role("alert")).to_contain_text("has been used", timeout=SLOW)
        await expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SLOW)
        assert "/enter/" not in stranger.url
