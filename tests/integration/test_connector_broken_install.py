"""PHP of the source is killed while WordPress unpacks, copies, replaces or deletes the connector."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shared.errors import JobError
from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.package import build_connector_zip
from shared.wordpress.errors import SourceUnreachable
from shared.wordpress.http import site_client
from shared.wordpress.install import install_connector, remove_connector
from tests.integration.test_connector_install import nothing_left, signed_in
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site

KEY = bytes(range(32))
NEXT_KEY = bytes(range(1, 33))
EVERY = int(os.environ.get("SITEFERRY_TEST_KILL_EVERY", "17"))
"""Every how many operations of WordPress on files PHP is killed; 1 is every one, and takes minutes."""
MOST = 400
"""More operations than any installation has."""


def archive(key: bytes = KEY) -> bytes:
    return build_connector_zip(key, "clone-test", int(time.time()) + 3600)


def killed_site(make_site: MakeSite) -> Site:
    site = make_site("mortal", content="bare")
    site.mu_plugin("killed-on-disk")
    return site


def die_at(site: Site, operation: int) -> Path:
    return site.write(os.path.relpath(site.content / "die-at", site.docroot), str(operation))


def hello(site: Site, key: bytes) -> None:
    with site_client() as http:
        ConnectorClient(http, endpoints(site.home, site.siteurl), key).call("hello")


def admin_works(site: Site) -> bool:
    with site.sign_in() as browser:
        page = browser.get(site.siteurl + "/wp-admin/plugins.php")
        return page.status_code == 200 and "</html>" in page.text and "Fatal error" not in page.text


def test_killed_at_every_moment_of_an_installation(make_site: MakeSite) -> None:
    site = killed_site(make_site)
    halves = 0
    for operation in range(0, MOST, EVERY):
        waiting = die_at(site, operation)
        with signed_in(site) as session:
            try:
                install_connector(session, archive())
            except SourceUnreachable:
                pass
            else:
                assert waiting.exists(), "PHP was killed, and nobody noticed"
                break
        halves += (site.content / "plugins" / "siteferry-connector").exists()
        assert admin_works(site)
        with signed_in(site) as session:
            install_connector(session, archive(NEXT_KEY))
            hello(site, NEXT_KEY)
            remove_connector(session)
        assert nothing_left(site), operation
        assert not list(site.content.glob("upgrade/siteferry-connector*")), operation
    else:
        pytest.fail("the installation never ended")
    assert halves, "PHP was never killed inside the plugin's folder"


def test_killed_at_every_moment_of_replacing_an_active_one(make_site: MakeSite) -> None:
    site = killed_site(make_site)
    for operation in range(0, MOST, EVERY):
        with signed_in(site) as session:
            install_connector(session, archive())
            waiting = die_at(site, operation)
            try:
                install_connector(session, archive(NEXT_KEY))
            except SourceUnreachable:
                pass
            else:
                assert waiting.exists(), "PHP was killed, and nobody noticed"
                break
        assert admin_works(site), operation
        assert site.get("/").status_code == 200
        with signed_in(site) as session:
            install_connector(session, archive(NEXT_KEY))
            hello(site, NEXT_KEY)
            remove_connector(session)
        assert nothing_left(site), operation
    else:
        pytest.fail("the installation never ended")


@pytest.mark.parametrize("main_file", [False, True])
def test_what_was_left_is_removed_without_installing_again(make_site: MakeSite, main_file: bool) -> None:
    site = make_site("halved", content="bare")
    folder = "wp-content/plugins/siteferry-connector"
    site.write(f"{folder}/src/Entry.php", "<?php\n")
    site.write(f"{folder}/key.php", "<?php\n")
    if main_file:
        site.write(f"{folder}/siteferry-connector.php", "<?php\n/*\nPlugin Name: Siteferry Connector\n*/\n")
    with signed_in(site) as session:
        assert remove_connector(session) is main_file
        assert nothing_left(site)
        assert remove_connector(session) is False


def test_a_half_folder_that_nobody_can_delete_is_told(make_site: MakeSite) -> None:
    site = make_site("stuck", content="bare", constants={"FS_METHOD": "direct"})
    path = site.write("wp-content/plugins/siteferry-connector/src/Entry.php", "<?php\n")
    path.parent.chmod(0o555)
    try:
        with signed_in(site) as session, pytest.raises(JobError) as caught:
            remove_connector(session)
        assert caught.value.code == "removal_failed"
    finally:
        path.parent.chmod(0o755)


def test_the_folder_wordpress_unpacks_in_stays(make_site: MakeSite) -> None:
    """Nobody can tell whether it was there before; where WordPress may not make it again, updates need it."""
    site = make_site("unpacking", content="bare")
    with signed_in(site) as session, site_client() as http:
        install_connector(session, archive())
        assert ConnectorClient(http, endpoints(site.home, site.siteurl), KEY).remove() == {"removed": True, "left": []}
    assert nothing_left(site)
    assert list((site.content / "upgrade").iterdir()) == []
