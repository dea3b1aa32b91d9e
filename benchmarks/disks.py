"""The same measurement on this disk and, as root, on one whose files can share blocks: a loop-mounted XFS."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.product import Product

DISK = 8 << 30
"""Bytes the XFS may have; its file is sparse."""

Measure = Callable[[Path], dict[str, Any]]


def on_both(here: Measure, on_xfs: Measure | None = None) -> dict[str, Any]:
    """What a measurement gives in a directory of each file system; keys of the XFS begin with `reflink_`, and where
    there can be none they are missing and `skipped` says why. `on_xfs`: what is measured there, where it differs."""
    with tempfile.TemporaryDirectory(prefix="siteferry-bench-", dir="/tmp") as home:
        Path(home).chmod(0o711)
        found = here(Path(home))
    if shutil.which("mkfs.xfs") is None or os.geteuid() != 0:
        return found | {"skipped": "reflinks: no root, or no mkfs.xfs (package xfsprogs)"}
    try:
        with _xfs() as there:
            return found | {f"reflink_{name}": value for name, value in (on_xfs or here)(there).items()}
    except subprocess.CalledProcessError as error:
        return found | {"skipped": f"reflinks: {' '.join(error.cmd[:2])}: {(error.stderr or '').strip()[-200:]}"}


@contextmanager
def running(directory: Path, **settings: object) -> Iterator[Product]:
    """A product whose state is in that directory, with `SITEFERRY_…` of these names."""
    directory.mkdir(mode=0o755)
    environment = {f"SITEFERRY_{name.upper()}": str(value) for name, value in settings.items()}
    product = Product(directory, environment=environment)
    product.start()
    try:
        yield product
    finally:
        product.stop()


@contextmanager
def _xfs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="siteferry-xfs-", dir="/tmp") as home:
        Path(home).chmod(0o711)
        image, mount = Path(home) / "disk", Path(home) / "mount"
        with image.open("wb") as file:
            file.truncate(DISK)
        mount.mkdir()
        _do("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
        _do("mount", "-o", "loop", str(image), str(mount))
        try:
            mount.chmod(0o755)
            yield mount
        finally:
            _do("umount", str(mount))


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
