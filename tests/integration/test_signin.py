"""Signing in to real WordPress sites: every way in, every way it is refused."""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from shared.wordpress.errors import (
    CaptchaRequired,
    CookiesBlocked,
    HostChallenge,
    LoginHidden,
    LoginLockedOut,
    SessionLost,
    SignInError,
    SignInRefused,
    SsoOnly,
    TwoFactorRequired,
    UnknownUser,
    WrongPassword,
)
from shared.wordpress.http import site_client
from shared.wordpress.probe import find_site
from shared.wordpress.signin import SIGN_INS, AdminSession, Desk, sign_in
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site
from tests.sites.spec import PLAIN, User

HARD_PASSWORD = """p'a"s\\s & <b>wörd</b> %41 ключ 🔑+=;"""


def enter(site: Site, username: str | None = None, password: str | None = None, login_url: str | None = None) -> str:
    """Sign in and return the title of the dashboard, which only a session can see."""
    with site_client(basic_auth=site.spec.basic_auth) as client:
        address = find_site(client, site.url, login_url=login_url)
        session = sign_in(client, address, username or site.username, password or site.password)
        page = session.get("index.php")
        assert page.status == 200, page
        return page.title


@pytest.mark.parametrize(
    "options",
    [
        {"permalinks": PLAIN, "rest_disabled": True},
        {"confirm_admin_email": True},
        {"layout": "wp-subdir"},
        {"layout": "blog"},
        {"basic_auth": ("gate", "k33per")},
    ],
    ids=lambda options: "-".join(options),
)
def test_the_right_password_opens_wp_admin(make_site: MakeSite, options: dict[str, object]) -> None:
    site = make_site("door", content="bare", **options)
    assert "Dashboard" in enter(site)


def test_a_password_with_every_kind_of_character(make_site: MakeSite) -> None:
    site = make_site("picky", content="bare")
    # Forms reach WordPress with slashes added, and it hashes passwords as they come.
    site.php("wp_set_password( wp_slash( $input['data'] ), 1 ); return true;", HARD_PASSWORD)
    assert "Dashboard" in enter(site, password=HARD_PASSWORD)


def test_an_e_mail_address_signs_in_too(plain_site: Site) -> None:
    assert "Dashboard" in enter(plain_site, username=plain_site.spec.email)


def test_siteurl_on_another_host(make_site: MakeSite) -> None:
    site = make_site("proxied", content="bare")
    site.sql("UPDATE {p}options SET option_value='http://elsewhere.localhost:1' WHERE option_name='siteurl'")
    assert "Dashboard" in enter(site)


def test_wrong_password(plain_site: Site) -> None:
    with pytest.raises(WrongPassword, match="is incorrect") as caught:
        enter(plain_site, password="not-the-password")
    assert caught.value.code == "wrong_password"
    assert plain_site.username in caught.value.message


def test_unknown_user(plain_site: Site) -> None:
    with pytest.raises(UnknownUser) as caught:
        enter(plain_site, username="nobody-here")
    assert caught.value.code == "unknown_user"


def test_no_text_holds_the_password(plain_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with pytest.raises(SignInError) as caught:
        enter(plain_site, password=HARD_PASSWORD)
    said = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value.details)
    assert "refused the password" in said
    for spelling in (HARD_PASSWORD, repr(HARD_PASSWORD)[1:-1], "ключ", "%D0%BA%D0%BB"):
        assert spelling not in said


