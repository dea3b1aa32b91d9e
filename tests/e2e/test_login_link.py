"""Login links: one click into a clone's wp-admin, once, and never into production's."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.async_api import Browser, expect

from services.cloner.drivers.login_link import make_link
from shared.wordpress.http import site_client
from tests.e2e.product import Product
from tests.e2e.restoring import Pair
from tests.live.stage import chromium
from tests.sites.compare import Tables
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

SLOW = 30_000
EDITOR = """
wp_insert_user(array('user_login' => 'jane', 'user_pass' => 'x-%$1y', 'user_email' => 'jane@shop.example',
    'role' => 'subscriber'));
"""
CLOSED = """<?php
add_action('plugins_loaded', function () {
    if (strpos($_SERVER['REQUEST_URI'], 'wp-login') !== false) { wp_die('The login of this site is elsewhere.', 404); }
}, 0);
add_action('wp_login', function () { wp_die('A second factor, please.'); });
"""


@pytest.fixture(scope="module")
def pair(siteferry: Product, farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("linked"))
    site.php(EDITOR)
    yield Pair(siteferry, site, siteferry.clone(site))
    site.destroy()


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with site_client(allow_private=True) as http:
        yield http


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


def link(pair: Pair, **body: str) -> dict[str, Any]:
    answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link", json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def key_of(pair: Pair) -> str:
    text = (pair.siteferry.directory(pair.clone_id) / "guard" / "login-key.php").read_text()
    key: str = text.split("'")[1]
    assert len(key) >= 32
    return key


def opened(http: httpx2.Client, url: str, **headers: str) -> httpx2.Response:
    return http.get(url, headers=headers, follow_redirects=False)


def signed_in(answer: httpx2.Response) -> bool:
    return any(cookie.startswith("wordpress_logged_in") for cookie in answer.headers.get_list("set-cookie"))


def test_it_signs_in_once(pair: Pair, http: httpx2.Client) -> None:
    made = link(pair)
    assert made["username"] == "siteferry"
    assert made["url"].startswith(pair.clone_url + "/")
    answer = opened(http, made["url"])
    assert (answer.status_code, signed_in(answer)) == (302, True)
    assert answer.headers["location"] == f"{pair.clone_url}/wp-admin/"
    assert "no-store" in answer.headers["cache-control"]
    assert 'id="wpadminbar"' in http.get(answer.headers["location"]).text
    again = opened(http, made["url"])
    assert (again.status_code, signed_in(again)) == (403, False)
    assert "has been used" in again.text


def test_of_many_who_open_it_at_once_one_gets_in(pair: Pair) -> None:
    made = link(pair)

    def visit(_number: int) -> int:
        with site_client(allow_private=True) as http:
            return opened(http, made["url"]).status_code

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(visit, range(12))) == [302, *[403] * 11]


def test_who_only_looks_does_not_use_it_up(pair: Pair, http: httpx2.Client) -> None:
    made = link(pair)
    assert not signed_in(http.head(made["url"]))
    ahead = opened(http, made["url"], **{"Sec-Purpose": "prefetch"})
    assert (ahead.status_code, signed_in(ahead)) == (503, False)
    assert signed_in(opened(http, made["url"]))


def test_as_another_user_by_name_or_address(pair: Pair, http: httpx2.Client) -> None:
    for user in ("jane", "jane@shop.example"):
        made = link(pair, user=user)
        assert made["username"] == "jane"
        http.cookies.clear()
        answer = opened(http, made["url"])
        assert answer.headers["location"].endswith("/wp-admin/profile.php")
        assert 'value="jane@shop.example"' in http.get(answer.headers["location"]).text
    nobody = pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link", json={"user": "nobody"}, timeout=60)
    assert (nobody.status_code, nobody.json()["code"]) == (404, "user_not_found")
    assert pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link", json={"user": ""}).status_code == 422


def test_only_what_the_clones_own_key_sealed_is_believed_and_for_a_minute(pair: Pair, http: httpx2.Client) -> None:
    def query(url: str) -> str:
        return urlsplit(url).query

    def answers(query: str) -> tuple[int, bool]:
        answer = opened(http, f"{pair.clone_url}/wp-login.php?{query}")
        return answer.status_code, signed_in(answer)

    made = query(link(pair, user="jane")["url"])
    name, said = made.split("=")
    end, _user, number, seal = said.split(".")
    refused = (403, False)
    assert answers(f"{name}={end}.1.{number}.{seal}") == refused, "another user"
    assert answers(f"{name}={int(end) + 1}.{_user}.{number}.{seal}") == refused, "a longer life"
    assert answers(make_link("k" * 32, user_id=1, login="x").query) == refused, "another clone's key"
    assert answers(make_link("", user_id=1, login="x").query) == refused, "no key"
    for odd in ("", "x", "1.1.1.1", f"{said}%0a", said.upper()):
        assert answers(f"{name}={odd}") == refused, odd
    assert answers(f"{name}[]={said}") == refused
    key = key_of(pair)
    with pytest.MonkeyPatch.context() as patch:
        real = time.time
        patch.setattr(time, "time", lambda: real() - 61)
        over = make_link(key, user_id=1, login="x").query
        patch.setattr(time, "time", lambda: real() + 3600)
        later = make_link(key, user_id=1, login="x").query
    assert answers(over) == refused, "its minute is over"
    assert answers(later) == refused, "sealed for longer than a link lives"
    assert answers(made) == (302, True), "and the true one still works"


def test_what_the_site_does_to_its_login_page_is_no_obstacle(pair: Pair, http: httpx2.Client) -> None:
    plugins = pair.document_root / "wp-content" / "mu-plugins"
    plugins.mkdir(exist_ok=True)
    (plugins / "closed.php").write_text("\ufeff" + CLOSED)
    try:
        assert http.get(f"{pair.clone_url}/wp-login.php").status_code != 200
        assert signed_in(opened(http, link(pair)["url"]))
    finally:
        (plugins / "closed.php").unlink()


def test_a_clone_of_an_older_version_learns_it(pair: Pair, http: httpx2.Client) -> None:
    guard = pair.siteferry.directory(pair.clone_id) / "guard"
    (guard / "login-key.php").unlink()
    (guard / "login.php").unlink()
    old = (guard / "guard.php").read_text().replace("/login.php", "/nothing.php")
    (guard / "guard.php").write_text(old)
    assert signed_in(opened(http, link(pair)["url"]))


def test_a_clone_that_does_not_start_says_so(pair: Pair) -> None:
    config = pair.document_root / "wp-includes" / "version.php"
    text = config.read_text()
    config.write_text("<?php throw new Exception('planks are missing');")
    try:
        answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link", timeout=60)
    finally:
        config.write_text(text)
    assert (answer.status_code, answer.json()["code"]) == (409, "clone_silent")
    assert "planks are missing" in answer.json()["detail"]
    assert (pair.siteferry.directory(pair.clone_id) / ".database-password").read_text() not in answer.text


def test_the_command_prints_it(pair: Pair, http: httpx2.Client) -> None:
    command = [str(Path(sys.executable).parent / "siteferry"), "--url", pair.siteferry.url, "open", pair.clone_id]
    done = subprocess.run(
        [*command, "--user", "jane", "--print"], capture_output=True, text=True, timeout=60, check=True
    )
    assert re.fullmatch(rf"{re.escape(pair.clone_url)}/wp-login\.php\?\S+\n", done.stdout)
    assert signed_in(opened(http, done.stdout.strip()))
    wrong = subprocess.run([*command, "--user", "nobody"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 1
    assert "no user of this name" in wrong.stderr


async def test_the_dashboard_opens_wp_admin_and_the_address_works_once(pair: Pair, browser: Browser) -> None:
    context = await browser.new_context()
    visited: list[str] = []
    context.on("request", lambda request: visited.append(request.url) if request.is_navigation_request() else None)
    page = await context.new_page()
    page.set_default_timeout(SLOW)
    await page.goto(f"{pair.siteferry.url}/#/jobs/{pair.clone_id}")
    async with page.expect_popup() as popup:
        await page.get_by_role("button", name="WordPress admin").click()
    admin = await popup.value
    await expect(admin.locator("#wpadminbar")).to_be_visible(timeout=SLOW)
    assert urlsplit(admin.url).path == "/wp-admin/"
    assert await admin.evaluate("window.opener") is None, "the clone must have no way back to the dashboard"
    (used,) = [url for url in visited if "siteferry_login=" in url]
    stranger = await (await browser.new_context()).new_page()
    await stranger.goto(used)
    await expect(stranger.get_by_text("has been used")).to_be_visible()
    await stranger.goto(f"{pair.clone_url}/wp-admin/")
    await expect(stranger.locator("#user_login")).to_be_visible()


def test_production_never_believes_it(pair: Pair, http: httpx2.Client) -> None:
    """A restore carries neither the guard nor its key."""
    opened(http, link(pair)["url"])
    (post,) = pair.on_clone("SELECT MIN(ID) FROM {p}posts WHERE post_type='post' AND post_status='publish'")[0]
    pair.on_clone("UPDATE {p}posts SET post_content='brought over' WHERE ID=%s", int(post))
    (pair.document_root / "wp-content" / "uploads" / "brought.txt").write_text("over")
    pair.restore(accept_loss=True)
    assert (pair.site.content / "uploads" / "brought.txt").exists()
    query = urlsplit(link(pair)["url"]).query
    for path in ("wp-login.php", "", "wp-admin/"):
        answer = opened(http, f"{pair.site.url}/{path}?{query}")
        assert not signed_in(answer), path
    key = key_of(pair).encode()
    for root in (pair.site.content, pair.document_root):
        for path in root.rglob("*"):
            if path.is_file() and path.stat().st_size < 1_000_000 and path.name != "debug.log":
                text = path.read_bytes()
                assert key not in text, path
                assert b"siteferry_login" not in text, path
    for tables in (Tables.of(pair.site), pair.clone_tables):
        for name in tables.names():
            assert key not in repr(tables.rows(name)).encode(), name


def test_a_deleted_clone_opens_nothing(pair: Pair, http: httpx2.Client) -> None:
    made = link(pair)
    pair.siteferry.http.delete(f"/clones/{pair.clone_id}")
    answer = pair.siteferry.http.post(f"/clones/{pair.clone_id}/login-link")
    assert (answer.status_code, answer.json()["code"]) == (409, "clone_gone")
    deadline = time.monotonic() + 60
    while pair.siteferry.http.get(f"/clones/{pair.clone_id}").json()["state"] != "deleted":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not signed_in(opened(http, made["url"]))
