"""System accounts of clones: numbers without names, one for each clone, remembered by who owns its document root."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.cells.isolation import accounts
from shared.wordpress.transfer.files import Owner

LOCK = ".accounts.lock"


def owner_of(clone: Path) -> Owner | None:
    """The account a clone has, None when it has none yet or when we are not root."""
    if os.geteuid() != 0:
        return None
    with suppress(OSError):
        facts = os.lstat(clone / "site")
        return Owner(facts.st_uid, facts.st_gid) if facts.st_uid else None
    return None


@contextmanager
def accounts_of(clones: Path) -> Iterator[Callable[[], Owner | None]]:
    """While nobody else makes a clone's place: hands out accounts that no clone has; None for all when we are not
    root."""
    descriptor = os.open(clones / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield lambda: _free(clones) if os.geteuid() == 0 else None
    finally:
        os.close(descriptor)


def _free(clones: Path) -> Owner:
    """Any that is free, not the next one: files that a deleted clone might have left belong to nobody for long."""
    first, count = accounts()
    taken = {owner.uid for clone in clones.iterdir() if (owner := owner_of(clone))}
    for _ in range(10 * count):
        number = first + secrets.randbelow(count)
        if number not in taken:
            return Owner(number, number)
    raise OSError("every account for clones is taken")