def test_a_site_that_repeats_the_password(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site("parrot", content="bare")
    site.mu_plugin(
        "parrot", "<?php add_filter('login_errors', fn() => 'No: ' . esc_html(wp_unslash($_POST['pwd'] ?? '')));"
    )
    with pytest.raises(SignInRefused, match=r"No: \[hidden\]"):
        enter(site, password=HARD_PASSWORD)


def test_a_second_factor(make_site: MakeSite) -> None:
    with pytest.raises(TwoFactorRequired) as caught:
        enter(make_site("twofold", two_factor=True, content="bare"))
    assert "pairing key" in caught.value.hint


def test_a_captcha_is_seen_before_a_try_is_spent(make_site: MakeSite) -> None:
    site = make_site("puzzled", captcha=True, content="bare")
    site.mu_plugin(
        "tries",
        "<?php add_filter('authenticate', function ($u, $n) { if ($n) update_option('tried', 1); return $u; }, 1, 2);",
    )
    with pytest.raises(CaptchaRequired):
        enter(site)
    assert site.php("return get_option('tried');") is False


def test_a_hidden_login(make_site: MakeSite) -> None:
    site = make_site("secretive", hidden_login=True, content="bare")
    with pytest.raises(LoginHidden, match="404"):
        enter(site)
    with pytest.raises(LoginHidden, match="404"):
        enter(site, login_url="/nowhere-either/")


def test_a_hidden_login_whose_address_is_given(make_site: MakeSite) -> None:
    site = make_site("doorbell", hidden_login=True, content="bare")
    site.mu_plugin(
        "door",
        "<?php add_filter( 'site_url', fn( $url, $path, $scheme ) => 'login_post' === $scheme"
        " ? add_query_arg( 'harbour-door', '1', $url ) : $url, 10, 3 );",
    )
    assert "Dashboard" in enter(site, login_url="/wp-login.php?harbour-door=1")


LIMITED = """<?php add_filter( 'authenticate', function () {
    return new WP_Error( 'too_many_retries', '<strong>ERROR</strong>: Too many failed login attempts. '
        . 'Please try again in 20 minutes.' );
}, 99 );"""
SSO = "<?php add_action( 'login_init', function () { wp_redirect( 'https://login.example.org/oauth' ); exit; } );"
VAGUE = "<?php add_filter( 'login_errors', fn() => 'Computer says no.' );"


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (LIMITED, LoginLockedOut, "try again in 20 minutes"),
        (SSO, SsoOnly, r"login\.example\.org"),
        (VAGUE, SignInRefused, "Computer says no"),
    ],
)
def test_plugins_that_refuse(make_site: MakeSite, code: str, error: type[SignInError], words: str) -> None:
    site = make_site("strict", content="bare")
    site.mu_plugin("strict", code)
    with pytest.raises(error, match=words):
        enter(site, password="wrong")


def test_cookies_swallowed_on_the_way(make_site: MakeSite) -> None:
    site = make_site("dry", content="bare")
    site.mu_plugin(
        "dry",
        "<?php add_action( 'login_init', function () { unset( $_COOKIE[ TEST_COOKIE ] ); }, 0 );"
        " add_filter( 'send_auth_cookies', '__return_false' );",
    )
    with pytest.raises(CookiesBlocked):
        enter(site)


def test_a_challenge_that_appears_after_the_probe(make_site: MakeSite, farm: SourceFarm) -> None:
    site = make_site("sudden", content="bare")
    with site_client() as client:
        address = find_site(client, site.url)
        site.mu_plugin(
            "wall", "<?php if ( PHP_SAPI !== 'cli' ) { header( 'SG-Captcha: challenge' ); status_header( 202 ); exit; }"
        )
        with pytest.raises(HostChallenge, match="SiteGround"):
            sign_in(client, address, site.username, site.password)


def test_a_session_that_ends_in_between(make_site: MakeSite) -> None:
    site = make_site("forgetful", content="bare")
    with site_client() as client:
        session = sign_in(client, find_site(client, site.url), site.username, site.password)
        site.sql("DELETE FROM {p}usermeta WHERE meta_key='session_tokens'")
        with pytest.raises(SessionLost):
            session.get("index.php")


def desk(site: Site, client: httpx2.Client) -> Desk:
    address = find_site(client, site.url)
    return Desk(
        lambda: sign_in(client, address, site.username, site.password), lambda seconds: time.sleep(seconds / 10)
    )


def test_a_session_that_ends_in_between_is_opened_anew_a_few_times(make_site: MakeSite) -> None:
    site = make_site("forgetful-too", content="bare")
    lost: list[str] = []

    def forget_and_look(session: AdminSession, *, times: int) -> str:
        if len(lost) < times:
            lost.append(site.sql("SELECT meta_value FROM {p}usermeta WHERE meta_key='session_tokens'")[0][0])
            site.sql("DELETE FROM {p}usermeta WHERE meta_key='session_tokens'")
        return session.get("index.php").title

    with site_client() as client:
        opened = desk(site, client)
        assert "Dashboard" in opened.work(lambda session: forget_and_look(session, times=SIGN_INS - 1))
        assert len(set(lost)) == SIGN_INS - 1
        with pytest.raises(SessionLost):
            opened.work(lambda session: forget_and_look(session, times=100))


def test_twelve_who_sign_in_at_the_same_moment_all_get_in(make_site: MakeSite) -> None:
    """WordPress forgets sessions of sign-ins that overlap."""
    site = make_site("crowded", content="bare")
    together = threading.Barrier(12)

    def work(_: int) -> str:
        with site_client() as client:
            opened = desk(site, client)
            together.wait(60)
            opened.session()
            together.wait(60)
            return opened.work(lambda session: session.get("index.php").title)

    with ThreadPoolExecutor(12) as pool:
        titles = list(pool.map(work, range(12)))
    assert all("Dashboard" in title for title in titles)


def test_an_editor_gets_in_as_well(make_site: MakeSite) -> None:
    site = make_site("press", content="bare", users=(User("eddie", "pw-eddie-1"),))
    assert "Dashboard" in enter(site, "eddie", "pw-eddie-1")
