"""Refreshes of a clone from its site, through the API, the command line and the dashboard, on the whole product."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.product import KEEPING, TERMINAL, product
from tests.e2e.restoring import Pair
from tests.e2e.target import connectors
from tests.e2e.test_fidelity import Copy
from tests.live.stage import chromium
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

SLOW = 120_000
KILLED = ["verify", "exchange"]
if os.environ.get("THOROUGH"):
    KILLED = [
        *("sign_in", "connector", "preflight", "edits", "provision", "files", "database", "finalize", "verify"),
        *("exchange",) * 5,
        "remove_connector",
    ]
"""In which steps the worker is killed, each time a moment later in the same one."""


@pytest.fixture(scope="module")
def pair(farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("refresh", content="small"))
    with product(environment=KEEPING | {"SITEFERRY_ACK_WAIT": "6"}) as running:
        yield Pair(running, site, running.clone(site))
    site.destroy()


def login(pair: Pair) -> dict[str, str]:
    return {"username": pair.site.username, "password": pair.site.password}


def submit(pair: Pair, **more: Any) -> str:
    answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/refresh", json={**login(pair), **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def refreshed(pair: Pair, job_id: str) -> dict[str, Any]:
    job = pair.siteferry.wait(job_id)
    assert job["status"] == "completed", f"{job['error']}\n{pair.siteferry.log()[-6000:]}"
    return dict(job)


def work_on_production(pair: Pair, word: str) -> None:
    """Rows and files that are new, changed, gone; a row that names the address."""
    site = pair.site
    site.sql("INSERT INTO {p}options (option_name, option_value) VALUES (%s, %s)", (f"new-{word}", f"{site.home}/a"))
    site.sql("UPDATE {p}posts SET post_title=%s WHERE post_status='publish' ORDER BY ID LIMIT 1", (word,))
    site.sql("DELETE FROM {p}postmeta ORDER BY meta_id DESC LIMIT 1")
    uploads = site.content / "uploads"
    uploads.mkdir(exist_ok=True)
    (uploads / f"{word}.txt").write_text(word)
    files = sorted(path for path in uploads.rglob("*") if path.is_file() and path.suffix != ".txt")
    for path in files[:1]:
        path.unlink()


def edit_clone(pair: Pair, word: str) -> None:
    pair.on_clone("UPDATE {p}options SET option_value=%s WHERE option_name='blogname'", word)
    pair.on_clone("INSERT INTO {p}postmeta (post_id, meta_key, meta_value) VALUES (1, 'edited', %s)", word)
    uploads = Path(pair.document_root) / "wp-content" / "uploads"
    (uploads / f"clone-{word}.txt").write_text(word)


def titles(pair: Pair) -> list[str]:
    return [
        name for (name,) in pair.on_clone("SELECT post_title FROM {p}posts WHERE post_status='publish' ORDER BY ID")
    ]


def as_production(pair: Pair) -> None:
    """The clone holds what production holds, and nothing is left of how it came."""
    copy = Copy(pair.site, pair.job, pair.siteferry)
    assert copy.different_rows(options=frozenset({"cron"})) == []
    assert copy.different_files() == []
    left = {name for name in os.listdir(pair.siteferry.directory(pair.clone_id)) if name.endswith("ing")}
    assert not left
    places = {name for name in os.listdir(pair.siteferry.state / "clones") if name.startswith("clone-")}
    assert places == {pair.clone_id}, "the copy beside it is gone"
    assert connectors(pair.site) == []


def test_what_production_has_comes_and_the_clone_keeps_its_address_and_login(pair: Pair) -> None:
    host = {"Host": pair.clone_url.removeprefix("http://")}
    assert pair.siteferry.http.get("/", headers=host, timeout=60).status_code == 200  # a visit is no edit
    work_on_production(pair, "first")
    was = pair.siteferry.http.get(f"/clones/{pair.clone_id}").json()
    job = refreshed(pair, submit(pair))
    result = job["result"]
    assert (job["type"], job["action"], result["clone_id"]) == ("clone", "refresh", pair.clone_id)
    assert (result["overwritten"]["rows"], result["overwritten"]["files"]) == (0, 0)
    as_production(pair)
    page = pair.siteferry.http.get("/", headers=host, timeout=60)
    assert page.status_code == 200
    assert job["job_id"] not in page.text, "nothing names the place it was made in"
    told = pair.siteferry.http.get(f"/clones/{pair.clone_id}").json()
    assert {name: told[name] for name in ("username", "password", "clone_url", "state", "expires_at")} == {
        name: was[name] for name in ("username", "password", "clone_url", "state", "expires_at")
    }
    link = pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link", json={}, timeout=60)
    assert link.status_code == 201, link.text
    clones = {clone["clone_id"] for clone in pair.siteferry.http.get("/clones").json()["clones"]}
    assert job["job_id"] not in clones

    plan = pair.restore(dry_run=True)["result"]["plan"]
    assert (plan["base"], plan["losses"]) == (True, {}), "the base is what production is now"
    changed = [table for table in plan["tables"] if table["add"] + table["change"] + table["remove"]]
    assert not [table for table in changed if not table["table"].endswith(("users", "usermeta"))], changed

    pair.on_clone("UPDATE {p}options SET option_value='gone' WHERE option_name='blogname'")
    answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/reset", json={})
    assert pair.siteferry.wait(answer.json()["job_id"])["status"] == "completed"
    as_production(pair)


def siteferry(pair: Pair, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "siteferry"), "--url", pair.siteferry.url, *arguments]
    password = pair.site.password
    return subprocess.run(command, input=password, capture_output=True, text=True, check=False, timeout=120)


def kill_in(pair: Pair, job_id: str, steps: list[str]) -> list[str]:
    """Kill the worker of a job in these steps, until it has ended; in which that was."""
    wanted, killed, deadline = list(steps), [""], time.monotonic() + 60 + 20 * len(steps)
    while (job := pair.siteferry.job(job_id))["status"] not in TERMINAL:
        assert time.monotonic() < deadline, f"{job}\n{pair.siteferry.log()[-6000:]}"
        if job["status"] == "running" and (step := str(job["step"])) in wanted:
            wanted = wanted[wanted.index(step) + 1 :]
            time.sleep(0.3 + 0.4 * killed.count(step))
            with suppress(KeyError, ProcessLookupError):
                os.kill(pair.siteferry.pid("cloner"), signal.SIGKILL)
                killed.append(step)
            time.sleep(1)
        time.sleep(0.02)
    return killed[1:]


@pytest.mark.timeout(600)
async def test_what_was_edited_is_listed_and_goes_only_when_said_so_whoever_dies(pair: Pair, tmp_path: Path) -> None:
    edit_clone(pair, "mine")
    work_on_production(pair, "second")
    before = titles(pair)
    done = siteferry(pair, "refresh", pair.clone_id, "-u", pair.site.username, "--password-stdin", "--watch")
    assert done.returncode == 1, done.stderr
    for told in ("clone_edited", "blogname", "1 changed", "1 added", "clone-mine.txt", "--overwrite"):
        assert told in done.stderr, done.stderr
    refused = pair.siteferry.http.get("/jobs").json()["jobs"][0]
    details = refused["error"]["details"]
    assert (details["rows"], details["files"]) == (2, 1), details
    assert titles(pair) == before, "nothing was written"
    assert connectors(pair.site) == []

    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{pair.siteferry.url}/#/jobs/{refused['job_id']}")
        edited = page.get_by_text("added wp-content/uploads/clone-mine.txt", exact=True)
        await expect(edited).to_be_visible(timeout=SLOW)
        await page.screenshot(path=os.environ.get("SCREENSHOT", str(tmp_path / "edited.png")), full_page=True)
        await page.get_by_role("link", name="Refresh this clone again").click()
        await page.get_by_role("heading", name="Refresh from production").click()
        form = page.get_by_role("form", name="Refresh from production")
        await form.get_by_label("Administrator").fill(pair.site.username)
        await form.get_by_label("Password", exact=True).fill(pair.site.password)
        await form.get_by_label("may go").check()
        await page.screenshot(path=os.environ.get("SCREENSHOT2", str(tmp_path / "form.png")), full_page=True)
        await form.get_by_role("button", name="Refresh", exact=True).click()
        await expect(page.get_by_role("heading", name="Progress")).to_be_visible(timeout=SLOW)
        job_id = page.url.rpartition("/")[2]
        killed = await asyncio.to_thread(kill_in, pair, job_id, KILLED)
        assert len(killed) >= 2, killed
        await expect(page.get_by_text("The clone is what its site was")).to_be_visible(timeout=SLOW)
        await expect(edited).to_be_visible(timeout=SLOW)
        await page.screenshot(path=os.environ.get("SCREENSHOT3", str(tmp_path / "done.png")), full_page=True)
    refreshed(pair, job_id)
    as_production(pair)
    shown = siteferry(pair, "job", job_id)
    assert "clone-mine.txt" in shown.stderr, shown
    assert pair.clone_url in shown.stdout, shown


def test_other_jobs_about_the_clone_are_refused_and_what_is_not_there_can_not_be_refreshed(pair: Pair) -> None:
    http = pair.siteferry.http
    os.kill(pair.siteferry.pid("cloner"), signal.SIGSTOP)
    try:
        job_id = submit(pair)
        deadline = time.monotonic() + 10
        while (reset := http.post(f"/clones/{pair.clone_id}/reset", json={})).status_code == 202:
            assert time.monotonic() < deadline
            http.post(f"/jobs/{reset.json()['job_id']}/cancel")
            time.sleep(0.1)
        assert (reset.status_code, reset.json()["code"]) == (409, "clone_busy")
        again = http.post(f"/clones/{pair.clone_id}/refresh", json=login(pair))
        assert (again.status_code, again.json()["code"]) == (409, "clone_busy")
        target = {"target_username": "u", "target_password": "p"}
        restore = http.post("/restore", json={"clone_id": pair.clone_id, "target_url": pair.site.url, **target})
        assert (restore.status_code, restore.json()["code"]) == (409, "clone_busy")
        http.post(f"/jobs/{job_id}/cancel")
    finally:
        os.kill(pair.siteferry.pid("cloner"), signal.SIGCONT)
    assert pair.siteferry.wait(job_id)["status"] == "cancelled"
    as_production(pair)
    assert http.post("/clones/clone-0000000000000000/refresh", json=login(pair)).status_code == 404
    assert http.post(f"/clones/{pair.clone_id}/refresh", json={"overwrite": True}).status_code == 422


def test_what_is_edited_while_the_copy_is_made_is_found_before_the_exchange(pair: Pair) -> None:
    job_id, deadline = submit(pair), time.monotonic() + 60
    while pair.siteferry.job(job_id)["step"] not in {"files", "database", "finalize", "verify"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    edit_clone(pair, "late")
    job = pair.siteferry.wait(job_id)
    assert (job["step"], job["error"]["code"]) == ("exchange", "clone_edited"), job
    assert job["error"]["details"]["file_samples"] == ["added wp-content/uploads/clone-late.txt"]
    assert (Path(pair.document_root) / "wp-content" / "uploads" / "clone-late.txt").exists()
    places = {name for name in os.listdir(pair.siteferry.state / "clones") if name.startswith("clone-")}
    assert places == {pair.clone_id}
