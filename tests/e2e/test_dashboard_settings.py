"""The dashboard's settings in real Chromium: keys, webhooks with their deliveries, schedules, who did what."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from shared.contract.events import now
from shared.contract.jobs import ErrorInfo, Status
from shared.contract.subjects import EventType
from tests.integration.test_webhooks import receiver
from tests.live.guarded import KEYS
from tests.live.simulator import Simulated
from tests.live.stage import Stage, chromium, stage

SLOW = 30_000
BOSS, GUEST = "key-of-the-boss", "key-of-a-guest"
COMPLAINTS: list[str] = []
"""Errors of scripts on any page."""
PICTURES = os.environ.get("SITEFERRY_TEST_PICTURES")
"""A folder for pictures of the pages, for people."""


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="siteferry-", dir="/tmp") as name:
        key_file = Path(name) / "keys"
        lines = [
            ("boss", BOSS, "house", "operator"),
            ("member", KEYS["agency"], "house", "submit"),
            ("guest", GUEST, "house", "read"),
        ]
        key_file.write_text(
            "".join(
                f"{who}:{hashlib.sha256(key.encode()).hexdigest()}:{whose}::{scope}\n"
                for who, key, whose, scope in lines
            )
        )
        settings = {"webhook_networks": "127.0.0.0/8", "schedule_least_seconds": "1"}
        async with stage(api_keys_file=str(key_file), **settings) as found:
            yield found


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def opened(it: Stage, browser: Browser, key: str = BOSS, **context: Any) -> Page:
    page = await (await browser.new_context(reduced_motion="reduce", **context)).new_page()
    page.set_default_timeout(SLOW)
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    await page.goto(it.url)
    await page.get_by_label("API key").fill(key)
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Settings").click()
    await expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    return page


async def looked_over(page: Page, name: str) -> None:
    """Nothing for a screen reader to stumble over, nothing wider than the screen, no error."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
    found = (await Axe().run(page)).response
    assert [problem["id"] for problem in found["violations"]] == []
    assert COMPLAINTS == []
    if PICTURES:
        await page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


LOOKS = [("light", 1280), ("dark", 390)]


@pytest.mark.parametrize(("theme", "width"), LOOKS)
async def test_keys_are_made_used_rotated_and_revoked(it: Stage, browser: Browser, theme: Any, width: int) -> None:
    page = await opened(it, browser, color_scheme=theme, viewport={"width": width, "height": 900})
    name = f"CI of the shop, {theme}"
    await page.get_by_role("button", name="New key").press("Enter")
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type(name)
    await page.get_by_label("Ends").select_option("90")
    await page.get_by_label("Best priority").select_option("low")
    await page.get_by_label("Changes a minute").fill("60")
    await page.get_by_label("Jobs at the same time").fill("2")
    await looked_over(page, f"key-form-{theme}")
    await page.keyboard.press("Enter")
    once = page.get_by_role("region", name=f"The secret of {name}")
    await expect(once).to_be_focused()
    secret = await page.locator("[data-secret]").inner_text()
    async with httpx2.AsyncClient(
        base_url=it.url.replace("localhost", "127.0.0.1"), headers={"Host": it.url[7:]}
    ) as client:

        async def status(token: str) -> int:
            return (await client.get("/jobs", headers={"Authorization": f"Bearer {token}"})).status_code

        assert await status(secret) == 200
        row = page.get_by_role("list", name="API keys").get_by_role("listitem").filter(has_text=name)
        for words in ("Active", "submit", "priority low at best", "60 changes a minute", "2 jobs at a time", "house"):
            await expect(row).to_contain_text(words)
        await looked_over(page, f"key-made-{theme}")
        await page.get_by_role("button", name="I have kept it").click()
        await expect(page.locator("[data-secret]")).to_have_count(0)
        assert secret not in await page.content()

        await page.get_by_role("button", name=f"Rotate {name}").click()
        await expect(page.get_by_label("The old secret ends")).to_be_focused()
        await page.get_by_label("The old secret ends").select_option("60")
        await page.get_by_role("button", name="Make a new secret").click()
        await expect(once).to_be_visible()
        second = await page.locator("[data-secret]").inner_text()
        assert second != secret
        assert [await status(token) for token in (secret, second)] == [200, 200]
        await expect(row).to_contain_text("The secret before is good until")

        await page.get_by_role("button", name=f"Revoke {name}").click()
        await expect(page.get_by_role("dialog", name=f"Revoke {name}?")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name=f"Revoke {name}").click()
        await page.get_by_role("button", name="Revoke", exact=True).click()
        await expect(row).to_have_count(0)
        await page.get_by_label("Show revoked keys").check()
        await expect(row).to_contain_text("Revoked")
        await expect(row.get_by_role("button")).to_have_count(0)
    await page.context.close()


