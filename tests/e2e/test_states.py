"""Resets and versions of a clone, through the API, the command line and the dashboard, on the whole product."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e.product import KEEPING, Product, product
from tests.e2e.restoring import Pair
from tests.live.stage import chromium
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

SLOW = 30_000


@pytest.fixture(scope="module")
def pair(farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("states"))
    with product(environment=KEEPING) as running:
        yield Pair(running, site, running.clone(site))
    site.destroy()


def content(pair: Pair) -> dict[str, Any]:
    """Everything the clone holds: rows of all tables, definitions, files."""
    found: dict[str, Any] = {}
    tables = pair.clone_tables
    for name in tables.names():
        found[name] = hashlib.sha256(repr(sorted(tables.rows(name), key=repr)).encode()).hexdigest()
    for path in Path(pair.document_root).rglob("*"):
        facts = path.lstat()
        held = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
        told = (facts.st_mode, facts.st_uid, facts.st_mtime_ns, hashlib.sha256(held).hexdigest())
        found[str(path.relative_to(pair.document_root))] = told
    return found


def edit(pair: Pair, word: str) -> None:
    pair.on_clone("UPDATE {p}options SET option_value=%s WHERE option_name='blogname'", word)
    pair.on_clone(f"CREATE TABLE added_{word} (id INT)")
    pair.on_clone("DROP TABLE IF EXISTS {p}links")
    uploads = Path(pair.document_root) / "wp-content" / "uploads"
    written(uploads / f"{word}.txt", word)
    (Path(pair.document_root) / "wp-content" / "index.php").unlink(missing_ok=True)


def written(path: Path, text: str) -> None:
    """A file as the clone's own PHP would write it."""
    path.write_text(text)
    facts = path.parent.stat()
    os.chown(path, facts.st_uid, facts.st_gid)


