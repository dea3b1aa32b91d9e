"""A farm site with the connector in place, for tests of the connector alone (no sign-in)."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.package import PLUGIN_FILE, build_connector_zip
from shared.wordpress.connector.protocol import Frame
from shared.wordpress.http import site_client
from tests.sites.core import give
from tests.sites.site import Site

KEY = bytes(range(32))


@dataclass
class Connected:
    """A site, a client for its connector, and the HTTP client below it."""

    site: Site
    http: httpx2.Client
    client: ConnectorClient

    @property
    def plugin_dir(self) -> Path:
        return self.site.content / "plugins" / "siteferry-connector"

    def tables(self, *names: str) -> list[dict[str, Any]]:
        """The `tables` parameter of db.stream: these tables (all, if none is named) with all columns they can load."""
        facts = self.client.call("inspect")
        return [
            {
                "name": table["name"],
                "columns": [column for column in table["columns"] if not column["generated"]],
                "key": table["key"],
                "create": table["create"],
            }
            for table in facts["tables"]
            if table["kind"] == "table" and (not names or table["name"] in names)
        ]

    def drain(self, op: str, params: dict[str, Any]) -> Iterator[Frame]:
        """Frames of all answers, one after the other, until the connector says it is done."""
        cursor = None
        for _ in range(100_000):
            for frame in self.client.stream(op, {**params, "cursor": cursor}):
                yield frame
            end = frame.json()
            cursor = end["cursor"]
            if end["done"]:
                return
        raise AssertionError("the stream does not end")


def unpack(archive: bytes, site: Site) -> None:
    """Lay the plugin out as WordPress would, owned by the web account."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(site.content / "plugins")
    give(site.content / "plugins" / "siteferry-connector")


def activate(site: Site) -> None:
    answer = site.php(
        "require_once ABSPATH . 'wp-admin/includes/plugin.php';"
        "$e = activate_plugin( $input['data'] ); return is_wp_error( $e ) ? $e->get_error_message() : null;",
        PLUGIN_FILE,
    )
    assert answer is None, answer


@contextmanager
def connected(site: Site, *, key: bytes = KEY, lifetime: int = 600) -> Iterator[Connected]:
    """Install the connector on this site for the length of the block."""
    unpack(build_connector_zip(key, "clone-test", int(time.time()) + lifetime), site)
    activate(site)
    with site_client() as http:
        connection = Connected(site, http, ConnectorClient(http, endpoints(site.home, site.siteurl), key))
        yield connection
        if os.path.isdir(connection.plugin_dir):
            connection.client.remove()
