"""Everything that can go wrong ends typed, with a sentence and a hint, and with nothing left behind on either side."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest

from shared.cells.names import database_name
from siteferry.embedded.servers import free_port
from tests.e2e.product import Product, product
from tests.e2e.target import connect, connectors, leftovers
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.nasty import files
from tests.sites.spec import User


def failed(siteferry: Product, job_id: str, *, timeout: float = 90) -> dict[str, Any]:
    """The error of a job that must fail, after checking that it is whole and that the target is clean."""
    job = siteferry.wait(job_id, timeout=timeout)
    assert job["status"] == "failed", job
    error: dict[str, Any] = job["error"]
    assert error["code"]
    assert error["message"].endswith((".", "!", "?", ")")) or len(error["message"]) > 20
    assert error["hint"]
    assert leftovers(siteferry, job_id) == []
    return error


SIGN_IN_FAILURES: list[tuple[str, dict[str, Any], dict[str, Any], set[str]]] = [
    ("wrong-password", {}, {"password": "definitely not it"}, {"wrong_password"}),
    ("unknown-user", {}, {"username": "nobody-here"}, {"unknown_user", "wrong_password"}),
    ("two-factor", {"two_factor": True}, {}, {"two_factor_required"}),
    ("captcha", {"captcha": True}, {}, {"captcha_required"}),
    ("challenge", {"challenge_page": True}, {}, {"host_challenge"}),
    ("no-file-mods", {"disallow_file_mods": True}, {}, {"file_mods_disallowed"}),
    ("network", {"multisite": True}, {}, {"multisite_unsupported"}),
]


@pytest.mark.parametrize(("name", "spec", "body", "codes"), SIGN_IN_FAILURES)
def test_a_source_that_can_not_be_entered(
    siteferry: Product, make_site: MakeSite, name: str, spec: dict[str, Any], body: dict[str, Any], codes: set[str]
) -> None:
    site = make_site(f"fail-{name}", content="bare", **spec)
    error = failed(siteferry, siteferry.submit(site, **body))
    assert error["code"] in codes
    assert connectors(site) == []


def test_an_editor_is_not_an_administrator(siteferry: Product, make_site: MakeSite) -> None:
    editor = User("edda", "pw-of-edda-3141")
    site = make_site("fail-editor", content="bare", users=(editor,))
    error = failed(siteferry, siteferry.submit(site, username=editor.login, password=editor.password))
    assert error["code"] == "not_administrator"
    assert connectors(site) == []


def test_not_wordpress(siteferry: Product, farm: SourceFarm) -> None:
    url = farm.static("just-a-site", {"index.html": b"<!doctype html><title>Hello</title><p>No CMS here."})
    answer = siteferry.http.post("/clone", json={"source_url": url, "username": "a", "password": "b"})
    assert failed(siteferry, answer.json()["job_id"])["code"] == "not_wordpress"


def test_nobody_there(siteferry: Product) -> None:
    """Unreachable is worth a few tries; then the job fails and says so."""
    body = {"source_url": f"http://localhost:{free_port()}", "username": "a", "password": "b"}
    job_id = siteferry.http.post("/clone", json=body).json()["job_id"]
    eventually(lambda: siteferry.job(job_id)["phase"] == "retrying", timeout=30, what="a scheduled retry")
    assert failed(siteferry, job_id, timeout=180)["code"] == "source_unreachable"


def during(siteferry: Product, job_id: str, step: str, act: Callable[[], object], *, timeout: float = 60) -> None:
    """Do something the moment a step has begun."""

    def reached() -> bool:
        job = siteferry.job(job_id)
        assert job["status"] in {"pending", "running"}, job
        return any(s["name"] == step and s["state"] == "running" for s in job["steps"])

    eventually(reached, timeout=timeout, what=f"step {step}")
    act()


def test_the_connector_is_removed_while_files_travel(siteferry: Product, make_site: MakeSite) -> None:
    site = make_site("fail-removed")
    files.big_file(site, 900 << 20)
    job_id = siteferry.submit(site)

    def remove() -> None:
        time.sleep(0.3)
        code = "require_once ABSPATH . 'wp-admin/includes/plugin.php'; deactivate_plugins($input['data']); return 1;"
        site.php(code, "siteferry-connector/siteferry-connector.php")

    during(siteferry, job_id, "files", remove)
    job = siteferry.wait(job_id, timeout=120)
    if job["status"] == "completed":
        pytest.fail("the transfer was over before the connector was gone: make the file bigger")
    assert job["error"]["code"] == "connector_gone"
    assert leftovers(siteferry, job_id) == []
    assert connectors(site) == []


def test_the_database_refuses(siteferry: Product, make_site: MakeSite) -> None:
    """The clone's account loses its rights the moment it exists: as an ill server would, the target says no."""
    site = make_site("fail-database")
    files.big_file(site, 600 << 20)
    job_id = siteferry.submit(site)

    def lock() -> None:
        with connect(siteferry) as connection, connection.cursor() as cursor:
            name = database_name(job_id)
            cursor.execute(f"REVOKE ALL ON `{name.replace('_', chr(92) + '_')}`.* FROM `{name}`@localhost")
            cursor.execute("FLUSH PRIVILEGES")

    eventually(lambda: _revoked(lock), timeout=60, what="the account to revoke")
    error = failed(siteferry, job_id, timeout=120)
    assert error["code"] == "target_database_error"
    assert connectors(site) == []


def _revoked(lock: Callable[[], None]) -> bool:
    try:
        lock()
    except pymysql.MySQLError:
        return False
    return True


def test_the_disk_of_the_clones_is_full(make_site: MakeSite, full_disk: Product) -> None:
    site = make_site("fail-disk")
    error = failed(full_disk, full_disk.submit(site))
    assert error["code"] in {"not_enough_space", "target_disk_full"}
    assert connectors(site) == []


def test_the_source_disappears_and_comes_back(siteferry: Product, make_site: MakeSite) -> None:
    """While its server is frozen the job waits and tries again; nothing is copied twice."""
    site = make_site("fail-frozen")
    files.big_file(site, 300 << 20)
    job_id = siteferry.submit(site)
    pid = site.farm._running[-1].popen.pid

    def freeze() -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(5, os.kill, (pid, signal.SIGCONT)).start()

    during(siteferry, job_id, "files", freeze)
    job = siteferry.wait(job_id, timeout=120)
    assert job["status"] == "completed", job
    assert connectors(site) == []


@pytest.fixture(scope="module")
def full_disk() -> Any:
    """A Siteferry whose clones live on a disk of 160 MB. Needs root for the mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    with product() as small:
        clones = Path(small.state / "clones")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=711", "tmpfs", str(clones)], check=False)
        if done.returncode:
            pytest.skip("this machine does not let us mount")
        try:
            yield small
        finally:
            subprocess.run(["umount", "-l", str(clones)], check=True)


def test_a_source_that_says_nothing_does_not_hold_up_a_cancel(siteferry: Product) -> None:
    """It accepts connections and never answers; a read may take a minute, a cancel may not."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        body = {"source_url": f"http://localhost:{silent.getsockname()[1]}", "username": "a", "password": "b"}
        job_id = siteferry.http.post("/clone", json=body).json()["job_id"]
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            begun = time.monotonic()
            assert siteferry.http.post(f"/jobs/{job_id}/cancel").status_code == 202
            job = siteferry.wait(job_id, timeout=30)
            assert job["status"] == "cancelled"
            assert time.monotonic() - begun < 5, "the promise is 2 seconds"
    assert leftovers(siteferry, job_id) == []
