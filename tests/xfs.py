"""A file system whose files can share blocks: XFS in a file, mounted where we are root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 8 << 30
"""Bytes it may have; its file is sparse."""


class NoXfs(Exception):
    """There can be none here; the text says why."""


@contextmanager
def mounted_xfs(size: int = SIZE) -> Iterator[Path]:
    """A directory on a fresh one, which everybody may pass through. Raises NoXfs."""
    if shutil.which("mkfs.xfs") is None or os.geteuid() != 0:
        raise NoXfs("no root, or no mkfs.xfs (package xfsprogs)")
    with tempfile.TemporaryDirectory(prefix="siteferry-xfs-", dir="/tmp") as home:
        Path(home).chmod(0o711)
        image, mount = Path(home) / "disk", Path(home) / "mount"
        with image.open("wb") as file:
            file.truncate(size)
        mount.mkdir()
        _do("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
        _do("mount", "-o", "loop", str(image), str(mount))
        try:
            mount.chmod(0o755)
            yield mount
        finally:
            subprocess.run(["umount", str(mount)], check=True)


def _do(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise NoXfs(f"{' '.join(error.cmd[:2])}: {error.stderr.strip()[-200:]}") from error
