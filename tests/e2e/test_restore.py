"""A clone's content goes to production, with a way back, and production is never worse off than before."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.bus.connection import connect
from shared.contract import streams
from shared.contract.events import RestoreRequested
from shared.ids import new_id
from shared.secrets.vault import KeyRing, Vault
from shared.settings import Settings
from tests.e2e.product import Product, product
from tests.e2e.restoring import Pair, files_of, rows_of, traces
from tests.integration.house import eventually
from tests.sites.compare import Tables, leftovers
from tests.sites.farm import SourceFarm
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

PLUGIN = """<?php
/* Plugin Name: Tides
Version: {version} */
add_action('wp_head', function () {{ echo '<!-- tides {version} -->'; }});
"""


@pytest.fixture(scope="module")
def quick() -> Iterator[Product]:
    """A Siteferry that does not wait long for a broken site to recover."""
    with product(environment={"SITEFERRY_WATCH_SECONDS": "2"}) as running:
        yield running


@pytest.fixture(scope="module")
def pair(quick: Product, farm: SourceFarm) -> Iterator[Pair]:
    site = farm.create(SiteSpec("harbour"))
    site.plugin("tides", PLUGIN.format(version="1.0"))
    made = Pair(quick, site, quick.clone(site))
    yield made
    site.destroy()


def edit(pair: Pair, words: str) -> int:
    """Somebody works on the clone: a page is edited there and a new one is made."""
    (post,) = pair.on_clone("SELECT MIN(ID) FROM {p}posts WHERE post_type='post' AND post_status='publish'")[0]
    text = f'{words} <a href="{pair.clone_url}/?p={post}">here</a>'
    pair.on_clone("UPDATE {p}posts SET post_content=%s WHERE ID=%s", text, post)
    return int(post)


def content(site: Site, post: int) -> str:
    return str(site.sql("SELECT post_content FROM {p}posts WHERE ID=%s", (post,))[0][0])


def test_a_dry_run_says_what_would_happen_and_changes_nothing(pair: Pair) -> None:
    post = edit(pair, "Planned")
    rows, files = rows_of(pair.site), files_of(pair.site)
    job = pair.restore(dry_run=True)
    plan = job["result"]["plan"]
    posts = next(table for table in plan["tables"] if table["table"] == f"{pair.site.prefix}posts")
    assert (posts["action"], posts["change"]) == ("change", 1)
    assert posts["same"] > 5
    assert {t["table"]: t["action"] for t in plan["tables"]}[f"{pair.site.prefix}users"] == "keep"
    assert plan["losses"] == {}
    assert job["result"]["dry_run"]
    assert job["result"]["snapshot_id"] is None
    assert rows_of(pair.site) == rows
    assert files_of(pair.site) == files
    assert traces(pair.site) == []
    assert "Planned" not in content(pair.site, post)


def test_the_clones_content_is_live_and_productions_own_stays(pair: Pair) -> None:
    site = pair.site
    post = edit(pair, "Ahoy from the clone")
    pair.on_clone(
        "INSERT INTO {p}posts (post_author, post_date, post_date_gmt, post_content, post_title, post_excerpt,"
        " post_status, post_name, to_ping, pinged, post_modified, post_modified_gmt, post_content_filtered, guid,"
        " post_type) SELECT (SELECT MAX(ID) FROM {p}users), NOW(), NOW(), 'New', 'Made on the clone', '', 'publish',"
        " 'made-on-the-clone', '', '', NOW(), NOW(), '', %s, 'page'",
        f"{pair.clone_url}/?page_id=9999",
    )
    picture = pair.document_root / "wp-content" / "uploads" / "made-on-the-clone.txt"
    picture.write_text(f"see {pair.clone_url}/ for more\n")
    site.plugin("tides", PLUGIN.format(version="2.0"), activate=False)
    site.php("return wp_insert_user(array('user_login' => 'newbie', 'user_pass' => 'pw-newbie', 'role' => 'editor'));")
    with site.sign_in("newbie", "pw-newbie") as browser, site.sign_in() as admin:
        job = pair.restore()
        assert browser.get(site.siteurl + "/wp-admin/profile.php").status_code == 200, "still logged in"
        assert admin.get(site.siteurl + "/wp-admin/plugins.php").status_code == 200
    assert f'Ahoy from the clone <a href="{site.home}/?p={post}">' in content(site, post)
    page = site.sql("SELECT guid, post_author FROM {p}posts WHERE post_name='made-on-the-clone'")
    (admin_id,) = site.sql("SELECT ID FROM {p}users WHERE user_login=%s", (site.username,))[0]
    assert page == [(f"{site.home}/?page_id=9999", admin_id)], "the clone's administrator is nobody in production"
    assert (site.uploads / "made-on-the-clone.txt").read_text() == f"see {site.home}/ for more\n"
    home = site.get("/").text
    assert "tides 2.0" in home
    assert site.get("/made-on-the-clone/").status_code == 200
    assert leftovers(Tables.of(site), pair.clone_url) == []
    users = {row[0] for row in site.sql("SELECT user_login FROM {p}users")}
    assert {site.username, "newbie"} <= users
    assert not any(user.startswith("siteferry") for user in users)
    result = job["result"]
    assert result["snapshot_id"] == job["job_id"]
    assert result["leftovers"] == 0
    assert result["tables"] > 0
    assert not list(site.content.glob("plugins/siteferry*")), "the connector has left"


def test_the_clones_safety_never_reaches_production(pair: Pair) -> None:
    edit(pair, "Safely")
    pair.restore()
    home = pair.site.get("/")
    assert "noindex" not in home.headers.get("x-robots-tag", "")
    assert "noindex" not in home.text
    assert "siteferry-banner" not in home.text
    assert pair.site.sql("SELECT option_value FROM {p}options WHERE option_name='blog_public'") == [("1",)]
    assert "SITEFERRY_CLONE" not in (pair.site.abspath / "wp-config.php").read_text()
    held = "return defined('SITEFERRY_CLONE') || has_filter('pre_get_ready_cron_jobs');"
    assert pair.site.php(held) is False
    assert "siteferry" not in str(pair.site.sql("SELECT user_login, user_email FROM {p}users"))


def test_orders_and_comments_are_not_lost_silently(pair: Pair) -> None:
    edit(pair, "Before the order")
    pair.restore()
    site = pair.site
    order = site.php(
        "return wp_insert_post(array('post_type' => 'shop_order', 'post_status' => 'wc-processing',"
        " 'post_title' => 'Order of Ms Pike'));"
    )
    comment = site.php(
        "return wp_insert_comment(array('comment_post_ID' => 1, 'comment_author' => 'Gull',"
        " 'comment_content' => 'Screech', 'comment_approved' => 1));"
    )
    rows = rows_of(site)
    error = failed_but_kept(pair)
    assert error["code"] == "production_would_lose"
    losses = {(loss["what"], loss["key"]): loss for loss in error["details"]["samples"]}
    assert losses["order", str(order)]["title"] == "Order of Ms Pike"
    assert losses["comment", str(comment)]["title"].startswith("Gull: Screech")
    assert error["details"]["losses"]["order"] == 1
    assert rows_of(site) == rows
    pair.restore(accept_loss=True)
    assert site.sql("SELECT ID FROM {p}posts WHERE ID=%s", (order,)) == []
    assert site.sql("SELECT comment_ID FROM {p}comments WHERE comment_ID=%s", (comment,)) == []


def failed_but_kept(pair: Pair) -> dict[str, Any]:
    job = pair.siteferry.wait(pair.submit())
    assert job["status"] == "failed", job
    error: dict[str, Any] = job["error"]
    return error


class Probe(threading.Thread):
    """Asks for a page 20 times a second, as visitors do, and keeps every answer that is not good."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._over = threading.Event()
        self.asked = 0
        self.bad: list[str] = []

    def run(self) -> None:
        paths = ("/", "/?p=1", "/wp-login.php", "/?rest_route=/")
        while not self._over.wait(0.05):
            path = paths[self.asked % len(paths)]
            self.asked += 1
            try:
                answer = self._site.get(path)
            except httpx2.TransportError as error:
                self.bad.append(f"{path}: {error!r}")
                continue
            if answer.status_code >= 400 or len(answer.text) < 200 or "critical error" in answer.text:
                self.bad.append(f"{path}: {answer.status_code} {answer.text[:80]}")

    def end(self) -> None:
        self._over.set()
        self.join()


