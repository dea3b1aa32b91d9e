"""wp-admin that fails, leads elsewhere, or runs on a PHP with half of its functions switched off."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shared.wordpress.connector.package import KEY_BYTES, build_connector_zip
from shared.wordpress.errors import InstallerBroken, InstallError, SiteBroken, SourceUnreachable
from shared.wordpress.http import site_client
from shared.wordpress.install import check_may_install, install_connector, remove_connector
from shared.wordpress.probe import find_site
from shared.wordpress.signin import sign_in
from siteferry.embedded.servers import PhpFpm
from tests.integration.connected import Connected, connected
from tests.integration.test_connector_install import nothing_left, plugin_zip, signed_in
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site
from tests.sites.spec import SiteSpec

ILL = """<?php
// Answers like a server whose PHP is away, on the pages named in wp-content/ill: "status needle".
$ill = @file_get_contents( WP_CONTENT_DIR . '/ill' );
if ( $ill ) {
	list( $status, $needle ) = explode( ' ', $ill );
	if ( strpos( $_SERVER['REQUEST_METHOD'] . ':' . $_SERVER['REQUEST_URI'], $needle ) !== false ) {
		http_response_code( (int) $status );
		header( 'Retry-After: 7' );
		exit( $status === '500' ? '' : '<html><body>Bad Gateway</body></html>' );
	}
}
"""


def fall_ill(site: Site, status: int, needle: str) -> Path:
    return site.write("wp-content/ill", f"{status} {needle}")


@pytest.mark.parametrize(
    ("status", "needle"),
    [
        (502, "GET:/wp-login.php"),
        (503, "GET:/wp-login.php"),
        (502, "POST:/wp-login.php"),
        (502, "plugin-install.php"),
        (500, "plugin-install.php"),
        (504, "POST:/wp-admin/update.php"),
        (500, "POST:/wp-admin/update.php"),
        (502, "action=activate"),
    ],
)
def test_a_server_without_php_is_waited_for(make_site: MakeSite, status: int, needle: str) -> None:
    site = make_site("ill", content="bare")
    site.mu_plugin("ill", ILL)
    with site_client() as client:
        address = find_site(client, site.url)
        ill = fall_ill(site, status, needle)
        with pytest.raises(SourceUnreachable) as caught:
            install_connector(sign_in(client, address, site.username, site.password), plugin_zip())
        assert caught.value.retry_after == 7
        ill.unlink()
        session = sign_in(client, address, site.username, site.password)
        install_connector(session, plugin_zip())
        assert remove_connector(session)
    assert nothing_left(site)


@pytest.mark.parametrize("status", [200, 500])
def test_a_critical_error_is_told_as_one(make_site: MakeSite, status: int) -> None:
    site = make_site("critical", content="bare")
    with signed_in(site) as session:
        site.mu_plugin(
            "throws",
            "<?php add_filter( 'wp_php_error_args', static function ( $args ) { $args['response'] = "
            f"{status}; return $args; }} );\nadd_action( 'admin_init', static function () {{ no_such_function(); }} );",
        )
        with pytest.raises(SiteBroken, match="critical error") as caught:
            check_may_install(session)
    assert caught.value.code == "site_broken"


def test_a_page_shown_once_is_passed(make_site: MakeSite) -> None:
    site = make_site("welcome", content="bare")
    site.mu_plugin(
        "welcome",
        "<?php add_action( 'admin_init', static function () {"
        " if ( get_option( 'welcome' ) ) { delete_option( 'welcome' );"
        " wp_safe_redirect( admin_url( 'index.php?welcome=1' ) ); exit; } } );",
    )
    site.sql("INSERT INTO {p}options (option_name, option_value, autoload) VALUES ('welcome', '1', 'no')")
    with signed_in(site) as session:
        check_may_install(session)


def test_a_page_that_stays_is_named(make_site: MakeSite) -> None:
    site = make_site("forced", content="bare")
    site.mu_plugin(
        "forced",
        "<?php add_action( 'admin_init', static function () {"
        " global $pagenow; if ( $pagenow !== 'profile.php' && ! wp_doing_ajax() ) {"
        " wp_safe_redirect( admin_url( 'profile.php?fill=in' ) ); exit; } } );",
    )
    with signed_in(site) as session, pytest.raises(InstallError, match=r"profile\.php\?fill=in") as caught:
        check_may_install(session)
    assert caught.value.code == "install_failed"
    assert "browser" in caught.value.hint


def test_renamed_login_cookies_open_wp_admin(make_site: MakeSite) -> None:
    site = make_site("renamed", content="bare")
    site.mu_plugin("renamed", "<?php define( 'LOGGED_IN_COOKIE', 'visitor_0123abcd' );")
    with signed_in(site) as session:
        check_may_install(session)


OFF = (
    "ignore_user_abort,set_time_limit,readlink,symlink,link,usleep,disk_free_space,disk_total_space,exec,shell_exec,"
    "system,passthru,proc_open,popen,highlight_file,show_source,parse_ini_file,putenv,apache_setenv,gethostname,"
    "stream_set_read_buffer"
)
"""What hosts switch off and WordPress can do without."""


def copied(source: Connected) -> tuple[int, int, int]:
    """Files, links and rows, read as a clone and as a restore reads them."""
    facts = source.client.call("inspect")
    frames = list(source.drain("files.stream", {"roots": facts["roots"], "skip": [], "budget": 10}))
    blocks = source.drain("db.stream", {"tables": source.tables(), "budget": 10})
    rows = sum(frame.payload.count(b"\n") for frame in blocks if frame.type == "R")
    digests = source.drain("files.digest", {"bases": ["content"], "skip": [], "budget": 10})
    assert sum(len(frame.json()["files"]) for frame in digests if frame.type == "J") > 0
    return sum(frame.type == "F" for frame in frames), sum(frame.type == "L" for frame in frames), rows


def test_a_php_without_many_functions() -> None:
    farm = SourceFarm()
    farm.fpm = PhpFpm(farm.directory / "php", hardened=False, admin_values={"disable_functions": OFF})
    with farm:
        site = farm.create(SiteSpec("bereft", content="small"))
        (site.uploads / "there").symlink_to("nowhere")
        if "\t\tset_time_limit(" in (site.abspath / "wp-admin/includes/class-wp-upgrader.php").read_text():
            with signed_in(site) as session, pytest.raises(InstallerBroken, match="critical error") as caught:
                install_connector(session, build_connector_zip(b"k" * KEY_BYTES, "job", int(time.time()) + 3600))
            assert "set_time_limit" in caught.value.hint
            assert nothing_left(site)
            assert not [path for path in (site.content / "upgrade").rglob("*") if path.is_file()]
        # Laid there by hand: that WordPress's own installer asks for set_time_limit() is not so everywhere.
        with connected(site) as source:
            files, _, rows = copied(source)
            assert files > 1000
            assert rows > 100
            assert source.client.remove() == {"removed": True, "left": []}
        assert nothing_left(site)


def test_every_replacement_of_a_function_does_what_it_must(make_site: MakeSite) -> None:
    """The replacements beside the functions themselves, which PHP has here: copied into another namespace."""
    site = make_site("beside", content="bare")
    with connected(site) as source:
        code = (source.plugin_dir / "src" / "functions.php").read_text()
    body = code.partition("exit;")[2].replace("function_exists(", "\\Beside\\never(")
    folder = str(site.abspath)
    answer = site.php(
        "eval( 'namespace Beside; function never() { return false; }' . $input['data']['body'] );"
        "$d = $input['data']['folder'];"
        "$h = \\Beside\\opendir( $d ); $n = array();"
        "while ( ( $e = \\Beside\\readdir( $h ) ) !== false ) { $n[] = $e; }"
        "$real = scandir( $d ); sort( $real, SORT_STRING );"
        "return array( \\Beside\\scandir( $d ) === $real, $n === $real, \\Beside\\scandir( $d . '/none' ),"
        " \\Beside\\realpath( $d . '/wp-admin/../index.php' ) === realpath( $d . '/index.php' ),"
        " \\Beside\\realpath( $d . '/no' ),"
        " \\Beside\\md5_file( $d . '/index.php' ) === md5_file( $d . '/index.php' ),"
        " \\Beside\\glob( $d . '/wp-a*' ) === array( $d . '/wp-activate.php', $d . '/wp-admin' ) );",
        {"body": body, "folder": folder},
    )
    assert answer == [True, True, False, True, False, True, True]