async def test_what_is_wrong_with_a_key_is_said(it: Stage, browser: Browser) -> None:
    page = await opened(it, browser)
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name").fill("Other")
    await page.get_by_label("Tenant").fill("no tenant of ours!")
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.locator(".field.wrong")).to_contain_text("Tenant")
    await page.context.close()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
async def test_webhooks_and_their_deliveries(it: Stage, browser: Browser, theme: Any, width: int) -> None:
    async with receiver() as hooks:
        page = await opened(it, browser, color_scheme=theme, viewport={"width": width, "height": 900})
        await page.get_by_role("link", name="Webhooks").click()
        await page.get_by_role("button", name="New webhook").click()
        await page.get_by_label("Address").fill("http://10.1.2.3/hook")
        await page.get_by_role("button", name="Register").click()
        await expect(page.get_by_role("alert")).to_contain_text("private network")
        await page.get_by_label("Address").fill(hooks.url)
        await page.get_by_label("clone.completed").check()
        await looked_over(page, f"webhook-form-{theme}")
        await page.get_by_role("button", name="Register").click()
        assert (await page.locator("[data-secret]").inner_text()).startswith("whsec_")
        await page.get_by_role("button", name="I have kept it").click()
        row = page.get_by_role("list", name="Webhooks").get_by_role("listitem").filter(has_text=hooks.url).first
        await expect(row).to_contain_text("clone.completed")
        await page.get_by_role("button", name=f"Send a test to {hooks.url}").click()
        sent = page.get_by_role("list", name="Deliveries").get_by_role("listitem")
        await expect(sent).to_contain_text("Delivered")
        await expect(sent).to_contain_text("webhook.test")
        assert [got.told["type"] for got in hooks.got] == ["webhook.test"]
        await looked_over(page, f"webhooks-{theme}")
        await page.get_by_role("button", name=f"Remove {hooks.url}").click()
        await page.get_by_role("button", name="Remove", exact=True).click()
        await expect(page.get_by_text("No webhooks yet")).to_be_visible()
        await page.context.close()


async def first_job(page: Page) -> str:
    link = page.get_by_role("list", name="Schedules").get_by_role("link", name=re.compile("^clone-"))
    return await link.inner_text()


