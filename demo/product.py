"""Siteferry as a person at a terminal uses it: the command line, in processes of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from siteferry.embedded.instance import running_instance
from siteferry.embedded.servers import ServerError
from tests.sites.http import client

COMMAND = [sys.executable, "-c", "from siteferry.cli import main; main()"]
READY_TIMEOUT = 90.0
STOP_TIMEOUT = 60.0


class Product:
    """`siteferry up` with a state directory of its own, and the commands against it. Context manager."""

    def __init__(self, state: Path, *, port: int) -> None:
        self.state, self.port = state, port
        self.url = ""
        self.output = state.parent / "siteferry-up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Product:
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o711)
        with open(self.output, "ab") as log:
            # A session of its own: Ctrl-C is for us, and we stop it in order.
            self._process = subprocess.Popen(
                [*COMMAND, "--state", str(self.state), "up", "--port", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            if (instance := running_instance(self.state)) and self._answers(instance.edge_url):
                self.url = instance.edge_url.rstrip("/")
                return
            time.sleep(0.1)
        tail = self.output.read_bytes()[-3000:].decode(errors="replace")
        raise ServerError(f"siteferry up did not become ready. Its last words:\n{tail}")

    @staticmethod
    def _answers(url: str) -> bool:
        with client(timeout=2) as http:
            try:
                return http.get(f"{url}/readyz").status_code == 200
            except OSError:
                return False
            except Exception as error:
                if type(error).__module__.startswith("httpx2"):  # not listening yet, or in the middle of starting
                    return False
                raise

    def stop(self) -> int:
        """Ask it to stop, as Ctrl-C does, and wait. Returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def run(self, *arguments: str, secret: str | None = None) -> int:
        """One command whose output the person sees. `secret` goes to its standard input. Returns the exit code."""
        stdin = secret.encode() + b"\n" if secret is not None else b""
        return subprocess.run([*COMMAND, "--state", str(self.state), *arguments], input=stdin).returncode

    def ask(self, *arguments: str) -> Any:
        """One command with --json; what it answered. Raises `CalledProcessError`."""
        command = [*COMMAND, "--state", str(self.state), *arguments, "--json"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def clone(self, url: str, username: str, password: str) -> tuple[int, dict[str, Any] | None]:
        """Clone with the live bar. Returns the command's exit code and the job, None when there is none."""
        code = self.run("clone", url, "--username", username, "--password-stdin", "--watch", secret=password)
        jobs = self.ask("jobs", "--limit", "1")["jobs"]
        return code, self.ask("job", jobs[0]["job_id"]) if code == 0 and jobs else None
