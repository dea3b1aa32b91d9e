"""POST /preflight on real WordPress sites; gateway and NATS are processes, the looking is the cloner's own part."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import httpx2
import pytest

from services.cloner import preview
from services.cloner.preview import Previews
from shared.bus.connection import connect
from shared.contract.preflight import Preview
from shared.secrets.vault import KeyRing
from tests.engine.carried import carriers
from tests.integration.gateway_process import Gateway, running_gateway
from tests.integration.test_cli import siteferry
from tests.live.stack import eventually
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site
from tests.sites.spec import User

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running:
        yield running


@asynccontextmanager
async def asking(gateway: Gateway) -> AsyncIterator[Ask]:
    """A call of the API."""
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as client:

        async def ask(source_url: str, **login: str) -> httpx2.Response:
            return await client.post("/preflight", json={"source_url": source_url, **login})

        yield ask


@pytest.fixture
async def ask(gateway: Gateway) -> AsyncIterator[Ask]:
    """The API with a cloner's part behind it."""
    keys = KeyRing.load(gateway.directory / "vault.key")
    async with connect(gateway.settings, service="cloner") as bus:
        serving = asyncio.create_task(Previews(bus, keys, carriers(), allow_private=True, clones_php="").serve())
        await bus.nc.flush()
        async with asking(gateway) as ask:
            yield ask
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends a byte of its page every 50 ms, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
            while not stop.wait(0.05):
                connection.sendall(b" ")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


async def test_an_ordinary_site_is_ready(ask: Ask, plain_site: Site) -> None:
    answer = await ask(f"{plain_site.url}/wp-admin/")
    seen = answer.json()
    assert answer.status_code == 200
    assert set(seen) == set(Preview.model_fields)
    assert (seen["ready"], seen["wordpress"], seen["https"], seen["error"]) == (True, True, False, None)
    assert (seen["login"], seen["signed_in"], seen["administrator"]) == ("form", None, None)
    assert seen["home"] == plain_site.url.rstrip("/")
    assert seen["version"].startswith("6.")
    assert seen["message"] == f"WordPress {seen['version']}; its login form is there."
    assert [note["code"] for note in seen["notes"]] == ["no_https"]


