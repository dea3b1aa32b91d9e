"""A clone is safe by construction: asserted from inside a clone, by a plugin that tries to misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from shared.wordpress.http import site_client
from tests.e2e.product import Product
from tests.e2e.target import rows
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.nasty import plugins
from tests.sites.site import Site
from tests.sites.spec import SiteSpec


@dataclass
class Clone:
    """A finished clone of the misbehaving site."""

    job: dict[str, Any]
    site: Site
    http: httpx2.Client

    @property
    def url(self) -> str:
        return str(self.job["result"]["clone_url"]).rstrip("/")

    def get(self, path: str) -> httpx2.Response:
        return self.http.get(self.url + path)

    def noisy(self, what: str, **arguments: str) -> dict[str, Any]:
        """Have the plugin try something inside the clone."""
        answer = self.http.get(f"{self.url}/", params={"noisy": what, **arguments})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def clone(siteferry: Product, farm: SourceFarm) -> Iterator[Clone]:
    site = farm.create(SiteSpec("safe-source"))
    plugins.noisy(site)
    plugins.drop_ins(site)
    plugins.host_bound(site)
    with site_client(allow_private=True) as http:
        yield Clone(siteferry.clone(site), site, http)


def test_search_engines_are_kept_out_three_times(clone: Clone) -> None:
    home = clone.get("/")
    assert "noindex" in home.headers["x-robots-tag"]
    assert "noindex" in home.text.partition("<meta name='robots'")[2].partition(">")[0]
    assert "Disallow: /" in clone.get("/robots.txt").text
    assert "noindex" in clone.get("/wp-includes/css/dashicons.css").headers["x-robots-tag"]


def test_mail_is_captured_and_readable_through_the_api(clone: Clone, siteferry: Product) -> None:
    assert clone.noisy("mail", to="buyer@example.org", subject="1")["ok"], "the caller is told it went out"
    clone_id = clone.job["result"]["clone_id"]

    def captured() -> list[dict[str, Any]]:
        answer = siteferry.http.get(f"/clones/{clone_id}/mail")
        assert answer.status_code == 200, answer.text
        return [mail for mail in answer.json()["mails"] if mail["subject"] == "Ahoy 1"]

    mail = eventually(captured, what="the mail in the box")[0]
    assert mail["to"] == ["buyer@example.org"]
    assert clone.url in mail["body"]


def test_phps_own_mail_function_is_captured_too(clone: Clone, siteferry: Product) -> None:
    assert clone.noisy("phpmail", to="raw@example.org")["ok"]
    mails = siteferry.http.get(f"/clones/{clone.job['result']['clone_id']}/mail").json()["mails"]
    assert [mail["to"] for mail in mails if mail["subject"] == "Raw ahoy"] == [["raw@example.org"]]


@pytest.mark.parametrize("way", ["http", "curl", "fopen"])
def test_the_outside_world_is_out_of_reach(clone: Clone, siteferry: Product, way: str) -> None:
    # the source answers, so only a block can be the reason
    assert clone.site.get("/").status_code == 200
    for url in (clone.site.url + "/", f"http://127.0.0.1:{siteferry.port}/livez"):
        tried = clone.noisy(way, url=url)
        assert not tried["ok"], f"{way} reached {url}: {tried}"


def test_raw_sockets_and_programs_are_off(clone: Clone, siteferry: Product) -> None:
    assert not clone.noisy("socket", port=str(siteferry.port))["ok"]
    assert not clone.noisy("exec", cmd="id")["ok"]


def test_a_clone_may_call_itself(clone: Clone) -> None:
    """Site health, loopback requests and the block editor need it."""
    tried = clone.noisy("http", url=clone.url + "/?rest_route=/")
    assert tried["ok"], tried


def test_php_is_confined_to_the_clone(clone: Clone, siteferry: Product) -> None:
    for path in ("/etc/passwd", str(siteferry.state / "vault.key"), str(siteferry.state / "clones")):
        assert not clone.noisy("read", path=path)["ok"]
        assert not clone.noisy("list", path=path)["ok"]
    directory = siteferry.directory(clone.job["result"]["clone_id"])
    for name in ("wp-config.php", "guard/guard.php", "guard/config.php"):
        clone.noisy("write", path=str(directory / name))
        assert b"noisy was here" not in (directory / name).read_bytes()


def test_cron_never_runs(clone: Clone) -> None:
    clone.noisy("cron")
    assert clone.get("/wp-cron.php?doing_wp_cron").status_code == 403
    clone.get("/")
    assert clone.noisy("cron_ran")["said"] == 0


def test_host_bound_plugins_and_drop_ins_do_not_load_and_are_listed(clone: Clone) -> None:
    assert clone.noisy("drop_ins")["said"] == []
    notes = {note["code"]: note for note in clone.job["result"]["notes"]}
    assert any("sg-cachepress" in sample for sample in notes["plugins_quarantined"]["samples"])
    held = notes["files_quarantined"]["samples"]
    assert {"wp-content/object-cache.php", "wp-content/advanced-cache.php", "wp-content/db.php"} <= set(held)


def test_the_banner_tells_visitors_where_they_are(clone: Clone) -> None:
    home = clone.get("/").text
    assert 'id="siteferry-banner"' in home
    assert "safe-source.localhost" in home.partition('id="siteferry-banner"')[2].partition("<!-- /siteferry")[0]


def test_sessions_of_the_source_are_worth_nothing(clone: Clone, siteferry: Product) -> None:
    directory = siteferry.directory(clone.job["result"]["clone_id"])
    config = "".join((directory / name).read_text() for name in ("wp-config.php", "guard/constants.php"))
    assert "AUTH_SALT" in config
    theirs = (clone.site.abspath / "wp-config.php").read_text()
    for line in theirs.splitlines():
        if "_KEY" in line or "_SALT" in line:
            assert line.split("'")[3] not in config


def test_the_safety_is_not_in_the_database(clone: Clone, siteferry: Product) -> None:
    """So that a restore can not carry it to production."""
    theirs = clone.site.sql("SELECT option_value FROM {p}options WHERE option_name='blog_public'")
    assert theirs == [("1",)]
    clone_id = clone.job["result"]["clone_id"]
    assert rows(siteferry, clone_id, "SELECT option_value FROM wp_options WHERE option_name='blog_public'") == [(b"1",)]
    named = "SELECT option_name, option_value FROM wp_options WHERE option_value REGEXP 'siteferry-connector|guard'"
    assert rows(siteferry, clone_id, named) == []
