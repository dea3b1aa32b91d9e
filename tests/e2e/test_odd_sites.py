"""Sites that treat visitors, strangers or copies of themselves in a way of their own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from shared.wordpress.http import site_client
from shared.wordpress.probe import find_site
from shared.wordpress.signin import sign_in
from tests.e2e.product import Product
from tests.integration.test_cells import commands
from tests.sites.fixtures import MakeSite

ON_A_CLONE = "isset( $_SERVER['HTTP_HOST'] ) && strpos( $_SERVER['HTTP_HOST'], 'clone-' ) === 0"


def ended(siteferry: Product, job_id: str) -> dict[str, Any]:
    return siteferry.wait(job_id, timeout=240)


def codes(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert job["status"] == "completed", job["error"]
    return {note["code"]: note for note in job["result"]["notes"]}


def test_a_site_that_shows_visitors_a_coming_soon_page(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("soon", content="bare")
    site.mu_plugin(
        "soon",
        "<?php add_action( 'template_redirect', static function () { if ( ! is_user_logged_in() ) {"
        " header( 'Retry-After: 3600' ); status_header( 503 ); exit( '<html><body>Coming soon</body></html>' ); } } );",
    )
    assert "pages_failing" not in codes(siteferry.clone(site, timeout=240))


def test_a_copy_without_wordpress_is_not_tried_again(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("coreless", content="bare")
    job = ended(siteferry, siteferry.submit(site, options={"exclude_paths": ["wp-load.php"]}))
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "wordpress_missing", 1)
    assert "exclude_paths" in job["error"]["hint"]


def test_a_copy_whose_pages_break_off_is_unhealthy(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("half", content="bare")
    site.mu_plugin(
        "half", f"<?php if ( {ON_A_CLONE} ) {{ add_action( 'wp_footer', static function () {{ exit; }} ); }}"
    )
    job = ended(siteferry, siteferry.submit(site))
    assert (job["status"], job["error"]["code"]) == ("failed", "clone_unhealthy")
    assert "breaks off" in job["error"]["message"]


def test_what_php_says_is_in_the_jobs_error(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("loud", content="bare")
    site.mu_plugin("loud", f"<?php if ( {ON_A_CLONE} && ! is_admin() ) {{ a_function_of_the_old_host(); }}")
    job = ended(siteferry, siteferry.submit(site))
    assert (job["status"], job["error"]["code"]) == ("failed", "clone_unhealthy")
    assert "a_function_of_the_old_host" in job["error"]["message"]
    assert "a_function_of_the_old_host" in job["error"]["details"]["php_error"]


def test_a_copy_that_sends_visitors_to_production(siteferry: Product, make_site: MakeSite) -> None:
    trap = make_site("production", content="bare")
    trap.mu_plugin("trap", "<?php file_put_contents( WP_CONTENT_DIR . '/visited', $_SERVER['REQUEST_URI'] );")
    site = make_site("leads", content="bare")
    site.mu_plugin(
        "leads",
        f"<?php if ( {ON_A_CLONE} ) {{ foreach ( array( 'template_redirect', 'login_init' ) as $hook ) {{"
        " add_action( $hook,"
        f" static function () {{ wp_redirect( '{trap.home}' . $_SERVER['REQUEST_URI'] ); exit; }}, 0 ); }} }}",
    )
    (trap.content / "visited").unlink(missing_ok=True)
    notes = codes(siteferry.clone(site, timeout=240))
    assert f"/ -> {trap.home}" in notes["pages_leave_clone"]["samples"]
    assert "login_guarded" in notes or "login_unproven" in notes
    assert not (trap.content / "visited").exists(), "nobody may follow"


def test_a_copy_whose_administrator_is_not_let_in(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("approval", content="bare")
    site.mu_plugin(
        "approval",
        "<?php add_filter( 'wp_authenticate_user', static function ( $user ) {"
        " return strpos( $user->user_login, 'siteferry' ) === 0"
        " ? new WP_Error( 'pending', 'Your account awaits approval.' ) : $user; } );",
    )
    notes = codes(siteferry.clone(site, timeout=240))
    assert "approval" in notes["login_unproven"]["samples"][0]


def test_renamed_cookies_and_personal_capabilities(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("keymaster", content="bare")
    site.mu_plugin("renamed", "<?php define( 'LOGGED_IN_COOKIE', 'visitor_0123abcd' );")
    site.php(
        "$u = get_user_by( 'login', $input['data'] ); $u->add_cap( 'bbp_keymaster' ); $u->add_cap( 'edit_forms' );"
        "return 1;",
        site.username,
    )
    job = siteferry.clone(site, timeout=240)
    assert not {"login_unproven", "login_guarded"} & codes(job).keys()
    result = job["result"]
    with site_client() as client:
        session = sign_in(client, find_site(client, result["clone_url"]), result["username"], result["password"])
        mine = session.get("profile.php").text
    assert "bbp_keymaster" in mine, "the profile lists capabilities that are held personally"
    assert "edit_forms" in mine


def test_what_wp_config_says(siteferry: Product, make_site: MakeSite) -> None:
    """WP_HOME and WP_SITEURL that differ from the database, and constants that pages need."""
    home = make_site.farm.origin("pinned")
    constants = {"WP_HOME": home, "WP_SITEURL": home, "ACME_ON": True, "ACME_DIR": "/srv/acme", "ACME_KEY": "s3cret-1"}
    site = make_site("pinned", content="bare", constants=constants)
    site.sql("UPDATE {p}options SET option_value='http://laptop.test/shop' WHERE option_name IN ('home', 'siteurl')")
    site.mu_plugin(
        "constants",
        "<?php add_action( 'wp_footer', static function () {"
        " $dir = defined( 'ACME_DIR' ) ? ACME_DIR : 0;"
        " echo '<!--', wp_json_encode( array( ACME_ON, $dir, defined( 'ACME_KEY' ) ) ), '-->'; } );",
    )
    job = siteferry.clone(site, timeout=240, options={"constants": ["ACME_DIR"]})
    notes = codes(job)
    assert notes["constants_left"]["samples"] == ["ACME_KEY"]
    assert "pages_leave_clone" not in notes
    with site_client() as visitor:
        page = visitor.get(job["result"]["clone_url"])
    assert page.status_code == 200
    assert '[true,"\\/srv\\/acme",false]' in page.text
    assert "s3cret-1" not in str(job)


def test_php_that_dies_while_the_clone_is_looked_at_is_asked_again(siteferry: Product, make_site: MakeSite) -> None:
    """A process of the clone is killed, as the kernel does where memory ends: no verdict about the site."""
    site = make_site("dies", content="bare")
    site.mu_plugin(
        "dies",
        f"<?php if ( {ON_A_CLONE} && '/' === $_SERVER['REQUEST_URI'] && ! file_exists( WP_CONTENT_DIR . '/seen' ) ) {{"
        " touch( WP_CONTENT_DIR . '/seen' ); sleep( 60 ); }",
    )
    clone = siteferry.submit(site)
    seen = siteferry.directory(clone) / "site" / "wp-content" / "seen"
    deadline = time.monotonic() + 180
    while not seen.exists():
        assert siteferry.job(clone)["status"] in {"pending", "running"}, siteferry.job(clone)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker = next(pid for pid, words in commands() if "php-fpm: pool cell" in words and _is_of(pid, seen))
    os.kill(worker, signal.SIGKILL)
    job = ended(siteferry, clone)
    assert (job["status"], job["attempt"]) == ("completed", 1), job["error"]
    assert not {"pages_failing", "admin_failing"} & set(codes(job))


def _is_of(pid: int, seen: Path) -> bool:
    """Whether it is of the account the file belongs to."""
    return os.stat(f"/proc/{pid}").st_uid == seen.stat().st_uid
