"""A clone's page from its own cell against the same files behind one hardened PHP pool for all, as clones once were.

The shared pool is what the product had before cells: open_basedir and temporary folders with each request, compiled
code cached on disk. Both serve the same WordPress, rows and theme in turns, warm; then the cell is put to sleep and
woken twenty times.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from shared.cells.client import CellsClient
from siteferry.embedded.servers import Caddy, PhpFpm, running
from siteferry.embedded.servers.base import running_as_root
from siteferry.embedded.servers.caddy_config import php_site, server_config
from tests.e2e.product import Product, product
from tests.sites.farm import SourceFarm
from tests.sites.http import client
from tests.sites.spec import SiteSpec

PAGES = 60
WAKES = 20
SHARED_VALUES = {
    "open_basedir": "{clone}/",
    "sys_temp_dir": "{clone}/tmp",
    "upload_tmp_dir": "{clone}/tmp",
    "session.save_path": "{clone}/tmp",
    "error_log": "{clone}/log/php.log",
    "memory_limit": "256M",
    "max_execution_time": "120",
}


def run(pages: int = PAGES, wakes: int = WAKES) -> dict[str, Any]:
    """Seconds; `page_ratio_to_shared_pool` is the cell's median over the shared pool's."""
    with SourceFarm() as farm, product() as siteferry:
        site = farm.create(SiteSpec("page"))
        job = siteferry.clone(site, timeout=600)
        clone_id = job["result"]["clone_id"]
        with shared_pool(siteferry, clone_id) as port, client() as http:
            cell, shared = (visit(http, clone_id, one, siteferry.port) for one in (siteferry.port, port))
            for _ in range(5):
                cell()
                shared()
            times: list[tuple[float, float]] = [(cell(), shared()) for _ in range(pages)]
            woken = list(wake(siteferry, clone_id, cell, wakes))
    mine, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "cell_page_s": round(mine, 4),
        "shared_pool_page_s": round(theirs, 4),
        "page_ratio_to_shared_pool": round(mine / theirs, 2),
        "first_page_after_waking_s": round(statistics.median(woken), 3),
        "first_page_after_waking_p99_s": round(max(woken), 3),
    }


def visit(http: httpx2.Client, clone_id: str, port: int, own_port: int) -> Any:
    """A function that fetches the clone's front page from one of the two and says how long it took."""

    def page() -> float:
        began = time.monotonic()
        address = f"http://{clone_id}.localhost:{port}/"
        answer = http.get(address, headers={"Host": f"{clone_id}.localhost:{own_port}"}, follow_redirects=False)
        seconds = time.monotonic() - began
        assert answer.status_code == 200, answer.text[:500]
        return seconds

    return page


def wake(siteferry: Product, clone_id: str, page: Any, wakes: int) -> Iterator[float]:
    """Seconds of the first page of a cell that slept."""
    settings = json.loads((siteferry.state / "cells" / "cells.json").read_text())
    cells = CellsClient(Path(settings["base"]) / "control.sock")
    for _ in range(wakes):
        cells.sleep(clone_id)
        deadline = time.monotonic() + 60
        while cells.status()["cells"][clone_id]["state"] != "asleep":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield page()


@contextmanager
def shared_pool(siteferry: Product, clone_id: str) -> Iterator[int]:
    """The same clone behind one pool for all; the port it is reached at."""
    home = siteferry.state / "shared-pool"
    clone, theirs = home / clone_id, siteferry.directory(clone_id)
    home.mkdir(mode=0o711)
    shutil.copytree(theirs, clone, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    for file in [clone / "wp-config.php", *(clone / "guard").glob("*.php")]:
        file.write_text(file.read_text().replace(str(theirs), str(clone)))
    if running_as_root():
        for path in (clone, *clone.rglob("*")):
            shutil.chown(path, "www-data", "www-data")
    values = {name: value.replace("{clone}", str(clone)) for name, value in SHARED_VALUES.items()}
    php = PhpFpm(home / "php")
    caddy = Caddy(
        home / "caddy",
        lambda server: server_config(
            server.port,
            ["127.0.0.1"],
            php_site(str(clone / "site"), php.socket, values),
            admin_socket=None,
            storage=server.storage,
        ),
    )
    with running(php), running(caddy):
        yield caddy.port