async def test_a_login_is_tried_once_and_signed_out_again(ask: Ask, gateway: Gateway, make_site: MakeSite) -> None:
    site = make_site("tried", content="bare", users=(User("writer", "pw-writer-1"),))
    seen = (await ask(site.url, username=site.username, password=site.password)).json()
    assert (seen["ready"], seen["signed_in"], seen["administrator"]) == (True, True, True)
    assert "may install the connector" in seen["message"]

    seen = (await ask(site.url, username="writer", password="pw-writer-1")).json()
    assert (seen["ready"], seen["signed_in"], seen["administrator"]) == (False, True, False)
    assert seen["error"]["code"] == "not_administrator"

    answer = await ask(site.url, username=site.username, password="wr0ng-Kolibri")
    seen = answer.json()
    assert (seen["ready"], seen["signed_in"], seen["administrator"]) == (False, False, None)
    assert seen["error"]["code"] == "wrong_password"
    assert seen["error"]["hint"]
    assert "wr0ng-Kolibri" not in answer.text

    sessions = site.sql("SELECT meta_value FROM {p}usermeta WHERE meta_key='session_tokens'")
    assert all(value in ("", "a:0:{}", b"", b"a:0:{}") for (value,) in sessions), "signed out: no session is left"
    assert site.sql("SELECT option_value FROM {p}options WHERE option_name='active_plugins'") == [("a:0:{}",)]
    files = [path for path in gateway.directory.rglob("*") if path.is_file()]
    for secret in (site.password, "wr0ng-Kolibri"):
        assert [path for path in files if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("options", "code", "login"),
    [
        ({"captcha": True}, "captcha_required", "captcha"),
        ({"hidden_login": True}, "login_hidden", "hidden"),
        ({"challenge_page": True}, "host_challenge", "blocked"),
        ({"basic_auth": ("gate", "k33per")}, "basic_auth_required", "blocked"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_guards_a_login_is_told(
    ask: Ask, make_site: MakeSite, options: dict[str, Any], code: str, login: str
) -> None:
    seen = (await ask(make_site("guarded", content="bare", **options).url)).json()
    assert (seen["ready"], seen["error"]["code"], seen["login"]) == (False, code, login)
    assert seen["error"]["hint"]
    assert seen["message"] == seen["error"]["message"]


async def test_a_second_factor_shows_with_a_login(ask: Ask, make_site: MakeSite) -> None:
    site = make_site("factored", content="bare", two_factor=True)
    seen = (await ask(site.url, username=site.username, password=site.password)).json()
    assert (seen["ready"], seen["signed_in"], seen["login"]) == (False, False, "two_factor")
    assert seen["error"]["code"] == "two_factor_required"


async def test_what_is_no_wordpress_is_told(ask: Ask, farm: SourceFarm) -> None:
    origin = farm.static("leaflet", {"index.html": b"<html><title>Leaflet</title><p>Just a page.</html>"})
    seen = (await ask(origin)).json()
    assert (seen["ready"], seen["wordpress"], seen["error"]["code"]) == (False, False, "not_wordpress")
    seen = (await ask("http://127.0.0.1:1")).json()
    assert (seen["ready"], seen["wordpress"], seen["error"]["code"]) == (False, None, "source_unreachable")


async def test_the_rules_for_addresses_are_those_of_cloning(gateway: Gateway, plain_site: Site) -> None:
    keys = KeyRing.load(gateway.directory / "vault.key")
    async with connect(gateway.settings, service="cloner") as bus:
        serving = asyncio.create_task(Previews(bus, keys, carriers(), allow_private=False, clones_php="").serve())
        await bus.nc.flush()
        async with asking(gateway) as ask:
            for url in (plain_site.url, "http://127.0.0.1:4222", "http://169.254.169.254"):
                seen = (await ask(url)).json()
                assert (seen["ready"], seen["error"]["code"]) == (False, "address_refused")
            for url, field in [("ftp://a.example", "source_url"), ("http://u:p@a.example", "source_url")]:
                answer = await ask(url)
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
            assert (await ask(plain_site.url, username="admin")).status_code == 422
        serving.cancel()


async def test_no_cloner_is_said_at_once(gateway: Gateway) -> None:
    async with asking(gateway) as ask:
        answer = await ask("https://shop.example.com")
    assert (answer.status_code, answer.json()["code"]) == (503, "cloner_unavailable")
    assert answer.headers["retry-after"]


async def test_slow_sites_are_given_up_and_do_not_pile_up(
    ask: Ask, plain_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "SECONDS", 1.5)
    with dripping() as url:
        began = time.monotonic()
        answers = await asyncio.gather(*(ask(url) for _ in range(preview.AT_ONCE + 2)))
        told = sorted(
            (answer.status_code, answer.json()["code"] if answer.status_code == 503 else "") for answer in answers
        )
        assert told == [(200, "")] * preview.AT_ONCE + [(503, "preflight_busy")] * 2
        for answer in answers:
            if answer.status_code == 200:
                error = answer.json()["error"]
                assert (error["code"], error["details"]["reason"]) == ("source_unreachable", "timeout")
        assert time.monotonic() - began < 10

        async def free() -> bool:
            seen = await ask(plain_site.url)
            return bool(seen.status_code == 200)

        await eventually(free, what="a free thread")


def test_looks_count_against_the_rate_limit() -> None:
    with running_gateway(rate_limit_per_minute=30, rate_limit_burst=2) as gateway, gateway.client() as api:
        codes = [api.post("/preflight", json={"source_url": "https://a.example"}).json()["code"] for _ in range(3)]
    assert codes == ["cloner_unavailable", "cloner_unavailable", "rate_limited"]


async def test_the_command_says_the_same(ask: Ask, gateway: Gateway, plain_site: Site, make_site: MakeSite) -> None:
    said = await siteferry(gateway, "check", plain_site.url)
    assert said.code == 0
    assert "Is        WordPress 6." in said.out
    assert "Ready to be cloned." in said.out
    assert "no HTTPS" in said.out
    login = ("check", plain_site.url, "-u", plain_site.username, "--password-stdin")
    assert "works; may install the connector" in (await siteferry(gateway, *login, stdin=plain_site.password)).out
    wrong = await siteferry(gateway, *login, stdin="wr0ng-Kolibri\n")
    assert (wrong.code, "Code: wrong_password." in wrong.err) == (1, True)
    guarded = await siteferry(gateway, "check", make_site("fenced", content="bare", captcha=True).url, "--json")
    assert (guarded.code, json.loads(guarded.out)["login"]) == (1, "captcha")
    assert (await siteferry(gateway, "check", plain_site.url, "-u", "admin")).code == 2


def looked(site: Site, *, clones_php: str = "", **more: str) -> Preview:
    login = {"username": site.username, "password": site.password, **more}
    seen = Preview(ready=False, source_url=site.url, message="")
    return preview.look(seen, login, deadline=time.monotonic() + 60, allow_private=True, clones_php=clones_php)


def test_a_network_is_told_before_a_job_begins(make_site: MakeSite) -> None:
    seen = looked(make_site("many", content="bare", multisite=True))
    assert seen.error is not None
    assert (seen.ready, seen.error.code) == (False, "multisite_unsupported")


def test_a_php_newer_than_the_clones_is_told(make_site: MakeSite) -> None:
    site = make_site("modern", content="bare")
    seen = looked(site, clones_php="7.4.33")
    assert seen.ready
    [note] = [note for note in seen.notes if note.code == "php_newer_on_source"]
    assert site.php("return PHP_VERSION;") in note.message
    assert not [note for note in looked(site, clones_php="99.1.0").notes if note.code == "php_newer_on_source"]


def test_a_server_with_a_password_of_its_own_and_a_hidden_login(make_site: MakeSite) -> None:
    site = make_site("doors", content="bare", basic_auth=("gate", "keeper-1"), hidden_login=True)
    shut = looked(site)
    assert shut.error is not None
    assert shut.error.code == "basic_auth_required"
    basic = {"basic_username": "gate", "basic_password": "keeper-1"}
    hidden = looked(site, **basic)
    assert hidden.error is not None
    assert hidden.error.code == "login_hidden"
    assert looked(site, **basic, login_url="/wp-login.php?harbour-door=1").ready
