"""Tests once more under an account without rights, wherever Python and this checkout lie.

In a mount namespace of its own, folders that others may not enter (somebody's home) are replaced by open ones, in which
only Python, its packages and this checkout are found, under the names they had.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from siteferry.embedded.servers.base import make_directory

CHECKOUT = Path(__file__).parents[2]
NOBODY = "65534"


def shut_above(path: Path) -> Path | None:
    """The topmost folder on the way to a path that others may not enter."""
    folders = [*reversed(path.parents), path]
    return next((folder for folder in folders if folder.is_dir() and not folder.stat().st_mode & 0o001), None)


def opening(home: Path) -> str:
    """Shell commands that open the way to what tests need; nothing when it is open."""
    interpreter = Path(sys.executable).resolve()
    needed = [Path(sys.prefix), Path(sys.base_prefix), interpreter.parents[1], CHECKOUT]
    hidden = {path: shut for path in dict.fromkeys(needed) if (shut := shut_above(path))}
    hidden = {path: shut for path, shut in hidden.items() if not any(above in hidden for above in path.parents)}
    lines = ["set -e"]
    for number, path in enumerate(hidden):
        kept = make_directory(home / f"kept-{number}")
        lines.append(f"mount --bind {shlex.quote(str(path))} {kept}")
    for shut in dict.fromkeys(hidden.values()):
        lines.append(f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(shut))}")
    for number, path in enumerate(hidden):
        quoted = shlex.quote(str(path))
        lines += [f"mkdir -p {quoted}", f"mount --bind {home}/kept-{number} {quoted}"]
    return "\n".join(lines)


def run_again(file: str, home: Path, *, seconds: float = 280) -> str:
    """Run a test file but for its tests named `ordinary`, and return what pytest says. Raises AssertionError when one
    fails; skips where we are no root or may not mount."""
    if os.geteuid() != 0:
        pytest.skip("everything runs as an ordinary user already")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this root may not mount anything")
    make_directory(home / "tmp", mode=0o777)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR": str(home / "tmp"),
        "HOME": str(home / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    become = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", file, "-k", "not ordinary"]
    script = f"{opening(home)}\ncd {shlex.quote(str(CHECKOUT))}\nexec {shlex.join([*become, *pytest_])}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout
