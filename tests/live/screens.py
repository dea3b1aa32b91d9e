"""`python -m tests.live.screens DIRECTORY`: pictures of every page, light and dark, desktop and phone."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Page

from shared.events import now
from shared.jobs import Phase, Status
from shared.subjects import EventType, Lane
from tests.live.simulator import Simulated
from tests.live.stage import Stage, chromium, stage

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


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
    return {
        "home": "#/",
        "job-running": f"#/jobs/{running.job_id}",
        "job-completed": f"#/jobs/{done.job_id}",
        "job-failed": f"#/jobs/{failed.job_id}",
        "job-missing": "#/jobs/clone-0000000000000000",
        "clones": "#/clones",
    }


async def shoot(page: Page, url: str, file: Path) -> None:
    await page.goto("about:blank")
    await page.goto(url)
    await page.wait_for_selector("[data-mode], .empty")
    await page.wait_for_timeout(700)
    await page.screenshot(path=file, full_page=True)


async def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    async with stage() as it, chromium() as browser:
        async with await browser.new_context(viewport=DESKTOP) as context:  # type: ignore[arg-type]
            page = await context.new_page()
            page.on("console", lambda message: print("console:", message.text))
            page.on("pageerror", lambda error: print("page error:", error))
            await shoot(page, f"{it.url}/", directory / "home-empty-light-desktop.png")
        pages = await scenes(it)
        for theme in ("light", "dark"):
            for device, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
                async with await browser.new_context(viewport=viewport, color_scheme=theme) as context:  # type: ignore[arg-type]
                    page = await context.new_page()
                    page.on("console", lambda message: print("console:", message.text))
                    page.on("pageerror", lambda error: print("page error:", error))
                    for name, path in pages.items():
                        await shoot(page, f"{it.url}/{path}", directory / f"{name}-{theme}-{device}.png")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