def test_visitors_see_good_answers_only_and_the_way_back_leads_back(pair: Pair) -> None:
    pair.restore(accept_loss=True)
    post = edit(pair, f"Watched {time.time()}")
    rows, files, before = rows_of(pair.site), files_of(pair.site), content(pair.site, post)
    known = traces(pair.site)  # snapshots of earlier restores
    probe = Probe(pair.site)
    probe.start()
    try:
        job = pair.restore()
        assert "Watched" in content(pair.site, post)
        back = pair.snapshot("rollback", job["job_id"])
    finally:
        probe.end()
    assert probe.asked > 20
    assert probe.bad == []
    assert job["result"]["write_unavailable_ms"] < 1000
    assert content(pair.site, post) == before
    assert rows_of(pair.site) == rows
    assert files_of(pair.site) == files
    assert traces(pair.site) == known
    assert back["result"]["action"] == "rollback"
    shown = pair.siteferry.http.get(f"/snapshots/{job['job_id']}").json()
    assert shown["state"] == "rolled_back"


def test_a_snapshot_can_be_discarded(pair: Pair) -> None:
    edit(pair, f"Kept {time.time()}")
    known = traces(pair.site)
    job = pair.restore(accept_loss=True)
    assert traces(pair.site) != known
    pair.snapshot("discard", job["job_id"])
    assert traces(pair.site) == known
    assert pair.siteferry.http.get(f"/snapshots/{job['job_id']}").json()["state"] == "discarded"


