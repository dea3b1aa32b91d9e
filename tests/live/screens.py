"""`python -m tests.live.screens DIRECTORY`: pictures of every page, light and dark, desktop and phone."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import httpx2
from playwright.async_api import Browser, Page

from shared.contract.events import now
from shared.contract.jobs import ErrorInfo, Phase, Status
from shared.contract.subjects import EventType, Lane
from tests.live.restores import PLAN, SimulatedRestore
from tests.live.simulator import Simulated
from tests.live.stack import eventually
from tests.live.stage import Stage, chromium, stage

LOADED = ".statistics, .jobpage, .empty, .signin, .clones, .jobs:not([aria-busy])"
"""Something of every page that is there once it has loaded."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


LONG = ErrorInfo(
    code="production_would_lose",
    message="Production has 1 comment and 2 orders that the clone does not know; they would be lost.",
    hint="Look at them in the plan. Clone production again and repeat your changes there, or restore with accept_loss.",
    details={"losses": PLAN.losses, "samples": [loss.model_dump(mode="json") for loss in PLAN.loss_samples]},
)
VERBOSE = ErrorInfo(
    code="site_broken",
    message="WordPress answers with a fatal error: Uncaught Error: Call to undefined function "
    "harbour_bookings_register_block_patterns() in /srv/www/oldmill/wp-content/themes/tide-child/functions.php:1187",
    hint="Repair the site first; the PHP log of the site names the cause. Then try again.",
)


async def batch(it: Stage, names: list[str]) -> tuple[str, list[Simulated]]:
    """A batch as the gateway accepts it; its jobs, to be played."""
    clones = [{"source_url": f"https://{name}.example", "username": "a", "password": "b"} for name in names]
    async with httpx2.AsyncClient(base_url=it.url.replace("localhost", "127.0.0.1")) as client:
        host = it.url.removeprefix("http://")
        answer = await client.post("/batches", json={"clones": clones}, headers={"Host": host})
    made = answer.json()
    return made["batch_id"], [
        await Simulated(it.bus, job_id=job_id, keys=it.keys).adopt() for job_id in made["job_ids"]
    ]


async def batches(it: Stage) -> dict[str, str]:
    """One that runs and one that has ended."""
    ended, jobs = await batch(it, ["quay", "lighthouse", "slipway"])
    for job in jobs:
        await job.start()
        await job.run_steps(upto="files")
    await jobs[0].complete()
    await jobs[1].fail()
    await jobs[2].complete()
    running, jobs = await batch(it, ["harbour", "marina", "pier", "boatyard", "a-very-long-name-of-a-site-by-the-sea"])
    for job, upto in zip(jobs, ("files", "database", "verify"), strict=False):
        await job.start()
        await job.run_steps(upto=upto)
    await jobs[2].complete()
    return {"batches": "#/batches", "batch-running": f"#/batches/{running}", "batch-ended": f"#/batches/{ended}"}


async def restores(it: Stage) -> dict[str, str]:
    """One that completed, and one that stopped for what would be lost."""
    restored = await SimulatedRestore(it.bus, created=now() - timedelta(minutes=6)).submit()
    await restored.start()
    await restored.complete()
    stopped = await SimulatedRestore(it.bus, created=now() - timedelta(minutes=5)).submit()
    await stopped.start()
    await stopped.reach("plan")
    await stopped.fail(LONG)
    return {
        "restore-completed": f"#/jobs/{restored.job_id}",
        "restore-stopped": f"#/jobs/{stopped.job_id}",
        "snapshots": "#/snapshots",
    }


