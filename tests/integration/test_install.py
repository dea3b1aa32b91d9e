"""The install script, on a clone of this repository: the second run finds nothing to do, and changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.house import place

ROOT = Path(__file__).parents[2]
SCRIPTS = ("scripts/install.sh", "scripts/base-system.sh", "scripts/try-on.sh", ".ci/run")


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def snapshot(folder: Path) -> dict[str, int]:
    """When each file was changed; byte code apart, which Python writes when it likes."""
    paths = (path for path in folder.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__")
    return {str(path): path.lstat().st_mtime_ns for path in paths if not path.is_dir()}


def copy_of_the_tree(target: Path) -> Path:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target / "scripts" / "install.sh"


def test_the_second_run_changes_nothing() -> None:
    with place() as home:
        script = copy_of_the_tree(home)
        first = run(script)
        assert first.returncode == 0, first.stdout + first.stderr
        assert "installing the Python environment" in first.stdout
        before = snapshot(home / ".venv")
        started = time.monotonic()
        second = run(script, PYTHON="/nowhere", PATH="/usr/bin:/bin")
        assert (second.returncode, second.stdout, second.stderr) == (0, "nothing to do\n", "")
        assert time.monotonic() - started < 5
        assert snapshot(home / ".venv") == before
        version = subprocess.run([home / ".venv/bin/siteferry", "version"], capture_output=True, text=True, cwd="/")
        assert version.returncode == 0, version.stderr
        (home / "requirements.lock").write_text((ROOT / "requirements.lock").read_text() + "# changed\n")
        third = run(script)
        assert (third.returncode, "installed" in third.stdout) == (0, True), third.stderr


def test_help_and_unknown_arguments() -> None:
    script = ROOT / "scripts" / "install.sh"
    said = run(script, "--help")
    assert (said.returncode, "scripts/install.sh --dev" in said.stdout) == (0, True)
    wrong = run(script, "--nonsense")
    assert (wrong.returncode, "unknown argument" in wrong.stderr) == (1, True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_has_nothing_to_say(name: str) -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: scripts/install.sh --dev")
    done = subprocess.run(["shellcheck", ROOT / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
