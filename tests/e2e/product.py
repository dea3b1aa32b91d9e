"""The whole product on this machine, as `siteferry up` starts it, with a REST client beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from siteferry.embedded.servers import free_port
from tests.sites.site import Site

START = """
import asyncio, signal, sys
from pathlib import Path
from shared.engine.carriers.confine import PR_SET_PDEATHSIG, prctl
prctl(PR_SET_PDEATHSIG, signal.SIGINT)  # tests that are killed take it with them
from siteferry.embedded.up import Options, up
sys.exit(asyncio.run(up(Path(sys.argv[1]), Options(port=int(sys.argv[2])))))
"""
WHOLE = {"SITEFERRY_IMAGE_HOURS": "0", "SITEFERRY_RESETS": "false"}
"""A clone copies its source whole, and no second time for resets: what most tests look at costs no more."""
KEEPING = {"SITEFERRY_RESETS": "true"}
"""As it is by default. For tests of resets, and where workers are killed at any moment."""
TERMINAL = frozenset({"completed", "failed", "cancelled"})


class Product:
    """A running Siteferry. `environment` reaches its services (SITEFERRY_… settings)."""

    def __init__(self, directory: Path, *, environment: dict[str, str] | None = None) -> None:
        self.state = directory
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environment = WHOLE | (environment or {})
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"Host": f"localhost:{self.port}"})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the gateway is ready. Raises AssertionError with the log's end."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(self.state), str(self.port)],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            assert self._process.poll() is None, f"siteferry up ended\n{self.log()[-4000:]}"
            assert time.monotonic() < deadline, f"not ready in time\n{self.log()[-4000:]}"
            time.sleep(0.1)

    def stop(self) -> int:
        """Stop as Ctrl-C would; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(90)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise AssertionError(f"siteferry up did not stop in time\n{self.log()[-6000:]}") from None
        refused = [line for line in self.log().splitlines() if "Violation" in line]
        assert not refused, f"a service wanted more of NATS than it may: {refused[:20]}"
        return code

    def log(self) -> str:
        """The merged log so far."""
        path = self.state / "siteferry.log"
        return path.read_text(errors="replace") if path.exists() else "(no log)"

    def pid(self, service: str) -> int:
        """Process id of one service."""
        return self.pids()[service]

    def pids(self) -> dict[str, int]:
        """Process ids of all parts that live."""
        return dict(json.loads((self.state / "run.json").read_text())["pids"])

    def reachable(self) -> bool:
        """Whether the edge answers: a host name that only the edge itself knows nothing of."""
        try:
            return self.http.get("/", headers={"Host": f"nobody.localhost:{self.port}"}).status_code > 0
        except httpx2.TransportError:
            return False

    def submit(self, site: Site, **more: Any) -> str:
        """Ask for a clone of a farm site; the job id."""
        body = {"source_url": site.url, "username": site.username, "password": site.password, **more}
        answer = self.http.post("/clone", json=body)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it; while gateway, edge or NATS are just away, it is asked for again."""
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = self.http.get(f"/jobs/{job_id}")
            except httpx2.TransportError:
                assert time.monotonic() < deadline, "the edge stays away"
            else:
                if answer.status_code < 500 or time.monotonic() > deadline:
                    break
            time.sleep(0.2)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def wait(self, job_id: str, *, timeout: float = 120) -> dict[str, Any]:
        """The job once it has ended."""
        deadline = time.monotonic() + timeout
        while (job := self.job(job_id))["status"] not in TERMINAL:
            assert time.monotonic() < deadline, f"{job}\n{self.log()[-6000:]}"
            time.sleep(0.25)  # each look costs the machine as much as a hundredth of a clone
        return job

    def clone(self, site: Site, *, timeout: float = 120, **more: Any) -> dict[str, Any]:
        """A completed clone's job."""
        job = self.wait(self.submit(site, **more), timeout=timeout)
        assert job["status"] == "completed", f"{job}\n{self.log()[-6000:]}"
        return job

    def directory(self, clone_id: str) -> Path:
        """Where a clone's files are."""
        return self.state / "clones" / clone_id


@contextmanager
def product(*, environment: dict[str, str] | None = None, far: str = "") -> Iterator[Product]:
    """A Siteferry of its own, gone afterwards with everything it made. `far`: where sites on `localhost` are for it."""
    directory = Path(tempfile.mkdtemp(prefix="siteferry-up-"))
    directory.chmod(0o711)
    running = Product(directory, environment=environment)
    if far:
        running.environment["SITEFERRY_LOCALHOST"] = f"{running.port}=127.0.0.1,*={far}"
    try:
        running.start()
        yield running
    finally:
        try:
            running.stop()
        finally:
            running.http.close()
            subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=False)  # deeper than Python goes