async def scenes(it: Stage) -> dict[str, str]:
    """Jobs in every state; their pages by name."""
    bus, keys = it.bus, it.keys

    def job(url: str, name: str | None = None, minutes: float = 3, **more: object) -> Simulated:
        return Simulated(bus, source_url=url, name=name, keys=keys, created=now() - timedelta(minutes=minutes), **more)  # type: ignore[arg-type]

    done = await job("https://harbour-cafe.example", "Harbour Café before the redesign", 42).play()
    await job("https://shop.northwind.example", None, 31).play()
    failed = await job("https://blog.oldmill.example", "Old Mill blog", 18).submit()
    await failed.start()
    await failed.run_steps(upto="files")
    await failed.fail()
    cancelled = await job("https://tours.example", None, 12).submit()
    await cancelled.emit(
        EventType.CANCELLED, status=Status.CANCELLED, message="Cancelled before it began", finished_at=now()
    )
    retrying = await job("https://gallery.example/site", "Gallery", 9, lane=Lane.HIGH).submit()
    await retrying.start()
    await retrying.run_steps(upto="database")
    await retrying.emit(
        EventType.RETRYING,
        status=Status.PENDING,
        phase=Phase.RETRYING,
        message="The source answered 503; next try in 20 s",
    )
    await job("https://news.example", "Newsroom", 2).submit()
    running = await job("https://academy.example", "Academy, spring term", 1, pace=0.25).submit()
    await running.start()
    await running.run_steps(upto="database")
    verbose = await job("https://oldmill.example/blog", "Old Mill, the one with the broken theme", 1).submit()
    await verbose.start()
    await verbose.emit(
        EventType.FAILED, status=Status.FAILED, message=VERBOSE.message, finished_at=now(), error=VERBOSE
    )
    more = {**await batches(it), **await restores(it)}
    return {
        "home": "#/",
        "job-running": f"#/jobs/{running.job_id}",
        "job-completed": f"#/jobs/{done.job_id}",
        "job-failed": f"#/jobs/{failed.job_id}",
        "job-long-error": f"#/jobs/{verbose.job_id}",
        "job-cancelled": f"#/jobs/{cancelled.job_id}",
        "job-waiting": f"#/jobs/{retrying.job_id}",
        "job-missing": "#/jobs/clone-0000000000000000",
        "batch-missing": "#/batches/batch-00000000000000",
        "clones": "#/clones",
        "statistics": "#/statistics",
        **more,
    }


async def plan(it: Stage, page: Page, clone: str) -> None:
    """The restore form of a clone's page, with what would change and what would be lost."""
    await page.goto(f"{it.url}/{clone}")
    await page.get_by_text("Restore to production…").click()
    form = page.get_by_role("form", name="Restore to production")
    await form.get_by_label("Administrator there").fill("editor")
    await form.get_by_label("Password there").fill("n0t-in-any-stream")
    before = await _restores(it)
    await form.get_by_role("button", name="Show what would change").click()

    async def asked() -> str | None:
        return next(iter(await _restores(it) - before), None)

    job_id = await eventually(asked, what="a dry run")
    look = await SimulatedRestore(it.bus, job_id=job_id, target_url="https://harbour-cafe.example").adopt()
    await look.start()
    await look.complete(dry_run=True, snapshot_id=None)
    await form.get_by_text("I accept that production loses these").wait_for()


async def _restores(it: Stage) -> set[str]:
    info = await it.bus.js.stream_info("RESTORES", subjects_filter="restore.requested.*.*")
    return {subject.rpartition(".")[2] for subject in info.state.subjects or {}}


async def shoot(page: Page, url: str, file: Path) -> None:
    await page.goto("about:blank")
    await page.goto(url)
    await page.wait_for_selector(LOADED)
    await page.wait_for_timeout(700)
    await page.screenshot(path=file, full_page=True)


EMPTY = {"home": "#/", "batches": "#/batches", "clones": "#/clones", "snapshots": "#/snapshots"}
LOOKS = [
    (theme, device, viewport)
    for theme in ("light", "dark")
    for device, viewport in (("desktop", DESKTOP), ("phone", PHONE))
]


async def look(
    it: Stage, browser: Browser, pages: dict[str, str], directory: Path, *, clone: str | None = None
) -> None:
    """Every page in both themes and widths."""
    for theme, device, viewport in LOOKS:
        async with await browser.new_context(viewport=viewport, color_scheme=theme) as context:  # type: ignore[arg-type]
            page = await context.new_page()
            page.on("console", lambda message: print("console:", message.text))
            page.on("pageerror", lambda error: print("page error:", error))
            for name, path in pages.items():
                await shoot(page, f"{it.url}/{path}", directory / f"{name}-{theme}-{device}.png")
            if clone:
                await page.goto("about:blank")
                await plan(it, page, clone)
                await page.screenshot(path=directory / f"restore-plan-{theme}-{device}.png", full_page=True)


async def main(directory: Path) -> None:
    """All pictures."""
    directory.mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        async with stage() as it:
            await look(it, browser, {f"{name}-empty": path for name, path in EMPTY.items()}, directory)
            pages = await scenes(it)
            await look(it, browser, pages, directory, clone=pages["job-completed"])
        with tempfile.NamedTemporaryFile("w", prefix="siteferry-keys-") as keys:
            keys.write(f"agency:{hashlib.sha256(b'key').hexdigest()}:agency:high\n")
            keys.flush()
            async with stage(api_keys_file=keys.name) as it:
                await look(it, browser, {"sign-in": "#/"}, directory)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
