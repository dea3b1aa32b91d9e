"""The dashboard in a real Chromium, behind the real edge: Caddy, gateway, status, nats-server. The cloner is played."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from nats.aio.msg import Msg
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from shared.contract.events import Expired, now
from shared.contract.jobs import ErrorInfo, Note, Status
from shared.contract.preflight import Preview, Question, Reply
from shared.contract.subjects import EventType, rpc
from shared.ids import new_id
from tests.live.screens import LOADED, scenes
from tests.live.simulator import Simulated
from tests.live.stack import eventually
from tests.live.stage import Stage, chromium, stage

SLOW = 15_000
PROGRESS = "() => Number(document.querySelector('.overall [role=progressbar]')?.getAttribute('aria-valuenow') ?? -1)"


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Stage]:
    async with stage() as it:
        yield it


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def played(it: Stage) -> dict[str, str]:
    """Pages with jobs in every state."""
    return await scenes(it)


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


async def job_from_form(page: Page, it: Stage) -> Simulated:
    """Fill in the form as a person does; returns the job the gateway accepted."""
    await page.goto(it.url)
    await page.get_by_label("Site address").fill("harbour-cafe.example")
    await page.get_by_label("Administrator").fill("editor")
    await page.get_by_label("Password").fill("n0t-in-any-stream")
    await page.get_by_label("Name").fill("Harbour Café")
    await page.get_by_label("Keep it for").select_option("120")
    await page.get_by_role("button", name="Start cloning").click()
    await expect(page).to_have_url(re.compile(r"#/jobs/clone-"))
    job_id = page.url.rpartition("/")[2]
    return await Simulated(it.bus, job_id=job_id, keys=it.keys).adopt()


async def test_from_the_form_to_the_login_of_the_clone(it: Stage, page: Page) -> None:
    job = await job_from_form(page, it)
    await expect(page.get_by_role("heading", name="Harbour Café")).to_be_visible()
    await expect(page.locator("header .state")).to_have_text("Waiting")
    await job.start()
    await job.run_steps(upto="files")
    bar = page.get_by_role("progressbar", name="Progress of the job")
    await expect(bar).to_have_attribute("aria-valuetext", re.compile(r"Step 5 of 9, Copy files, \d+ percent"))
    await expect(page.locator(".step.running .amount")).to_have_text("84.2 MB of 168 MB")
    await expect(page.locator("#announcer")).to_have_text(re.compile("Copy files|25 percent"))
    await job.complete(clone_url=f"{it.url.replace('localhost', f'{job.job_id}.localhost')}/")
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible()
    await expect(page.locator("#announcer")).to_have_text("The clone is ready")
    await expect(page.get_by_text("expires in 1 h 59 min")).to_be_visible()
    await expect(page.locator("[data-password]")).to_have_count(0)
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("[data-password]")).to_have_text("correct-horse-7")
    await expect(page.get_by_role("log")).to_contain_text("The clone is ready")
    assert await page.title() == "Completed · Harbour Café · Siteferry"


async def test_the_form_says_what_is_missing_and_what_the_server_refuses(it: Stage, page: Page) -> None:
    await page.goto(it.url)
    await page.get_by_role("button", name="Start cloning").click()
    await expect(page.get_by_text("Enter the address of the site")).to_be_visible()
    await expect(page.get_by_label("Site address")).to_be_focused()
    await page.get_by_label("Site address").fill("ftp://files.example")
    await expect(page.get_by_text("use http:// or https://")).to_be_visible()
    await page.get_by_label("Site address").fill("http://user:secret@host.example/")
    await page.get_by_label("Administrator").fill("a")
    await page.get_by_label("Password").fill("b")
    await page.get_by_role("button", name="Start cloning").click()
    await expect(page.locator("p.wrong, .trouble").first).to_be_visible()
    assert "#/jobs" not in page.url


async def test_a_typed_address_is_looked_at_and_submitting_does_not_wait(it: Stage, page: Page) -> None:
    looking, asked = asyncio.Event(), []

    async def answer(msg: Msg) -> None:
        question = Question.model_validate_json(msg.data)
        asked.append(question.source_url)
        seen = Preview(ready=False, source_url=question.source_url, message="A captcha guards the login form.")
        if "ready" in question.source_url:
            note = Note(code="moved", message="The site is at https://www.ready.example.")
            seen = Preview(ready=True, source_url=question.source_url, message="", version="6.8", notes=[note])
        elif "slow" in question.source_url:
            await looking.wait()
        await msg.respond(Reply(preview=seen).model_dump_json().encode())

    cloner = await it.bus.nc.subscribe(rpc("cloner", "preflight"), cb=answer)
    await it.bus.nc.flush()
    await page.goto(it.url)
    address, preview = page.get_by_label("Site address"), page.locator("[data-preview]")
    await expect(preview).to_have_attribute("role", "status")
    await expect(preview).to_be_empty()
    await address.fill("ready.example")
    await address.blur()
    await expect(preview).to_have_text(
        re.compile(r"WordPress 6\.8\s*Its login form was found\. The site is at https://www")
    )
    await address.focus()
    await address.blur()
    await address.fill("guarded.example")
    await expect(preview).to_be_empty()
    await address.blur()
    await expect(preview).to_have_text(re.compile(r"May not work\s*A captcha guards the login form\."))
    assert asked == ["https://ready.example", "https://guarded.example"], "left again unchanged: not asked again"
    found = (await Axe().run(page)).response
    assert [item["id"] for item in found["violations"] if item["impact"] in ("serious", "critical")] == []

    await address.fill("slow.example")
    await page.get_by_label("Administrator").fill("editor")
    await expect(preview).to_have_text("Checking…")
    await page.get_by_label("Password").fill("n0t-in-any-stream")
    await page.get_by_role("button", name="Start cloning").click()
    await expect(page).to_have_url(re.compile(r"#/jobs/clone-"))
    looking.set()
    await cloner.unsubscribe()


async def test_a_pairing_key_is_a_way_in_where_nobody_but_a_person_can_sign_in(it: Stage, page: Page) -> None:
    job = await Simulated(it.bus, source_url="https://guarded.example", keys=it.keys).submit()
    await job.start()
    error = ErrorInfo(code="captcha_required", message="A captcha guards the login form.")
    await job.emit(EventType.FAILED, status=Status.FAILED, message=error.message, error=error, finished_at=now())
    await page.goto(f"{it.url}/#/jobs/{job.job_id}")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    await page.get_by_role("button", name="Start again with a pairing key").click()
    form = page.get_by_role("form", name="Start again with a pairing key")
    await form.get_by_role("button", name="Start again").click()
    await expect(form.get_by_label("Pairing key")).to_be_focused()
    await form.get_by_label("Pairing key").fill("sf1_not-a-real-one")
    found = (await Axe().run(page)).response
    assert [item["id"] for item in found["violations"] if item["impact"] in ("serious", "critical")] == []
    await form.get_by_role("button", name="Start again").click()
    await expect(page).not_to_have_url(f"{it.url}/#/jobs/{job.job_id}")
    await expect(page.get_by_role("heading", name="guarded.example")).to_be_visible()
    sealed = await it.bus.js.get_last_msg("CLONES", f"clone.requested.*.{page.url.rpartition('/')[2]}")
    assert b"sf1_" not in (sealed.data or b"")


async def test_without_a_cloner_a_typed_address_is_not_commented(it: Stage, page: Page) -> None:
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/preflight", hold)
    await page.goto(it.url)
    start = page.get_by_role("button", name="Start cloning")
    before = await start.bounding_box()
    async with page.expect_response("**/preflight") as answered:
        await page.get_by_label("Site address").fill("harbour-cafe.example")
        await page.get_by_label("Site address").blur()
        await expect(page.locator("[data-preview]")).to_have_text("Checking…")
        assert await start.bounding_box() == before, "a click on its way to the button would be lost"
        held.set()
    assert (await answered.value).status == 503
    await expect(page.locator("[data-preview]")).to_be_empty()
    assert await start.bounding_box() == before


async def test_kills_of_status_and_nats_are_said_and_survived_and_progress_never_goes_back(
    it: Stage, page: Page
) -> None:
    job = await job_from_form(page, it)
    job.ticks, job.pace = 8, 0.15
    mode = page.locator("header [data-mode]")
    await expect(mode).to_have_text("live")
    seen: list[float] = []

    async def look() -> None:
        while True:
            value = await page.evaluate(PROGRESS)
            if value >= 0:
                seen.append(value)
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    await job.start()
    playing = asyncio.create_task(job.run_steps())
    await eventually(lambda: seen and seen[-1] > 12)
    it.status.kill()
    await expect(mode).to_have_text(re.compile("reconnecting|polling"))
    await it.start_status(port=0).ready()
    await expect(mode).to_have_text("live", timeout=SLOW)
    it.house.kill()
    await expect(mode).to_have_text("reconnecting")
    it.house.start()
    await expect(mode).to_have_text("live", timeout=SLOW)
    await playing
    await job.complete()
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible(timeout=SLOW)
    looking.cancel()
    assert seen == sorted(seen)
    assert len(set(seen)) > 3


async def test_a_browser_frozen_for_a_while_delays_no_other_and_shows_the_truth_afterwards(
    it: Stage, page: Page
) -> None:
    token = f"--siteferry-test={new_id('clone')}"
    async with chromium(token) as other:
        frozen = await other.new_page()
        frozen.set_default_timeout(SLOW)
        job = await Simulated(it.bus, name="Watched by two", keys=it.keys).submit()
        await job.start()
        for one in (page, frozen):
            await one.goto(f"{it.url}/#/jobs/{job.job_id}")
            await expect(one.locator("header .state")).to_have_text("Running")
            await expect(one.locator("header [data-mode]")).to_have_text("live")
        processes = family(token)
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            job.ticks = 700  # far more than what waits for a client
            await job.run_steps(upto="files")
            await expect(page.locator(".step.running .amount")).to_have_text("84.2 MB of 168 MB", timeout=3000)
            await job.fail()
            await expect(page.get_by_role("heading", name="The source stopped answering")).to_be_visible(timeout=3000)
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        truth = frozen.get_by_role("heading", name="The source stopped answering")
        await expect(truth).to_be_visible(timeout=SLOW)
        await expect(frozen.locator("header .state")).to_have_text("Failed")


def family(token: str) -> list[int]:
    """The process whose command line has `token`, and all that descend from it."""
    parents, first = dict[int, int](), 0
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if token in (path / "cmdline").read_text().replace("\0", " ").split(" ") and not first:
                first = int(path.name)
    assert first, "the browser was not found"
    found = [first]
    for pid in found:  # grows while it is gone through
        found += [child for child, parent in parents.items() if parent == pid]
    return found


async def test_without_websockets_and_events_the_page_polls_and_ends_in_the_true_state(it: Stage, page: Page) -> None:
    await page.route("**/events", lambda route: asyncio.ensure_future(route.abort()))
    await page.route_web_socket("**/ws", lambda socket: asyncio.ensure_future(socket.close()))
    job = await job_from_form(page, it)
    await expect(page.locator("header [data-mode]")).to_have_text("polling every 2 s")
    await job.start()
    await job.run_steps()
    await job.complete()
    await expect(page.get_by_role("heading", name="The clone is ready")).to_be_visible()


async def test_a_clone_is_extended_and_deleted_with_a_question_before(it: Stage, page: Page) -> None:
    job = await Simulated(it.bus, name="To be deleted", keys=it.keys).play()
    await page.goto(f"{it.url}/#/clones")
    card = page.locator(".clones .card", has_text="To be deleted")
    await expect(card.get_by_text("expires in 1 h")).to_be_visible()
    await card.get_by_label("Extend the life of").select_option("1440")
    await expect(card.get_by_text(re.compile("expires in (23 h|1 d)"))).to_be_visible()
    await card.get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog", name="Delete this clone?")
    await expect(question).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(question).to_have_count(0)
    await expect(card.get_by_text("Ready")).to_be_visible()
    await card.get_by_role("button", name="Delete").click()
    await question.get_by_role("button", name="Delete the clone").click()
    await expect(card.get_by_text("Being deleted")).to_be_visible()
    await it.bus.publish(Expired(job_id=job.job_id, reason="deleted"))
    await expect(card).to_have_count(0)


async def test_a_failed_job_says_why_and_can_be_tried_again(it: Stage, page: Page) -> None:
    job = await Simulated(it.bus, source_url="https://blog.oldmill.example", keys=it.keys).submit()
    await job.start()
    await job.run_steps(upto="files")
    await page.goto(f"{it.url}/#/jobs/{job.job_id}")
    await page.get_by_role("button", name="Cancel").click()
    question = page.get_by_role("dialog", name="Cancel this job?")
    await question.get_by_role("button", name="Keep it").click()
    await job.fail()
    await expect(page.get_by_role("heading", name="The source stopped answering")).to_be_visible()
    await expect(page.get_by_text("HTTP 503 after 5 tries")).to_be_visible()
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    await job.adopt()
    await job.start(attempt=2)
    await expect(page.locator("header .state")).to_have_text("Running")
    await expect(page.get_by_text("attempt 2").first).to_be_visible()


async def test_the_list_is_live_filters_and_finds(it: Stage, page: Page) -> None:
    await page.goto(it.url)
    job = await Simulated(it.bus, name="Quickly seen", keys=it.keys).submit()
    row = page.locator(".jobs .job", has_text="Quickly seen")
    await expect(row).to_contain_text("Waiting")
    await job.start()
    await job.run_steps(upto="database")
    await expect(row).to_contain_text(re.compile(r"\d\d %"))
    await page.get_by_role("button", name="In progress").click()
    await expect(row).to_be_visible()
    await job.complete()
    await expect(row).to_have_count(0)
    await page.get_by_role("button", name="Completed").click()
    async with page.expect_response(re.compile(r"[?&]q=quickly")):
        await page.get_by_label("Search jobs").fill("quickly")
    await expect(page.locator(".jobs .job")).to_have_count(1)
    await row.get_by_role("link").press("Enter")
    await expect(page.get_by_role("heading", name="Quickly seen")).to_be_visible()


async def test_a_list_older_than_what_was_heard_is_asked_for_again(it: Stage, page: Page) -> None:
    """Lists come from the gateway, which may know later of an end than the service that tells it live."""
    job = await Simulated(it.bus, name="Ends unheard", keys=it.keys).submit()
    await job.start()
    await page.goto(f"{it.url}/#/?show=open")
    row = page.locator(".jobs .job", has_text="Ends unheard")
    async with page.expect_response(re.compile(r"/jobs\?count=true")) as last:
        await expect(row).to_contain_text("Running")
    old, told = await (await last.value).body(), 0

    async def answer(route: Route) -> None:
        nonlocal told
        told += 1
        await (route.fulfill(body=old, content_type="application/json") if told == 1 else route.continue_())

    await page.route(re.compile(r"/jobs\?count=true"), answer)
    await job.complete()
    await expect(row).to_have_count(0)
    assert told > 1


async def test_unknown_jobs_and_the_policy(it: Stage, page: Page) -> None:
    answer = await page.goto(f"{it.url}/#/jobs/{new_id('clone')}")
    await expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious(it: Stage, played: dict[str, str], browser: Browser, theme: str) -> None:
    axe = Axe()
    context = await browser.new_context(color_scheme=theme, reduced_motion="reduce")
    try:
        page = await context.new_page()
        for name, path in played.items():
            if name.startswith(("batch", "restore", "snapshots")):
                continue  # their own files look at them
            await page.goto("about:blank")
            await page.goto(f"{it.url}/{path}")
            await page.wait_for_selector(LOADED)
            await page.wait_for_timeout(300)
            found = (await axe.run(page)).response
            serious = [
                (problem["id"], node["html"])
                for problem in found["violations"]
                if problem["impact"] in ("serious", "critical")
                for node in problem["nodes"]
            ]
            assert serious == [], name
    finally:
        await context.close()
