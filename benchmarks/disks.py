"""The same measurement on this disk and, as root, on one whose files can share blocks: a loop-mounted XFS."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siteferry.embedded.servers.base import shared_temporary
from tests.e2e.product import Product
from tests.xfs import NoXfs, mounted_xfs

Measure = Callable[[Path], dict[str, Any]]


def on_both(here: Measure, on_xfs: Measure | None = None) -> dict[str, Any]:
    """What a measurement gives in a directory of each file system; keys of the XFS begin with `reflink_`, and where
    there can be none they are missing and `skipped` says why. `on_xfs`: what is measured there, where it differs."""
    with tempfile.TemporaryDirectory(prefix="siteferry-bench-", dir=shared_temporary()) as home:
        Path(home).chmod(0o711)
        found = here(Path(home))
    try:
        with mounted_xfs() as there:
            return found | {f"reflink_{name}": value for name, value in (on_xfs or here)(there).items()}
    except NoXfs as error:
        return found | {"skipped": f"reflinks: {error}"}


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
