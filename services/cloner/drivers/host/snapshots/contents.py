"""Bytes of files: reflinked where the file system can, else copied, and always with a checksum of what is there now.

Where blocks are not shared, small contents lie one behind the other in one file, the pack: WordPress has thousands of
them, and making a file costs more time than writing its bytes.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import BinaryIO
from zlib import crc32

from services.cloner.drivers.host.snapshots.manifest import Stored

FICLONE = 0x40049409
"""linux/fs.h: the other file's blocks, shared until one of the two is written."""
CHUNK = 1 << 20
SMALL = 64 << 10
"""Bytes of the largest content in a pack."""
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

    def pack(self, source: int, size: int, pack: BinaryIO) -> Stored:
        """The first `size` bytes of `source`, or what there is of them, to the end of the pack."""
        self._check()
        data = os.read(source, size)
        pack.write(data)
        return Stored(len(data), crc32(data))

    def unpack(self, pack: int, offset: int, size: int, made: int) -> Stored:
        """`size` bytes of the pack into the empty file `made`; what is there afterwards."""
        self._check()
        data = os.pread(pack, size, offset)
        written(made, data)
        return Stored(len(data), crc32(data))

    def _through(self, source: int, made: int | None) -> Stored:
        size = crc = 0
        while chunk := os.read(source, CHUNK):
            crc = crc32(chunk, crc)
            size += len(chunk)
            if made is not None:
                written(made, chunk)
            if len(chunk) == CHUNK:
                self._check()
        return Stored(size, crc)


def written(made: int, data: bytes) -> None:
    """Write all of it. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(made, view) :]
