"""While one tenant's sites attack, another tenant's clone takes no longer than twice its usual time.

Both are measured in turns on one running product, so that a busy machine is busy for both.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.product import KEEPING, Product, product
from tests.e2e.test_ways_in import install_by_hand
from tests.hostile import inputs, pages
from tests.hostile.forged import NAME, Forged, Lies, forged
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

pytestmark = pytest.mark.timeout(900)
ALICE, MALLORY = "alice-0123456789abcdef", "mallory-0123456789abcdef"
ATTACKS = (
    "frames packed bomb",
    "frames large JSON",
    "frames files that never end",
    "frames count that never ends",
    "frames deep",
    "rows cursor that never ends",
    "ddl nested",
)
"""Those that take time, memory or a connection of ours and cost their sender little: it works on this machine, too."""
PAGES = ("page packed", "page endless", "page nested", "page of entities", "header endless")
AT_ONCE = 10
"""Unfinished jobs of the attacker, all the while."""
LOOPS = 6
"""Requests to the attacker's own clone that never end by themselves."""
FEWEST, MOST = 3, 9
"""Pairs of clones, alone and beside attackers: as many as it takes until the machine's other work averages out."""
TWICE = 2.0
LOOP = """<?php
set_time_limit(0);
while (is_file(__DIR__ . "/loop")) {
    md5(str_repeat("x", 1 << 20));
    clearstatcache();
}
"""
SETTINGS = {"SITEFERRY_STALL_MINUTES": "0.5", "SITEFERRY_RATE_LIMIT_PER_MINUTE": "0"}


@pytest.fixture(scope="module")
def front(farm: SourceFarm) -> Iterator[Forged]:
    site = farm.create(SiteSpec(NAME, content="bare"))
    with forged(site, install_by_hand(site)) as running:
        running.remember = True
        yield running
    site.destroy()


@pytest.fixture(scope="module")
def honest(farm: SourceFarm) -> Iterator[Forged]:
    """Alice's site: nobody stands before it."""
    site = farm.create(SiteSpec("alice", content="bare"))
    yield Forged(site, install_by_hand(site))
    site.destroy()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A Siteferry of two tenants."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    lines = (f"{key.partition('-')[0]}:{hashlib.sha256(key.encode()).hexdigest()}\n" for key in (ALICE, MALLORY))
    keys.write_text("".join(lines))
    with product(environment=SETTINGS | KEEPING | {"SITEFERRY_API_KEYS_FILE": str(keys)}) as running:
        yield running


@contextmanager
def standing_behind() -> Iterator[None]:
    """The attackers' own machines are not ours: what they do in this process takes nothing from the product."""
    _stand(19)
    try:
        yield
    finally:
        _stand(0)


def _stand(nice: int) -> None:
    with suppress(PermissionError):  # to come forward again takes root
        for thread in os.listdir("/proc/self/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), nice)
    with suppress(OSError):  # those of another session than the product's
        Path("/proc/self/autogroup").write_text(str(nice))


class Tenant:
    """Somebody with a key."""

    def __init__(self, shared: Product, key: str) -> None:
        headers = {"Host": f"localhost:{shared.port}", "Authorization": f"Bearer {key}"}
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{shared.port}", headers=headers, timeout=60)

    def submit(self, front: Forged, url: str) -> str:
        answer = self.http.post("/clone", json={"source_url": url, "pairing_key": front.pairing})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/jobs/{job_id}").json()
        return found

    def clone(self, front: Forged, *, timeout: float = 240) -> tuple[str, float]:
        """An honest clone: its id, and the seconds from the wish to the end."""
        begun = time.monotonic()
        job_id = self.submit(front, front.site.url)
        while (job := self.job(job_id))["status"] not in {"completed", "failed", "cancelled"}:
            assert time.monotonic() - begun < timeout, job
            time.sleep(0.05)
        assert job["status"] == "completed", job["error"]
        return job_id, time.monotonic() - begun


def test_a_clone_beside_attackers_takes_no_longer_than_twice_its_time(
    shared: Product, front: Forged, honest: Forged
) -> None:
    alice, mallory = Tenant(shared, ALICE), Tenant(shared, MALLORY)
    looping, _ = mallory.clone(honest)  # also warms everything up
    page = shared.directory(looping) / "site" / "loop.php"
    page.write_text(LOOP)
    page.chmod(0o644)
    attack = Attack(shared, mallory, front, looping, page.with_name("loop"))
    alone, beside = [], []
    while len(beside) < FEWEST or (len(beside) < MOST and ratio(alone, beside) > TWICE):
        alone.append(alice.clone(honest)[1])
        with standing_behind(), attack:
            beside.append(alice.clone(honest)[1])
            assert attack.unfinished, "there was somebody to suffer from"
    for tenant in (alice, mallory):
        tenant.http.close()
    told = f"alone {_seconds(alone)}, beside attackers {_seconds(beside)}: {ratio(alone, beside):.2f}"
    print(told)
    assert ratio(alone, beside) <= TWICE, told


def ratio(alone: list[float], beside: list[float]) -> float:
    """How many times as long a clone takes beside attackers, by its neighbour in time."""
    return statistics.median(there / here for here, there in zip(alone, beside, strict=True))


def _seconds(times: list[float]) -> str:
    return ", ".join(f"{seconds:.1f}" for seconds in times)


class Attack:
    """While entered, hostile jobs of one tenant run and wait, and its clone is busy."""

    def __init__(self, shared: Product, mallory: Tenant, front: Forged, looping: str, loop: Path) -> None:
        """`loop`: the file that keeps the endless requests of the clone `looping` going."""
        forgeries, answers = inputs.table("/nowhere/vault.key"), pages.table()
        self._lies = [Lies(forgeries[name]) for name in ATTACKS] + [Lies(raw=answers[name]) for name in PAGES]
        self._shared, self._mallory, self._front, self._looping = shared, mallory, front, looping
        self._loop = loop
        self._number = 0
        self.unfinished: list[str] = []

    def __enter__(self) -> None:
        self._over = threading.Event()
        self._loop.touch()
        self._threads = ThreadPoolExecutor(1 + LOOPS)
        self._working = [self._threads.submit(self._submit), *(self._threads.submit(self._spin) for _ in range(LOOPS))]
        deadline = time.monotonic() + 60
        while len(self.unfinished) < AT_ONCE:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._loop.unlink()
        for thread in self._working:
            thread.result(60)
        self._threads.shutdown()
        for job_id in self.unfinished:
            self._mallory.http.post(f"/jobs/{job_id}/cancel")
        deadline = time.monotonic() + 90
        while any(self._is_open(job_id) for job_id in self.unfinished):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def _is_open(self, job_id: str) -> bool:
        return self._mallory.job(job_id)["status"] not in {"completed", "failed", "cancelled"}

    def _submit(self) -> None:
        while not self._over.is_set():
            self.unfinished = [job_id for job_id in self.unfinished if self._is_open(job_id)]
            while len(self.unfinished) < AT_ONCE:
                lies = self._lies[self._number % len(self._lies)]
                self.unfinished.append(self._mallory.submit(self._front, self._front.twin(lies)))
                self._number += 1
            self._over.wait(0.5)

    def _spin(self) -> None:
        host = {"Host": f"{self._looping}.localhost:{self._shared.port}"}
        while not self._over.is_set():
            try:
                httpx2.get(f"http://127.0.0.1:{self._shared.port}/loop.php", headers=host, timeout=3)
            except httpx2.TransportError:
                self._over.wait(0.05)
