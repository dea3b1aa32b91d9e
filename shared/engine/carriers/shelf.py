"""What the carriers of one job hand one another, past the worker, which does not look at it.

A file without a name, in memory, whose size was settled when it was made. One text at a time: its length, then its
bytes, written only when all of them are there.
"""

from __future__ import annotations

import fcntl
import os

SIZE = 64 << 20
LENGTH = 8


class Shelf:
    """Room for one value of at most `SIZE` bytes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def make(cls) -> Shelf:
        """A new one, empty; nobody can make it larger. Costs memory only for what is put there."""
        descriptor = os.memfd_create("shelf", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, SIZE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return cls(descriptor)

    def put(self, value: bytes) -> bool:
        """Keep a value in place of any other; False when it is too large to be kept."""
        if len(value) + LENGTH > SIZE:
            return False
        os.pwrite(self.descriptor, bytes(LENGTH), 0)
        view, place = memoryview(value), LENGTH
        while view:
            done = os.pwrite(self.descriptor, view, place)
            view, place = view[done:], place + done
        os.pwrite(self.descriptor, len(value).to_bytes(LENGTH, "big"), 0)
        return True

    def get(self) -> bytes | None:
        """What was put here last; None: nothing."""
        size = int.from_bytes(os.pread(self.descriptor, LENGTH, 0), "big")
        if not 0 < size <= SIZE - LENGTH:
            return None
        parts, place = bytearray(), LENGTH
        while len(parts) < size:
            part = os.pread(self.descriptor, size - len(parts), place + len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