def ask(pair: Pair, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A completed job about the clone."""
    answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/{path}", json=body)
    assert answer.status_code == 202, answer.text
    job = pair.siteferry.wait(answer.json()["job_id"])
    assert job["status"] == "completed", f"{job['error']}\n{pair.siteferry.log()[-4000:]}"
    return job


def test_a_reset_undoes_everything_and_keeps_address_and_login(pair: Pair) -> None:
    was = content(pair)
    edit(pair, "one")
    assert pair.siteferry.http.get("/", headers={"Host": pair.clone_url.removeprefix("http://")}).text.count("one")
    job = ask(pair, "reset", {})
    assert content(pair) == was
    assert (job["type"], job["action"], job["result"]["state"]) == ("clone", "reset", "made")
    assert job["result"]["clone_id"] == pair.clone_id
    page = pair.siteferry.http.get("/", headers={"Host": pair.clone_url.removeprefix("http://")}, timeout=60)
    assert page.status_code == 200
    again = pair.siteferry.http.get(f"/clones/{pair.clone_id}").json()
    assert (again["state"], again["username"]) == ("active", pair.job["result"]["username"])
    link = pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link", json={}, timeout=60)
    assert link.status_code == 201, link.text
    clones = {clone["clone_id"] for clone in pair.siteferry.http.get("/clones").json()["clones"]}
    assert job["job_id"] not in clones, "it is a job, and no clone"


def test_versions_are_kept_gone_back_to_and_forgotten_on_the_command_line(pair: Pair) -> None:
    def siteferry(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "siteferry"), "--url", pair.siteferry.url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    edit(pair, "kept")
    was = content(pair)
    done = siteferry("versions", pair.clone_id, "--keep", "before-update", "--watch")
    assert done.returncode == 0, done.stderr
    edit(pair, "later")
    assert "before-update" in siteferry("versions", pair.clone_id).stdout
    done = siteferry("reset", pair.clone_id, "--to", "before-update", "--watch")
    assert done.returncode == 0, done.stderr
    assert "before-update" in done.stdout
    assert content(pair) == was
    done = siteferry("versions", pair.clone_id, "--delete", "before-update")
    assert "before-update" not in done.stdout
    done = siteferry("reset", pair.clone_id, "--to", "before-update", "--watch")
    assert (done.returncode, "snapshot_missing" in done.stderr) == (1, True), done.stderr
    assert content(pair) == was
    assert siteferry("versions", pair.clone_id, "--keep", "Not a name").returncode != 0


def test_while_a_job_is_at_work_on_a_clone_others_are_refused_and_so_is_a_stranger(pair: Pair) -> None:
    http = pair.siteferry.http
    os.kill(pair.siteferry.pid("cloner"), signal.SIGSTOP)
    try:
        first = http.post(f"/clones/{pair.clone_id}/reset", json={})
        assert first.status_code == 202
        jobs, deadline = [first.json()["job_id"]], time.monotonic() + 10
        while (second := http.post(f"/clones/{pair.clone_id}/versions", json={"name": "v"})).status_code == 202:
            jobs.append(second.json()["job_id"])  # the gateway did not see the first yet
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (second.status_code, second.json()["code"]) == (409, "clone_busy")
        login = {"target_username": "u", "target_password": "p"}
        restore = http.post("/restore", json={"clone_id": pair.clone_id, "target_url": pair.site.url, **login})
        assert (restore.status_code, restore.json()["code"]) == (409, "clone_busy")
    finally:
        os.kill(pair.siteferry.pid("cloner"), signal.SIGCONT)
    for job_id in jobs:
        assert pair.siteferry.wait(job_id)["status"] == "completed"
    stranger = "clone-0000000000000000"
    for method, path in (("POST", "reset"), ("POST", "versions"), ("GET", "versions"), ("DELETE", "versions/x")):
        body = {"json": {"name": "x"}} if (method, path) == ("POST", "versions") else {}
        assert http.request(method, f"/clones/{stranger}/{path}", **body).status_code == 404


def test_a_clone_is_not_reset_while_a_restore_reads_it(pair: Pair) -> None:
    http = pair.siteferry.http
    os.kill(pair.siteferry.pid("restorer"), signal.SIGSTOP)
    try:
        restore, deadline = pair.submit(dry_run=True), time.monotonic() + 10
        jobs = [restore]
        while (reset := http.post(f"/clones/{pair.clone_id}/reset", json={})).status_code == 202:
            jobs.append(reset.json()["job_id"])  # the gateway did not see the restore yet: then the reset waits for it
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (reset.status_code, reset.json()["code"]) == (409, "clone_busy")
        assert any(job_id in reset.json()["detail"] for job_id in jobs)
    finally:
        os.kill(pair.siteferry.pid("restorer"), signal.SIGCONT)
    for job_id in jobs:
        assert pair.siteferry.wait(job_id)["status"] == "completed"
    ask(pair, "reset", {})


def test_a_worker_killed_in_the_middle_is_replaced_and_the_reset_completes(pair: Pair) -> None:
    ask(pair, "reset", {})
    was = content(pair)
    for pause in (0.2, 0.6):
        edit(pair, f"killed{pause * 10:.0f}")
        answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/reset", json={})
        time.sleep(pause)
        os.kill(pair.siteferry.pid("cloner"), signal.SIGKILL)
        job = pair.siteferry.wait(answer.json()["job_id"])
        assert job["status"] == "completed", job["error"]
        assert content(pair) == was
        left = {name for name in os.listdir(pair.siteferry.directory(pair.clone_id)) if name.endswith("ing")}
        assert not left


def test_a_fork_holds_the_same_under_its_own_address_with_its_own_keys(pair: Pair) -> None:
    ask(pair, "reset", {})
    home = pair.clone_url
    serialized = f'a:1:{{s:4:"home";s:{len(home)}:"{home}";}}'
    pair.on_clone("INSERT INTO {p}options (option_name, option_value) VALUES ('forked', %s)", serialized)
    written(Path(pair.document_root) / "wp-content" / "forked.css", f"a {{ background: url({home}/a.png) }}")
    was = content(pair)
    answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/fork", json={"name": "Fork", "ttl_minutes": 60})
    assert answer.status_code == 202, answer.text
    job = pair.siteferry.wait(answer.json()["job_id"])
    assert job["status"] == "completed", f"{job['error']}\n{pair.siteferry.log()[-4000:]}"
    fork = Pair(pair.siteferry, pair.site, job)
    assert (fork.clone_id, job["action"], job["name"]) == (job["job_id"], "fork", "Fork")
    assert content(pair) == was, "the clone itself stays as it is"

    here, there = pair.clone_id, fork.clone_id
    option = "SELECT option_value FROM {p}options WHERE option_name=%s"
    assert fork.on_clone(option, "forked") == [(serialized.replace(here, there).encode(),)]
    siteurl = pair.on_clone(option, "siteurl")[0][0].decode()
    assert fork.on_clone(option, "siteurl") == [(siteurl.replace(here, there).encode(),)]
    assert there in (Path(fork.document_root) / "wp-content" / "forked.css").read_text()
    mine, theirs = content(pair), content(fork)
    assert set(mine) == set(theirs), "the same tables and files"
    tables = set(pair.clone_tables.names())
    for name in tables - {f"{pair.site.prefix}users", f"{pair.site.prefix}usermeta"}:
        rows = [[repr(sorted(one.clone_tables.rows(name), key=repr))] for one in (pair, fork)]
        assert rows[0][0].replace(here, there) == rows[1][0], name
    changed = {name for name in set(mine) - tables if mine[name][3] != theirs[name][3]}
    assert changed == {"wp-content/forked.css"}

    page = pair.siteferry.http.get("/", headers={"Host": fork.clone_url.removeprefix("http://")}, timeout=60)
    assert page.status_code == 200
    assert here not in page.text
    keys = [pair.siteferry.directory(one) / "guard" / "constants.php" for one in (here, there)]
    salts = [{line for line in key.read_text().splitlines() if "_SALT" in line or "_KEY" in line} for key in keys]
    assert salts[0].isdisjoint(salts[1])
    login = pair.siteferry.http.get(f"/clones/{there}").json()
    assert login["password"] != pair.siteferry.http.get(f"/clones/{here}").json()["password"]
    ask(fork, "reset", {})
    pair.siteferry.http.delete(f"/clones/{there}")


def test_a_worker_killed_in_a_fork_is_replaced_and_the_fork_completes(pair: Pair) -> None:
    was = content(pair)
    for pause in (0.3, 1.0):
        answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/fork", json={})
        time.sleep(pause)
        os.kill(pair.siteferry.pid("cloner"), signal.SIGKILL)
        job = pair.siteferry.wait(answer.json()["job_id"])
        assert job["status"] == "completed", job["error"]
        fork = Pair(pair.siteferry, pair.site, job)
        assert set(content(fork)) == set(was)
        assert content(pair) == was
        pair.siteferry.http.delete(f"/clones/{fork.clone_id}")


async def test_the_clones_page_resets_it(pair: Pair, tmp_path: Path) -> None:
    edit(pair, "seen")
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{pair.siteferry.url}/#/jobs/{pair.clone_id}")
        await page.get_by_text("Reset and versions").click()
        await page.get_by_label("Name of a version").fill("from-the-page")
        await page.screenshot(path=os.environ.get("SCREENSHOT", str(tmp_path / "versions.png")), full_page=True)
        await page.get_by_role("button", name="Reset", exact=True).click()
        await page.get_by_role("button", name="Put it back").click()
        await expect(page.get_by_text("The clone is again what it was when it was made")).to_be_visible(timeout=SLOW)
        await page.screenshot(path=os.environ.get("SCREENSHOT2", str(tmp_path / "reset.png")), full_page=True)
    assert not pair.on_clone("SHOW TABLES LIKE 'added_seen'")


def test_states_go_with_their_clone_and_a_clone_without_them_says_so(siteferry: Product, farm: SourceFarm) -> None:
    site = farm.create(SiteSpec("unkept", content="bare"))
    clone_id = siteferry.clone(site)["result"]["clone_id"]
    found = siteferry.http.get(f"/clones/{clone_id}/versions").json()
    assert found == {"versions": [], "made": None}
    answer = siteferry.http.post(f"/clones/{clone_id}/reset", json={})
    job = siteferry.wait(answer.json()["job_id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "snapshot_missing")
    answer = siteferry.http.post(f"/clones/{clone_id}/versions", json={"name": "one"})
    assert siteferry.wait(answer.json()["job_id"])["status"] == "completed"
    snapshots = siteferry.state / "clones" / ".snapshots"
    assert clone_id in os.listdir(snapshots)
    siteferry.http.delete(f"/clones/{clone_id}")
    deadline = time.monotonic() + 60
    while clone_id in os.listdir(snapshots):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    site.destroy()
