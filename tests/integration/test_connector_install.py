"""Installing a plugin into real WordPress sites through the upload form, and taking it out again."""

from __future__ import annotations

import io
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from shared.wordpress.errors import (
    ActivationFailed,
    FileModsDisallowed,
    FilesystemNotDirect,
    InstallError,
    NotAdministrator,
    PluginsNotWritable,
    UploadRejected,
    UploadTooLarge,
)
from shared.wordpress.http import site_client
from shared.wordpress.install import PLUGIN_FILE, Installed, install_connector, remove_connector
from shared.wordpress.probe import find_site
from shared.wordpress.signin import AdminSession, sign_in
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site
from tests.sites.spec import PLAIN, User

EDITOR = User("eddie", "pw-eddie-1")


def plugin_zip(version: str = "1.0.0", code: str = "", padding: int = 0) -> bytes:
    """A real plugin under the connector's name; `padding` bytes that do not compress make it large."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        header = f"<?php\n/*\nPlugin Name: Siteferry Connector\nVersion: {version}\n*/\n"
        archive.writestr(PLUGIN_FILE, header + code)
        if padding:
            archive.writestr("siteferry-connector/padding.bin", secrets.token_bytes(padding))
    return data.getvalue()


@contextmanager
def signed_in(site: Site, user: User | None = None) -> Iterator[AdminSession]:
    with site_client(basic_auth=site.spec.basic_auth) as client:
        name, password = (user.login, user.password) if user else (site.username, site.password)
        yield sign_in(client, find_site(client, site.url), name, password)


def version(site: Site) -> str | None:
    """The version of the active connector, None when it is not active."""
    code = """require_once ABSPATH . 'wp-admin/includes/plugin.php';
        $file = WP_PLUGIN_DIR . '/' . $input['data'];
        return is_plugin_active( $input['data'] ) ? get_plugin_data( $file )['Version'] : null;"""
    answer: str | None = site.php(code, PLUGIN_FILE)
    return answer


def nothing_left(site: Site) -> bool:
    """No plugin directory, no pending archive, no attachment. (WordPress itself empties wp-content/upgrade, later.)"""
    folder = site.content / "plugins" / "siteferry-connector"
    upgrade = site.content / "upgrade"
    archives = [path for path in site.content.rglob("siteferry-connector*") if upgrade not in path.parents]
    attachments = site.sql("SELECT COUNT(*) FROM {p}posts WHERE post_title LIKE 'siteferry-connector%%'")[0][0]
    return not folder.exists() and not archives and attachments == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"permalinks": PLAIN, "rest_disabled": True},
        {"layout": "wp-subdir"},
        {"layout": "blog", "confirm_admin_email": True},
        {"content_dir": "stuff"},
        {"multisite": True},
    ],
    ids=lambda options: "-".join(options) or "ordinary",
)
def test_in_and_out(make_site: MakeSite, options: dict[str, object]) -> None:
    site = make_site("host", content="bare", **options)
    with signed_in(site) as session:
        assert install_connector(session, plugin_zip()) == Installed(PLUGIN_FILE, False, False, True)
        assert version(site) == "1.0.0"
        assert remove_connector(session) is True
        assert nothing_left(site)
        assert remove_connector(session) is False


def test_siteurl_on_another_host(make_site: MakeSite) -> None:
    site = make_site("proxied", content="bare")
    site.sql("UPDATE {p}options SET option_value='http://elsewhere.localhost:1' WHERE option_name='siteurl'")
    with signed_in(site) as session:
        install_connector(session, plugin_zip())
        assert version(site) == "1.0.0"
        assert remove_connector(session) is True
    assert nothing_left(site)


def test_already_installed(make_site: MakeSite) -> None:
    site = make_site("again", content="bare")
    with signed_in(site) as session:
        install_connector(session, plugin_zip("1.0.0"))
        assert install_connector(session, plugin_zip("1.0.0")) == Installed(PLUGIN_FILE, True, True, False)
        install_connector(session, plugin_zip("2.0.0"))
        assert version(site) == "2.0.0"
        kept = install_connector(session, plugin_zip("3.0.0"), overwrite=False)
        assert (kept.replaced, version(site)) == (False, "2.0.0")
        install_connector(session, plugin_zip("1.5.0"))  # older: WordPress calls it a downgrade
        assert version(site) == "1.5.0"
        remove_connector(session)
    assert nothing_left(site)


@pytest.mark.parametrize("overwrite", [True, False])
def test_installed_but_switched_off(make_site: MakeSite, overwrite: bool) -> None:
    site = make_site("asleep", content="bare")
    with signed_in(site) as session:
        install_connector(session, plugin_zip())
        site.php(
            "require_once ABSPATH . 'wp-admin/includes/plugin.php'; deactivate_plugins( $input['data'] );", PLUGIN_FILE
        )
        assert version(site) is None
        assert install_connector(session, plugin_zip(), overwrite=overwrite).activated
    assert version(site) == "1.0.0"


def test_an_editor_may_not(make_site: MakeSite) -> None:
    site = make_site("press", content="bare", users=(EDITOR,))
    with signed_in(site, EDITOR) as session, pytest.raises(NotAdministrator, match="eddie") as caught:
        install_connector(session, plugin_zip())
    assert caught.value.code == "not_administrator"


def test_nobody_may(make_site: MakeSite) -> None:
    site = make_site("frozen", content="bare", disallow_file_mods=True, users=(EDITOR,))
    with signed_in(site) as session, pytest.raises(FileModsDisallowed):
        install_connector(session, plugin_zip())
    with signed_in(site, EDITOR) as session, pytest.raises(NotAdministrator):
        install_connector(session, plugin_zip())


def test_ftp_credentials_are_asked(make_site: MakeSite) -> None:
    site = make_site("ftp", content="bare", fs_method="ftpext")
    with signed_in(site) as session, pytest.raises(FilesystemNotDirect):
        install_connector(session, plugin_zip())
    assert nothing_left(site)


@pytest.mark.parametrize("limit", ["post_max_size", "upload_max_filesize"])
def test_php_limits_below_the_archive(make_site: MakeSite, limit: str) -> None:
    site = make_site("narrow", content="bare", php_values={limit: "64K"})
    with signed_in(site) as session, pytest.raises(UploadTooLarge) as caught:
        install_connector(session, plugin_zip(padding=100_000))
    assert caught.value.details["size"] > 100_000
    assert nothing_left(site)


def test_a_web_server_limit_below_the_archive(make_site: MakeSite) -> None:
    site = make_site("slim", content="bare", max_body=64_000)
    with signed_in(site) as session, pytest.raises(UploadTooLarge):
        install_connector(session, plugin_zip(padding=100_000))


def test_plugins_directory_not_writable(make_site: MakeSite) -> None:
    site = make_site("stone", content="bare", constants={"FS_METHOD": "direct"})
    site.plugin("unrelated", "<?php /* Plugin Name: Unrelated */", activate=False)
    (site.content / "plugins").chmod(0o555)
    try:
        with signed_in(site) as session, pytest.raises(PluginsNotWritable, match="could not write"):
            install_connector(session, plugin_zip())
    finally:
        (site.content / "plugins").chmod(0o755)
    assert nothing_left(site)


def test_a_broken_archive(make_site: MakeSite) -> None:
    site = make_site("torn", content="bare")
    with signed_in(site) as session, pytest.raises(UploadRejected) as caught:
        install_connector(session, plugin_zip()[:80])
    assert "rchive" in caught.value.message
    assert nothing_left(site)


@pytest.mark.parametrize(("display", "words"), [("1", "no_such_function_here"), ("0", "could not be activated")])
def test_activation_dies(make_site: MakeSite, display: str, words: str) -> None:
    site = make_site("fatal", content="bare", php_values={"display_errors": display})
    with signed_in(site) as session, pytest.raises(ActivationFailed, match=words):
        install_connector(session, plugin_zip(code="no_such_function_here();"))
    assert nothing_left(site)


def test_a_php_version_the_site_does_not_have(make_site: MakeSite) -> None:
    site = make_site("aged", content="bare")
    with signed_in(site) as session, pytest.raises(InstallError, match=r"99\.0"):
        install_connector(session, plugin_zip(version="1.0.0\nRequires PHP: 99.0"))
    assert nothing_left(site)


def test_removal_without_rest(make_site: MakeSite) -> None:
    site = make_site("screens", content="bare", rest_disabled=True)
    with signed_in(site) as session:
        install_connector(session, plugin_zip())
        assert session.rest("GET", "/wp/v2/plugins").status == 403
        assert remove_connector(replace(session)) is True
    assert nothing_left(site)