BREAKS = [
    ("fatal", b"\ndefined('SITEFERRY_CLONE') || undefined_function_of_the_clone();\n", "critical error"),
    ("white", b"\nadd_action('template_redirect', function () { exit; });\n", "breaks off before its end"),
    ("error", b"\nadd_action('template_redirect', function () { wp_die('Out to lunch', '', 500); });\n", "HTTP 500"),
    (
        "rest",
        b"\nadd_filter('rest_enabled', '__return_false'); add_filter('rest_pre_dispatch', function () {"
        b" return new WP_Error('gone', 'Gone', array('status' => 404)); });\n",
        "rest_route",
    ),
]


@pytest.mark.parametrize(("name", "code", "said"), BREAKS, ids=[name for name, *_ in BREAKS])
def test_a_restore_that_breaks_the_site_is_rolled_back_by_itself(pair: Pair, name: str, code: bytes, said: str) -> None:
    site = pair.site
    edit(pair, f"Broken {name} {time.time()}")
    theme = site.php("return get_stylesheet();")
    functions = pair.document_root / "wp-content" / "themes" / theme / "functions.php"
    good = functions.read_bytes()
    rows, files, known = rows_of(site), files_of(site), traces(site)
    try:
        functions.write_bytes(good + code)
        job = pair.siteferry.wait(pair.submit(accept_loss=True))
    finally:
        functions.write_bytes(good)
    assert job["status"] == "failed", job
    assert job["error"]["code"] == "rolled_back"
    assert said in str(job["error"]), job["error"]
    assert rows_of(site) == rows
    assert files_of(site) == files
    assert traces(site) == known
    assert site.get("/").status_code == 200


def test_restores_of_one_clone_follow_each_other(pair: Pair) -> None:
    """What the first one brought is not taken for production's own by the next; what production did is."""
    pair.restore(accept_loss=True)
    for words in ("First", "Second"):
        post = edit(pair, f"{words} {time.time()}")
        pair.on_clone("UPDATE {p}posts SET post_modified_gmt=UTC_TIMESTAMP() WHERE ID=%s", post)
        job = pair.restore()
        assert job["result"]["plan"]["base"]
        assert words in content(pair.site, post)
    pair.site.php("return wp_update_post(array('ID' => $input['data'], 'post_content' => 'By the owner'));", post)
    edit(pair, f"Third {time.time()}")
    error = failed_but_kept(pair)
    assert error["code"] == "production_would_lose"
    assert [loss["key"] for loss in error["details"]["samples"] if loss["what"] == "post"] == [str(post)]
    pair.restore(accept_loss=True)
    assert "Third" in content(pair.site, post)


