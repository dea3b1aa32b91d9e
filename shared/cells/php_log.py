"""What PHP says went wrong on a clone, from the log it writes beside the clone's files. The site can forge the log."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

TAIL = 64 * 1024
"""Bytes of the log's end that are looked at."""
LONGEST = 400
FATAL = re.compile(r"PHP (?:Fatal error|Parse error|Recoverable fatal error): {1,3}([^\n]{1,2000})")


def last_error(log: Path) -> str:
    """The last error PHP stopped at, in one line without the clone's directories; "" when there is none."""
    return last_error_in(tail(log), str(log.parent / "site"))


def last_error_in(text: str, site: str) -> str:
    """The same in the end of a log; `site` is the clone's document root as its PHP knows it."""
    found = FATAL.findall(text)
    if not found:
        return ""
    line = found[-1].replace(f"{site}/", "")
    return "".join(char for char in line if char.isprintable())[:LONGEST].strip()


def tail(log: Path) -> str:
    """The end of the log in this directory, if it is a regular file; a link, a pipe or no file at all is empty."""
    try:
        descriptor = os.open(log / "php.log", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return ""
        file.seek(max(0, status.st_size - TAIL))
        return file.read(TAIL).decode("utf-8", "replace")
