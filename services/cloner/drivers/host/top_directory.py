"""Directories whose subdirectories have nothing to do with one another, said to the file system (`chattr +T`).

ext4 puts a new directory near its parent, and files into their directory's group of inodes. Where trees come and go
below one directory, all of them share a group, and ext4 searches it past every inode that was freed in the last
minutes: making a file then costs 0.3 ms of CPU instead of 0.03 (3,000 files: 1.0 s against 0.09, measured on Linux
6.18). Below a "top directory" it puts each tree where most is free.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS, linux/fs.h, where a long has 8 bytes
SET_FLAGS = 0x40086602  # FS_IOC_SETFLAGS
TOP_DIRECTORY = 0x00020000  # FS_TOPDIR_FL


def is_top_directory(directory: Path) -> bool:
    """Whether the file system takes the directory for one. Raises OSError where it knows no such thing."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return bool(_flags(descriptor) & TOP_DIRECTORY)
    finally:
        os.close(descriptor)


def make_top_directory(directory: Path) -> bool:
    """Ask the file system to take an existing directory for one; False where it can not or we may not."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flags = _flags(descriptor)
            if not flags & TOP_DIRECTORY:
                fcntl.ioctl(descriptor, SET_FLAGS, struct.pack("l", flags | TOP_DIRECTORY))
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _flags(descriptor: int) -> int:
    # The kernel writes an int whatever the number of the call says.
    answer: bytes = fcntl.ioctl(descriptor, GET_FLAGS, bytes(8))
    return int(struct.unpack_from("i", answer)[0])
