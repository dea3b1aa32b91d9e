"""Files a carrier has written for its worker."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 4 << 30


def opened(path: Path) -> BinaryIO:
    """A file a carrier wrote, to be handed on unread: no link, no pipe, not too large. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
        file.close()
        raise OSError(f"{path.name} is not what was written there")
    return file
