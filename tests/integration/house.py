"""Helpers of the tests of servers and supervisor."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from siteferry.embedded.servers.base import shared_temporary

T = TypeVar("T")


@contextmanager
def place() -> Iterator[Path]:
    """A directory that www-data and mysql may pass through, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="siteferry-", dir=shared_temporary()))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def eventually(check: Callable[[], T], *, timeout: float = 10.0, what: str = "it") -> T:
    """The first true answer of `check`; AssertionError when none comes in time."""
    deadline = time.monotonic() + timeout
    while not (answer := check()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.02)
    return answer


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def members(*groups: int) -> list[int]:
    """Living processes of these process groups."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and alive(int(process.name)):
            try:
                if os.getpgid(int(process.name)) in groups:
                    found.append(int(process.name))
            except ProcessLookupError:
                continue
    return found
