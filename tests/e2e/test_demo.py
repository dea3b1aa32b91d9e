"""The demo, as CI and people run it: one command from nothing to a checked clone, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)
def test_the_demo_makes_checks_and_removes_a_clone() -> None:
    command = [sys.executable, "-m", "demo", "--once", "--pictures", "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, stdin=subprocess.DEVNULL)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "All of it worked." in said
    assert "✗" not in said
