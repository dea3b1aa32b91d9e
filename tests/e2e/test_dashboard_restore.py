"""Restores in the dashboard, in a real Chromium: look first, accept what is lost, restore, go back. The restorer is
played."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, expect

from shared.contract.events import COMMAND, RestoreRequested
from shared.contract.jobs import ErrorInfo
from shared.contract.subjects import Lane
from tests.live.restores import PLAN, SimulatedRestore
from tests.live.simulator import Simulated
from tests.live.stack import eventually
from tests.live.stage import Stage, chromium, stage

SLOW = 20_000
PASSWORD = "n0t-in-any-stream"


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stage]:
    async with stage() as it:
        yield it


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    page = await context.new_page()
    page.set_default_timeout(SLOW)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield page
    assert complaints == []


async def newest(it: Stage, known: set[str]) -> SimulatedRestore:
    """The restore that is asked for next."""

    async def found() -> str | None:
        info = await it.bus.js.stream_info("RESTORES", subjects_filter="restore.requested.*.*")
        ids = {subject.rpartition(".")[2] for subject in info.state.subjects or {}}
        return next(iter(ids - known), None)

    job_id = await eventually(found, timeout=20, what="a restore")
    known.add(job_id)
    return await SimulatedRestore(it.bus, job_id=job_id, target_url="https://harbour-cafe.example").adopt()


async def command(it: Stage, job: SimulatedRestore) -> RestoreRequested:
    message = await it.bus.js.get_last_msg("RESTORES", f"restore.requested.*.{job.job_id}")
    found = COMMAND.validate_json(message.data or b"")
    assert isinstance(found, RestoreRequested)
    return found


async def test_from_a_clone_to_production_and_back(it: Stage, page: Page) -> None:
    known: set[str] = set()
    clone = await Simulated(it.bus, name="Harbour Café", keys=it.keys).play()
    await page.goto(f"{it.url}/#/jobs/{clone.job_id}")
    await page.get_by_text("Restore to production…").click()
    form = page.get_by_role("form", name="Restore to production")
    await expect(form.get_by_label("Address of production")).to_have_value("https://harbour-cafe.example")
    await form.get_by_role("button", name="Show what would change").click()
    await expect(form.get_by_label("Administrator there")).to_be_focused()
    await form.get_by_label("Administrator there").fill("editor")
    await form.get_by_label("Password there").fill(PASSWORD)
    await form.get_by_label("Keep production’s themes").check()
    await form.get_by_label("Keep production’s accounts").uncheck()
    await form.get_by_role("button", name="Show what would change").click()

    look = await newest(it, known)
    asked = await command(it, look)
    assert (asked.clone_id, asked.dry_run, asked.accept_loss) == (clone.job_id, True, False)
    options = asked.options
    assert (options.preserve_plugins, options.preserve_themes, options.preserve_users) == (True, True, False)
    await look.start()
    await look.reach("plan")
    await expect(form.get_by_text("Compare both sites")).to_be_visible()
    await look.complete(dry_run=True, snapshot_id=None)
    await expect(form.get_by_text("Production would lose 1 comment and 2 orders")).to_be_visible()
    row = form.get_by_role("row", name=re.compile("^wp_posts "))
    await expect(row).to_contain_text("812")
    restore = form.get_by_role("button", name="Restore to harbour-cafe.example")
    await expect(restore).to_be_disabled()
    await form.get_by_label("I accept that production loses these").check()
    await restore.click()

    job = await newest(it, known)
    asked = await command(it, job)
    assert (asked.dry_run, asked.accept_loss, asked.target_url) == (False, True, "https://harbour-cafe.example")
    await expect(page).to_have_url(re.compile(f"#/jobs/{job.job_id}"))
    await expect(page.locator(".route")).to_contain_text("harbour-cafe.example")
    await job.start()
    await job.reach("stage")
    await expect(page.locator(".step.running")).to_contain_text("Write beside the live tables")
    await job.complete()
    await expect(page.get_by_role("heading", name="Production became what the clone was")).to_be_visible()
    facts = page.locator(".facts div", has_text="not writable")
    await expect(facts).to_contain_text(re.compile("3[89] ms"))
    await expect(page.get_by_text("Late", exact=False).first).to_be_visible()

    await page.get_by_role("button", name="Roll back", exact=True).click()
    login = page.get_by_role("form", name="Roll back: harbour-cafe.example")
    await login.get_by_label("Administrator there").fill("editor")
    await login.get_by_label("Password there").fill(PASSWORD)
    await login.get_by_role("button", name="Roll back harbour-cafe.example").click()
    back = await newest(it, known)
    asked = await command(it, back)
    assert (asked.action, asked.snapshot_id, asked.lane) == ("rollback", job.job_id, Lane.HIGH)
    await expect(page).to_have_url(re.compile(f"#/jobs/{back.job_id}"))
    await back.start()
    await job.rolled_back()
    await back.complete(action="rollback", snapshot_id=job.job_id, plan=None, snapshot_expires_at=None)
    await expect(page.get_by_role("heading", name="Production is as it was before")).to_be_visible()

    await page.get_by_role("link", name="Snapshots").click()
    card = page.locator(".clones .card", has_text="harbour-cafe.example")
    await expect(card.locator(".state")).to_have_text("Rolled back")
    await card.get_by_role("link").click()
    await expect(page.locator(".result .state")).to_have_text("Rolled back")
    await expect(page.get_by_role("button", name="Roll back", exact=True)).to_have_count(0)


async def test_a_restore_that_stopped_shows_what_would_be_lost(it: Stage, page: Page) -> None:
    job = await SimulatedRestore(it.bus).submit()
    await job.start()
    await job.reach("plan")
    details = {"losses": PLAN.losses, "samples": [loss.model_dump(mode="json") for loss in PLAN.loss_samples]}
    await job.fail(ErrorInfo(code="production_would_lose", message="Production has what would go.", details=details))
    await page.goto(f"{it.url}/#/jobs/{job.job_id}")
    await expect(page.get_by_text("Production would lose 1 comment and 2 orders")).to_be_visible()
    await expect(page.get_by_text("Order of Ada")).to_be_visible()
    await page.goto(f"{it.url}/#/")
    await expect(page.get_by_role("link", name="Restore of shop.example.com").first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious(it: Stage, browser: Browser, theme: str) -> None:
    done = await SimulatedRestore(it.bus).play()
    look = await SimulatedRestore(it.bus).submit(dry_run=True)
    await look.start()
    await look.complete(dry_run=True, snapshot_id=None)
    clone = await Simulated(it.bus, name="Axe", keys=it.keys).play()
    axe = Axe()
    async with await browser.new_context(
        color_scheme=theme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    ) as context:
        page = await context.new_page()
        page.set_default_timeout(SLOW)
        for path, click, seen in (
            (f"jobs/{done.job_id}", "What was changed", "wp_posts"),
            (f"jobs/{done.job_id}", "Discard", "Leave it"),
            (f"jobs/{look.job_id}", "", "Nothing was changed."),
            (f"jobs/{clone.job_id}", "Restore to production…", "Show what would change"),
            ("snapshots", "", "shop.example.com"),
        ):
            await page.goto("about:blank")
            await page.goto(f"{it.url}/#/{path}")
            if click:
                await page.get_by_text(click, exact=True).first.click()
            await expect(page.get_by_text(seen).first).to_be_visible()
            found = (await axe.run(page)).response
            grave = [item for item in found["violations"] if item["impact"] in ("serious", "critical")]
            told = [(item["id"], [node["html"] for node in item["nodes"]][:3]) for item in grave]
            assert told == [], f"{path} {click} in {theme}"