async def test_a_schedule_is_made_fires_is_paused_changed_and_removed(it: Stage, browser: Browser) -> None:
    page = await opened(it, browser, color_scheme="light", timezone_id="America/New_York")
    await page.get_by_role("link", name="Schedules").click()
    await expect(page.get_by_text("No schedules yet")).to_be_visible()
    await expect(page.get_by_text("siteferry schedules create")).to_be_visible()

    await page.get_by_role("button", name="New schedule").press("Enter")
    await expect(page.get_by_label("Site address")).to_be_focused()
    await page.keyboard.type("shop.example.com")
    await page.get_by_role("button", name="Make the schedule").click()
    await expect(page.get_by_label("Administrator")).to_be_focused()
    await page.keyboard.type("admin")
    await page.get_by_label("Password", exact=True).fill("geheim-77")
    await expect(page.get_by_label("Time zone")).to_have_value("America/New_York")
    await page.get_by_label("When").fill("61 * * * *")
    await page.get_by_label("Name").fill("Shop, again")
    await page.get_by_role("button", name="Make the schedule").click()
    await expect(page.get_by_role("alert")).to_contain_text("cron can not be read")
    await expect(page.locator(".field.wrong")).to_contain_text("bad minute")
    await looked_over(page, "schedule-form-light")
    await page.get_by_label("When").fill("* * * * * *")
    await page.get_by_role("button", name="Make the schedule").click()

    row = page.get_by_role("list", name="Schedules").get_by_role("listitem")
    await expect(row).to_contain_text("Active")
    await expect(row).to_contain_text("skipped")  # it is due each second, and its first job still goes
    await expect(row).to_contain_text("Waiting")
    await page.get_by_role("button", name="Pause Shop, again").click()
    await expect(row).to_contain_text("Paused")
    job = await Simulated(it.bus, job_id=await first_job(page)).adopt()
    error = ErrorInfo(code="wrong_password", message="The password is wrong.", hint="Give the schedule the new one.")
    await job.emit(EventType.FAILED, status=Status.FAILED, error=error, finished_at=now())
    await expect(row).to_contain_text("Failed")

    await looked_over(page, "schedules-light")

    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 900})
    await page.get_by_role("button", name="Change Shop, again").click()
    await page.get_by_label("Administrator").fill("admin")
    await page.get_by_label("Password", exact=True).fill("neu-88")
    await page.get_by_label("When").fill("30 2 * * *")
    await page.get_by_label("Time zone").fill("Asia/Tokyo")
    await looked_over(page, "schedule-changed-dark")
    await page.get_by_role("button", name="Change it").click()
    await expect(row).to_contain_text("30 2 * * * in Asia/Tokyo")
    await expect(row).to_contain_text("Active")
    await expect(row.locator("time")).to_have_text(re.compile(r", 02:30$"))
    await expect(row.locator("time")).to_have_attribute("datetime", re.compile("T17:30:00"))
    await expect(row.get_by_role("link", name=job.job_id)).to_have_attribute("href", f"#/jobs/{job.job_id}")

    guest = await opened(it, browser, key=GUEST)
    await guest.get_by_role("link", name="Schedules").click()
    await expect(guest.get_by_role("heading", name="Shop, again")).to_be_visible()
    await expect(guest.locator("main").get_by_role("button")).to_have_count(0)
    await guest.context.close()

    await page.get_by_role("button", name="Remove Shop, again").click()
    await page.keyboard.press("Escape")
    await expect(row).to_have_count(1)
    await page.get_by_role("button", name="Remove Shop, again").click()
    await page.get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_text("No schedules yet")).to_be_visible()
    await page.context.close()


async def test_a_schedule_that_refreshes_a_clone_goes_on_with_it_when_it_is_changed(
    it: Stage, browser: Browser
) -> None:
    clone = await Simulated(it.bus, tenant="house", keys=it.keys, name="Follows").submit()
    await clone.start()
    await clone.complete()
    wish = {"source_url": clone.source_url, "pairing_key": "sf1_x", "cron": "@weekly", "clone_id": clone.job_id}
    page = await opened(it, browser)
    made = await page.request.post(f"{it.url}/schedules", data=wish, headers={"Sec-Fetch-Site": "same-origin"})
    assert made.status == 201, await made.text()
    await page.get_by_role("link", name="Schedules").click()
    row = page.get_by_role("list", name="Schedules").get_by_role("listitem")
    await expect(row).to_contain_text("refreshes")
    await page.get_by_role("button", name=re.compile("^Change")).click()
    await expect(page.get_by_label("Keep each clone for")).to_have_count(0)
    await page.get_by_label("Administrator").fill("admin")
    await page.get_by_label("Password", exact=True).fill("neu-88")
    await page.get_by_label("When").fill("@monthly")
    await page.get_by_role("button", name="Change it").click()
    await expect(row).to_contain_text("@monthly")
    await expect(row.get_by_role("link", name=clone.job_id)).to_be_visible()
    await page.get_by_role("button", name=re.compile("^Remove")).click()
    await page.get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_text("No schedules yet")).to_be_visible()
    await page.context.close()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
