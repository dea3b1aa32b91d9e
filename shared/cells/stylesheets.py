"""Stylesheets among a clone's uploads, where page builders write absolute addresses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

LARGEST = 4 * 1024 * 1024
"""Bytes of a stylesheet that is looked at."""


def stylesheets(site: bytes, uploads: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Path below `uploads` and content of each; `uploads` is relative to the document root `site`. What a link leads to
    outside of that is not there."""
    top, root = os.path.join(site, uploads), os.path.realpath(site) + b"/"
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(b".css") and os.path.realpath(path).startswith(root):
                text = _read(path)
                if text is not None:
                    yield os.path.relpath(path, top), text


def _read(path: bytes) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
            return None
        return file.read(LARGEST)
