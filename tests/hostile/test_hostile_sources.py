"""A hostile site harms nothing but its own clone: every attack of the table, tried on the running product."""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.product import KEEPING, Product, product
from tests.e2e.target import connect, leftovers
from tests.e2e.test_ways_in import install_by_hand
from tests.hostile import inputs, pages
from tests.hostile.forged import NAME, Forged, Lies, forged
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

WORDS = b"nobody but us reads or writes this"
LIMITS = {
    "SITEFERRY_STALL_MINUTES": "0.5",
    "SITEFERRY_MAX_JOBS_PER_SOURCE": "8",
    "SITEFERRY_CLONER_SLOTS": "6",
}
MEMORY = 150 << 20
UNTYPED = {"internal_error", "poison"}
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@dataclass
class Secret:
    """A file of ours. Its time of reading is set back, so that any later reading shows."""

    path: Path

    def __post_init__(self) -> None:
        self.path.write_bytes(WORDS)
        self.path.chmod(0o600)
        os.utime(self.path, (1, time.time()))
        self._state = os.stat(self.path)

    def harm(self) -> list[str]:
        """What was done to it."""
        now = os.stat(self.path)
        kinds = ("st_uid", "st_gid", "st_mode", "st_mtime", "st_size", "st_atime", "st_ino")
        found = [kind for kind in kinds if getattr(now, kind) != getattr(self._state, kind)]
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOATIME)
        with open(descriptor, "rb") as file:
            return found + ([] if file.read() == WORDS else ["content"])


@pytest.fixture(scope="module")
def attacked() -> Iterator[Product]:
    """A Siteferry with short patience."""
    with product(environment=LIMITS | KEEPING) as running:
        yield running


@pytest.fixture(scope="module")
def front(farm: SourceFarm) -> Iterator[Forged]:
    site = farm.create(SiteSpec(NAME, content="bare"))
    for path in site.content.parent.rglob("*"):  # what only browsers need would travel with each of the lies
        if path.suffix in {".js", ".css", ".svg", ".png", ".gif", ".woff2", ".ttf", ".map"}:
            path.unlink()
    with forged(site, install_by_hand(site)) as running:
        yield running
    site.destroy()


@pytest.mark.timeout(900)
def test_every_attack_ends_as_a_failure_of_its_own_job(attacked: Product, front: Forged, tmp_path: Path) -> None:
    secret = Secret(tmp_path / "vault.key")
    pids = {name: attacked.pid(name) for name in ("gateway", "status", "cloner", "restorer")}
    before = _outside(attacked)
    attacks = {name: Lies(forge) for name, forge in inputs.table(str(secret.path)).items()}
    attacks |= {name: Lies(raw=raw) for name, raw in pages.table().items()}
    jobs = {}
    for name, lies in attacks.items():
        body = {"source_url": front.twin(lies), "pairing_key": front.pairing}
        answer = attacked.http.post("/clone", json=body)
        assert answer.status_code == 202, f"{name}: {answer.text}"
        jobs[name] = answer.json()["job_id"]
    honest = attacked.http.post("/clone", json={"source_url": front.url, "pairing_key": front.pairing}).json()["job_id"]

    wrong = []
    for name, job_id in jobs.items():
        job = attacked.wait(job_id, timeout=900)
        error = job["error"] or {}
        if error.get("code") in UNTYPED:
            wrong.append(f"{name}: {error['code']}: {error['message']}")
        if job["status"] == "failed" and (left := leftovers(attacked, job_id)):
            wrong.append(f"{name}: left behind {left}")
        if CONTROLS.search(str(error.get("message", "")) + str(job["message"])):
            wrong.append(f"{name}: control characters in {error.get('message')!r}")
        if harm := secret.harm():
            wrong.append(f"{name} (or one before): the secret's {', '.join(harm)}")
            secret = Secret(secret.path)
    assert not wrong, "\n".join(wrong)
    assert len(jobs) >= 60
    assert attacked.wait(honest, timeout=300)["status"] == "completed", "an honest clone in the middle of it"
    assert {name: attacked.pid(name) for name in pids} == pids, "no service of ours died"
    assert peak(attacked.pid("cloner")) < MEMORY, "the worker itself reads nothing of what a site sends"
    assert _outside(attacked) == before
    assert not Path("/tmp/owned").exists()


def test_our_own_servers_are_no_sources(attacked: Product) -> None:
    """Not under any address; a gateway without keys would obey."""
    run = json.loads((attacked.state / "run.json").read_text())
    ports = {urlsplit(url).port for url in (*run["services"].values(), run["nats_url"], run["edge_url"])}
    assert len(ports) >= 6
    for host, port in itertools.product(("127.0.0.1", "localhost", "shop.localhost"), ports):
        answer = attacked.http.post(
            "/clone", json={"source_url": f"http://{host}:{port}", "username": "u", "password": "p"}
        )
        job = attacked.wait(answer.json()["job_id"], timeout=120)
        assert (job["error"] or {}).get("code") == "address_refused", (host, port, job)


def peak(pid: int) -> int:
    """The most bytes a process ever held in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _outside(attacked: Product) -> list[str]:
    """Accounts, databases and files of the product that no clone owns."""
    with connect(attacked) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT user FROM mysql.user WHERE user NOT LIKE 'sf\\_%'")
        found = [f"user {row[0].decode()}" for row in cursor.fetchall()]
        cursor.execute("SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT LIKE 'sf\\_%'")
        found += [f"database {row[0].decode()}" for row in cursor.fetchall()]
    found += [path.name for path in attacked.state.iterdir()]
    return sorted(found)
