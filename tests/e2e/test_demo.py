"""The demo, as CI and people run it: one command from nothing to a checked clone, and nothing left behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.house import place

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
def test_the_demo_makes_checks_and_removes_a_clone() -> None:
    command = [sys.executable, "-m", "demo", "--once", "--pictures", "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, stdin=subprocess.DEVNULL)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "All of it worked." in said
    assert "✗" not in said


@pytest.mark.timeout(400)
def test_the_demo_for_a_person_opens_browsers_names_commands_that_work_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """Into a pipe of 80 columns, with a display, and Ctrl-C as a terminal sends it: to make and all it started."""
    opened, said = tmp_path / "opened", tmp_path / "said"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >>{shlex.quote(str(opened))}\n')
    browser.chmod(0o755)
    with place() as home, open(said, "wb") as log:
        state = home / "a-directory-whose-name-is-long-enough-for-two-lines-of-eighty-columns" / "state"
        state.mkdir(parents=True)
        state.parent.chmod(0o711)
        arguments = f"--state {shlex.quote(str(state))} --pictures 2"
        demo = subprocess.Popen(
            ["make", "--no-print-directory", "demo", f"ARGS={arguments}"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "DISPLAY": ":99", "BROWSER": str(browser), "COLUMNS": "80"},
        )  # fmt: skip
        try:
            _wait_for(lambda: "Ctrl-C stops" in said.read_text() or demo.poll() is not None, 300)
            assert demo.poll() is None, said.read_text()
            command = re.search(r"^ *(.*siteferry --state .* clones)$", said.read_text(), re.MULTILINE)
            assert command, said.read_text()
            listed = subprocess.run(["sh", "-c", command[1]], cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert (listed.returncode, "clone-" in listed.stdout) == (0, True), listed.stderr
            _wait_for(lambda: opened.exists() and len(opened.read_text().split()) == 2, 30)
            shown = opened.read_text()
            assert re.fullmatch(r"http://localhost:\d+/\nhttp://clone-\w+\.localhost:\d+/\n", shown)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGINT)
            demo.wait(90)
    assert "Stopped." in said.read_text()
    assert "Error" not in said.read_text()


def _wait_for(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
