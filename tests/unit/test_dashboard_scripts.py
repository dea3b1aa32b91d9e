"""The dashboard's pure scripts, run by Node's own test runner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_resume_and_format_rules_hold() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed; it is needed by this test only")
    done = subprocess.run(
        [node, "--test", "tests/unit/dashboard.test.mjs"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout
