"""One real clone watched in a real Chromium while status, gateway and NATS are killed under it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.product import Product, product
from tests.live.stack import eventually
from tests.live.stage import chromium
from tests.sites.farm import SourceFarm
from tests.sites.nasty import files
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

SLOW = 30_000
REMEMBER_MODES = """() => {
    window.modes = [];
    const look = () => window.modes.push(document.querySelector("header [data-mode]")?.textContent ?? "");
    new MutationObserver(look).observe(document.body, {childList: true, characterData: true, subtree: true});
}"""
"""A part that is back at once is away for less time than between two looks from outside."""
WAS_CUT_OFF = "() => window.modes.some(mode => /reconnecting|polling/.test(mode))"
PROGRESS = "() => Number(document.querySelector('.overall [role=progressbar]')?.getAttribute('aria-valuenow') ?? -1)"
LAZY = "<?php if (PHP_SAPI !== 'cli') { usleep(400000); }\n"
"""A must-use plugin of a source that takes its time, so that a clone lasts as long as three kills."""


@pytest.fixture(scope="module")
def mortal() -> Iterator[Product]:
    """A Siteferry of its own whose services may be killed."""
    with product(environment={"SITEFERRY_ACK_WAIT": "6"}) as running:
        yield running


@pytest.fixture(scope="module")
def site(farm: SourceFarm) -> Site:
    made = farm.create(SiteSpec("watched"))
    files.big_file(made, 1200 << 20)
    lazy = made.content / "mu-plugins" / "lazy.php"
    lazy.parent.mkdir(exist_ok=True)
    lazy.write_text(LAZY)
    lazy.chmod(0o644)
    return made


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def kill(running: Product, service: str) -> None:
    """SIGKILL one service and wait until another process has taken its place."""
    pid = running.pid(service)
    os.kill(pid, signal.SIGKILL)

    def another() -> bool:
        try:
            return running.pid(service) != pid
        except KeyError:  # none at the moment
            return False

    await eventually(another, timeout=30, what=f"a new {service}")


async def test_a_clone_is_watched_through_kills_of_all_that_shows_it_and_then_used(
    mortal: Product, site: Site, browser: Browser
) -> None:
    page = await browser.new_page()
    page.set_default_timeout(SLOW)
    await page.goto(mortal.url)
    await page.get_by_label("Site address").fill(site.url)
    await page.get_by_label("Administrator").fill(site.username)
    await page.get_by_label("Password").fill(site.password)
    await page.get_by_role("button", name="Start cloning").click()
    await expect(page).to_have_url(re.compile(r"#/jobs/clone-"), timeout=SLOW)
    job_id = page.url.rpartition("/")[2]
    mode = page.locator("header [data-mode]")
    await expect(mode).to_have_text("live", timeout=SLOW)
    seen: list[float] = []

    async def look() -> None:
        while True:
            value = await page.evaluate(PROGRESS)
            if value >= 0:
                seen.append(value)
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    for service in ("status", "nats", "gateway"):
        before = len(set(seen))
        await eventually(lambda before=before: len(set(seen)) > before, timeout=60, what="progress on the page")
        assert (await asyncio.to_thread(mortal.job, job_id))["status"] == "running", f"too late to kill {service}"
        await page.evaluate(REMEMBER_MODES)
        killing = asyncio.create_task(kill(mortal, service))
        if service != "gateway":  # which pages ask only when something is to be done
            await eventually(lambda: page.evaluate(WAS_CUT_OFF), timeout=30, what=f"word of {service} on the page")
        await killing
        await expect(mode).to_have_text("live", timeout=SLOW)
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible(timeout=180_000)
    looking.cancel()
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    job = await eventually(lambda: asyncio.to_thread(mortal.job, job_id), timeout=20)
    assert job["status"] == "completed"
    await log_in(page, job["result"]["username"], job["result"]["admin_url"])


async def log_in(page: Page, username: str, admin_url: str) -> None:
    """With what the page shows: open the clone's admin by its button, and by user name and password."""
    await page.get_by_role("button", name="Show").click()
    password = await page.locator("[data-password]").inner_text()
    async with page.expect_popup() as opened:
        await page.get_by_role("button", name="WordPress admin").click()
    admin = await opened.value
    await expect(admin.locator("#wpadminbar")).to_be_visible(timeout=SLOW)
    await admin.context.clear_cookies()
    await admin.goto(admin_url)
    await admin.locator("#user_login").fill(username)
    # WordPress's own script moves the focus while the page loads
    await admin.wait_for_load_state("load")
    await admin.locator("#user_login").fill(username)
    await admin.locator("#user_pass").fill(password)
    await admin.locator("#wp-submit").click()
    await expect(admin.locator("#wpadminbar")).to_be_visible(timeout=SLOW)
    assert "/wp-admin/" in admin.url