def test_nothing_differs_nothing_is_exchanged(pair: Pair) -> None:
    pair.restore(accept_loss=True)
    rows, known = rows_of(pair.site), traces(pair.site)
    job = pair.restore()
    assert job["result"]["tables"] == job["result"]["files"] == 0
    assert job["result"]["snapshot_id"] is None
    assert rows_of(pair.site) == rows
    assert traces(pair.site) == known


def test_everything_can_be_the_clones(pair: Pair) -> None:
    """Without preserving anything: plugins, themes and accounts become the clone's, except what is the host's."""
    site, clone = pair.site, pair.document_root / "wp-content"
    site.plugin("wp-rocket", PLUGIN.format(version="rocket"))
    site.php("return wp_insert_user(array('user_login' => 'late', 'user_pass' => 'pw-late', 'role' => 'editor'));")
    (clone / "plugins" / "tides" / "tides.php").write_text(PLUGIN.format(version="3.0"))
    all_of_it = {"preserve_plugins": False, "preserve_themes": False, "preserve_users": False}
    job = pair.restore(options=all_of_it, accept_loss=True)
    assert job["result"]["plan"]["losses"]["user"] >= 1
    home = site.get("/").text
    assert "tides 3.0" in home
    assert "tides rocket" in home, "what is bound to production's host stays"
    assert site.sql("SELECT 1 FROM {p}users WHERE user_login IN ('late') OR user_login LIKE 'siteferry%%'") == []
    with site.sign_in() as admin:
        assert admin.get(site.siteurl + "/wp-admin/plugins.php").status_code == 200
    pair.snapshot("rollback", job["job_id"])
    assert site.sql("SELECT COUNT(*) FROM {p}users WHERE user_login='late'") == [(1,)]


async def ask_directly(pair: Pair, job_id: str, **more: Any) -> None:
    """A command as the gateway writes it, with what it would not allow."""
    facts = json.loads((pair.siteferry.state / "run.json").read_text())
    key_file = pair.siteferry.state / "vault.key"
    settings = Settings(nats_url=facts["nats_url"], nats_token_file=Path(facts["nats_token_file"]))
    clone = pair.siteferry.http.get(f"/clones/{pair.clone_id}").json()
    secret = {
        "target_username": pair.site.username,
        "target_password": pair.site.password,
        "source_username": clone["username"],
        "source_password": clone["password"],
    }
    async with connect(settings, service="test") as bus:
        await Vault(await bus.bucket(streams.VAULT), KeyRing.load(key_file)).put(job_id, secret)
        command = RestoreRequested(
            job_id=job_id,
            source_url=pair.clone_url,
            clone_id=pair.clone_id,
            target_url=pair.site.url,
            secret_ref=job_id,
            accept_loss=True,
            **more,
        )
        await bus.publish(command, msg_id=job_id)


def test_a_snapshot_ends_by_itself(pair: Pair) -> None:
    """The server keeps the time; a job of its own removes what is on the target."""
    edit(pair, f"Short-lived {time.time()}")
    known, job_id = traces(pair.site), new_id("restore")
    asyncio.run(ask_directly(pair, job_id, snapshot_hours=0))
    eventually(lambda: pair.siteferry.http.get(f"/jobs/{job_id}").status_code == 200, what="the job")
    job = pair.siteferry.wait(job_id)
    assert job["status"] == "completed", job["error"]

    def ended() -> bool:
        return bool(pair.siteferry.http.get(f"/snapshots/{job_id}").json()["state"] == "discarded")

    eventually(ended, timeout=60, what="the snapshot's end")
    eventually(lambda: traces(pair.site) == known, timeout=30, what="an empty target")
