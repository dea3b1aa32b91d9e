"""Who stands behind whom when processors are short."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

WORK = 5
"""Nice of what carries out jobs and of clones' cells: services answer first. A step of nice is a quarter of a share."""
A_PLACE = 3
"""Between two jobs of one tenant: half a share. All further jobs of a tenant together weigh no more than its first."""
LAST = 14
HOG = 15
"""A cell that keeps a processor busy, for as long as it does."""
_TRIES, _PAUSE = 5, 0.05
"""For sessions: the kernel lets ordinary users say it ten times a second."""


def of_job(place: int) -> int:
    """Nice of a tenant's job at a place, from 0, among those it has running. Pure."""
    return min(LAST, WORK + A_PLACE * place)


def stand(nice: int) -> None:
    """This process, which leads its session, stands there from now on.

    Where the kernel groups sessions, nice counts between processes of one session only, and sessions have a number of
    their own (sched(7), "The autogroup feature").
    """
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    for _ in range(_TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(nice))
            return
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:
            return


def behind(nice: int) -> tuple[str, ...]:
    """The beginning of a command that runs there, but for its session. Pure."""
    return ("nice", "-n", str(nice))


def put(processes: list[int], nice: int) -> None:
    """The same for others, as far as we may: an ordinary user's processes come forward again by their sessions only."""
    for process in processes:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process, nice)
        with suppress(OSError):
            if os.getsid(process) != os.getsid(0):
                Path(f"/proc/{process}/autogroup").write_text(str(nice))