async def test_the_form_begins_with_what_was_chosen(it: Stage, browser: Browser, theme: Any, width: int) -> None:
    page = await opened(it, browser, color_scheme=theme, viewport={"width": width, "height": 900})
    await page.get_by_role("link", name="Defaults").click()
    await page.get_by_label("Keep clones for").select_option("4320")
    await page.get_by_label("Priority").select_option("low")
    await page.get_by_label("Tables that stay behind").fill("statistics\n\n  visits \n")
    await page.get_by_label("Hosts a clone may call").fill("api.example.com")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    await looked_over(page, f"defaults-{theme}")
    await page.get_by_role("link", name="Jobs", exact=True).click()
    await expect(page.get_by_label("Keep it for")).to_have_value("4320")
    await expect(page.get_by_text("2 tables left out, may call 1 host")).to_be_visible()
    await page.get_by_label("Site address").fill("https://shop.example.com")
    await page.get_by_label("Administrator").fill("admin")
    await page.get_by_label("Password", exact=True).fill("geheim-77")
    await page.get_by_role("button", name="Start cloning").click()
    await expect(page).to_have_url(re.compile("#/jobs/clone-"))
    stored = await it.bus.js.get_last_msg("CLONES", f"clone.requested.*.{page.url.rpartition('/')[2]}")
    command = json.loads(stored.data or b"")
    assert (command["ttl_minutes"], command["lane"]) == (4320, "low")
    assert (command["options"]["exclude_tables"], command["options"]["allow_http"]) == (
        ["statistics", "visits"],
        ["api.example.com"],
    )
    await page.context.close()


@pytest.mark.parametrize(("theme", "width"), LOOKS)
async def test_who_did_what(it: Stage, browser: Browser, theme: Any, width: int) -> None:
    headers = {"Host": it.url[7:], "Authorization": f"Bearer {BOSS}"}
    async with httpx2.AsyncClient(base_url=it.url.replace("localhost", "127.0.0.1"), headers=headers) as client:
        wish = {"source_url": "https://shop.example.com", "username": "admin", "password": "x"}
        job = (await client.post("/clone", json=wish)).json()["job_id"]
        for _ in range(3):
            await client.post(f"/jobs/{job}/retry")
    page = await opened(it, browser, color_scheme=theme, viewport={"width": width, "height": 900})
    await page.get_by_role("link", name="Audit log").click()
    asked = page.get_by_role("row").filter(has_text="clone.request").first
    await expect(asked).to_contain_text("boss")
    await expect(asked.get_by_role("link", name=job)).to_have_attribute("href", f"#/jobs/{job}")
    await looked_over(page, f"audit-{theme}")
    await page.get_by_role("button", name="Refused").click()
    await expect(page.get_by_role("row").filter(has_text="job.retry").first).to_contain_text("refused")
    await expect(page.get_by_role("row").filter(has_text="clone.request")).to_have_count(0)
    await page.context.close()


async def test_who_is_no_administrator_sees_webhooks_and_schedules_only(it: Stage, browser: Browser) -> None:
    page = await opened(it, browser, key=KEYS["agency"])
    await expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    await expect(page.get_by_role("navigation", name="Settings").get_by_role("link")).to_have_text(
        ["Webhooks", "Schedules"]
    )
    await page.goto(f"{it.url}/#/settings/keys")
    await expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()
    await page.context.close()
