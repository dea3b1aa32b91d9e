"""Bytes of files: reflinked where the file system can, else copied, and always with a checksum of what is there now."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from zlib import crc32

from services.cloner.drivers.host.snapshots.manifest import Stored

FICLONE = 0x40049409
"""linux/fs.h: the other file's blocks, shared until one of the two is written."""
CHUNK = 1 << 20
CAN_NOT = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.EPERM})


class Copier:
    """Copies contents between descriptors. Not for concurrent use."""

    def __init__(self, check: Callable[[], None]) -> None:
        """`check` raises to stop."""
        self._check = check
        self.reflinks: bool | None = None
        """Whether blocks are shared; None until the first file that is not empty."""

    def copy(self, source: int, made: int) -> Stored:
        """Everything of `source` into the empty file `made`, which may be read; what is there afterwards."""
        self._check()
        if self.reflinks is not False and os.fstat(source).st_size:
            try:
                fcntl.ioctl(made, FICLONE, source)
            except OSError as error:
                if error.errno not in CAN_NOT:
                    raise
                self.reflinks = False
            else:
                self.reflinks = True
                os.lseek(made, 0, os.SEEK_SET)
                return self._through(made, None)
        return self._through(source, made)

    def _through(self, source: int, made: int | None) -> Stored:
        size = crc = 0
        while chunk := os.read(source, CHUNK):
            crc = crc32(chunk, crc)
            size += len(chunk)
            if made is not None:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(made, view) :]
            if len(chunk) == CHUNK:
                self._check()
        return Stored(size, crc)
