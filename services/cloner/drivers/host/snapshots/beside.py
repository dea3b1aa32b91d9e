"""Files and tables at the same time: one is Python's and the disk's work, the other the database's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Check = Callable[[], None]


class _Stopped(Exception):
    """Of a deed whose neighbour has failed."""


def side_by_side(check: Check, *deeds: Callable[[Check], None]) -> None:
    """Do all of these, each in a thread, and wait for all. Each is given a `check` to ask often.

    When one fails the others are stopped by their next check, and its error is raised once they have ended.
    """
    failed = threading.Event()

    def checked() -> None:
        check()
        if failed.is_set():
            raise _Stopped

    def run(deed: Callable[[Check], None]) -> None:
        try:
            deed(checked)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(len(deeds), thread_name_prefix="snapshot") as pool:
        done = [pool.submit(run, deed) for deed in deeds]
    errors = [error for one in done if (error := one.exception()) is not None]
    errors.sort(key=lambda error: isinstance(error, _Stopped))
    if errors:
        raise errors[0]
