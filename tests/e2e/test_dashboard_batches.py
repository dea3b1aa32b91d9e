"""Batches in the dashboard: real sites, the whole product, a real Chromium."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.e2e.product import Product
from tests.live.stage import chromium
from tests.sites.fixtures import MakeSite

SLOW = 60_000
WIDTHS = {"desktop": ViewportSize(width=1280, height=900), "phone": ViewportSize(width=360, height=780)}
WATCH = """() => {
  window.seen = [];
  setInterval(() => {
    const bar = document.querySelector(".overall [role=progressbar]");
    if (bar?.hasAttribute("aria-valuenow")) window.seen.push(Number(bar.getAttribute("aria-valuenow")));
  }, 50);
}"""


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    page = await browser.new_page(viewport=WIDTHS["desktop"], reduced_motion="reduce")
    page.set_default_timeout(SLOW)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield page
    await page.close()
    assert complaints == []


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A site that takes connections and never answers, until it is closed."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening


def address(site: socket.socket) -> str:
    return f"http://127.0.0.1:{site.getsockname()[1]}"


async def submitted(page: Page, siteferry: Product, sites: str) -> str:
    """Paste sites into the form and send it; the id of the batch whose page is then shown."""
    await page.goto(f"{siteferry.url}/#/batches")
    await page.get_by_role("textbox", name="Sites").fill(sites)
    await page.get_by_role("button", name=re.compile(r"^Clone .* sites?")).click()
    await expect(page).to_have_url(re.compile(r"#/batches/batch-"), timeout=SLOW)
    return page.url.rpartition("/")[2]


async def test_lines_are_pasted_and_the_batch_is_seen_to_its_end(
    siteferry: Product, make_site: MakeSite, page: Page
) -> None:
    sites = [make_site(name, content="bare") for name in ("quay", "jetty", "mole")]
    lines = [f"{site.url}, {site.username}, {site.password}, {site.name}" for site in sites[:2]]
    lines.append(f"{sites[2].url}, {sites[2].username}, not-the-password, {sites[2].name}")
    batch_id = await submitted(page, siteferry, "\n".join(lines))
    await page.evaluate(WATCH)
    await expect(page.get_by_role("heading", name="Batch of 3 clones")).to_be_visible()
    await expect(page.locator("[data-mode]")).to_have_text("live")
    await expect(page.locator("header .state")).to_have_text("Partly completed", timeout=SLOW)
    bar = page.get_by_role("progressbar", name="Progress of the batch")
    await expect(bar).to_have_attribute("aria-valuetext", "Partly completed, 100 percent: 2 completed, 1 failed")
    await expect(page.locator("#announcer")).to_have_text("The batch has ended: 2 completed, 1 failed")
    await expect(page.get_by_role("button", name="Cancel the batch")).to_have_count(0)
    assert "Partly completed" in await page.title()
    seen = await page.evaluate("() => window.seen")
    assert seen == sorted(seen)
    assert seen[-1] == 100

    told = siteferry.http.get(f"/batches/{batch_id}").json()
    rows = page.locator(".jobs .job")
    assert await rows.locator(".title").all_inner_texts() == [job["name"] for job in told["jobs"]]
    await page.get_by_role("button", name="Failed").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(told["jobs"][2]["message"])
    await page.get_by_role("button", name="All").click()
    assert await rows.locator(".title").all_inner_texts() == [job["name"] for job in told["jobs"]]

    await page.goto(f"{siteferry.url}/#/")
    await page.get_by_label("Filter by batch").select_option(batch_id)
    await expect(rows).to_have_count(3)
    await rows.nth(0).get_by_role("link", name="part of a batch").click()
    await expect(page).to_have_url(re.compile(f"#/batches/{batch_id}$"))


async def test_a_batch_is_cancelled_after_a_question(siteferry: Product, silent: socket.socket, page: Page) -> None:
    clones = [{"source_url": f"{address(silent)}/{number}", "username": "a", "password": "b"} for number in range(6)]
    batch_id = await submitted(page, siteferry, json.dumps({"defaults": {"priority": "low"}, "clones": clones}))
    await expect(page.locator("header .state")).to_have_text(re.compile("Running|Waiting"))
    await page.get_by_role("button", name="Cancel the batch").click()
    question = page.get_by_role("dialog", name="Cancel this batch?")
    await question.get_by_role("button", name="Keep it").click()
    await expect(question).to_have_count(0)
    await page.get_by_role("button", name="Cancel the batch").click()
    await question.get_by_role("button", name="Cancel 6 jobs").click()
    await expect(page.locator("header .state")).to_have_text(re.compile("Cancelling|Cancelled"))
    silent.close()
    await expect(page.locator("header .state")).to_have_text("Cancelled", timeout=SLOW)
    await expect(page.locator(".jobs .state", has_text="Cancelled")).to_have_count(6)
    assert siteferry.http.get(f"/batches/{batch_id}").json()["status"] == "cancelled"


async def test_the_form_says_which_line_is_wrong(siteferry: Product, page: Page) -> None:
    await page.goto(f"{siteferry.url}/#/batches")
    sites, send = page.get_by_role("textbox", name="Sites"), page.locator("form button.primary")
    await send.click()
    await expect(page.get_by_text("There are no sites yet.")).to_be_visible()
    await expect(sites).to_be_focused()
    await sites.fill('source_url,user\nshop.example.com,"a"')
    await sites.blur()
    await expect(page.get_by_text("Line 1: user is not a column")).to_be_visible()
    await sites.fill("shop.example.com, a, b\n\nhttps://x:y@files.example, a, b\nblog.example.com")
    await send.click()
    refused = page.get_by_role("alert")
    await expect(refused).to_contain_text("Nothing was submitted: 2 entries can not be accepted")
    await expect(refused).to_contain_text("Line 3: source_url")
    await expect(refused).to_contain_text("Line 4: send username and password")
    assert "batch-" not in page.url
    file = {"name": "fleet.csv", "mimeType": "text/csv", "buffer": b"source_url;ttl\nshop.example.com;7d\n"}
    await page.get_by_label("Choose a file…").set_input_files([file])  # type: ignore[list-item]
    await expect(sites).to_have_value("source_url;ttl\nshop.example.com;7d\n")
    await expect(page.get_by_text("1 site found.")).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), [("light", "desktop"), ("dark", "phone")])
async def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(
    siteferry: Product, silent: socket.socket, browser: Browser, theme: str, width: str
) -> None:
    clones = [
        {"source_url": f"{address(silent)}/a-rather-long-path-of-a-site-{n}", "pairing_key": "x"} for n in range(2)
    ]
    batch_id = siteferry.http.post("/batches", json={"clones": clones}).json()["batch_id"]
    pages = {
        f"#/batches/{batch_id}": "main .bar",
        "#/batches": f'a[href="#/batches/{batch_id}"]',
        "#/": f'a[href="#/batches/{batch_id}"]',
        "#/batches/batch-0000000000000000": ".empty",
    }
    context = await browser.new_context(
        color_scheme=theme,  # type: ignore[arg-type]
        viewport=WIDTHS[width],  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    try:
        page = await context.new_page()
        page.set_default_timeout(SLOW)
        for path, shown in pages.items():
            await page.goto("about:blank")
            await page.goto(f"{siteferry.url}/{path}")
            await page.wait_for_selector(shown)
            found = (await Axe().run(page)).response["violations"]
            serious = [(problem["id"], [node["html"] for node in problem["nodes"]]) for problem in found
                       if problem["impact"] in ("serious", "critical")]  # fmt: skip
            assert serious == [], path
            over = await page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, path
    finally:
        await context.close()
        siteferry.http.post(f"/batches/{batch_id}/cancel")
