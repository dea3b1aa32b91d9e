"""Removing directories that strangers filled."""

from __future__ import annotations

import subprocess
from pathlib import Path


def remove_tree(path: Path) -> None:
    """Remove a directory that strangers filled, if it is there: `shutil.rmtree` recurses, and gives up below a thousand
    folders. Raises OSError with what could not be removed."""
    done = subprocess.run(["/bin/rm", "-rf", "--one-file-system", "--", path], capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip()[-500:])
