"""Cells that keep a processor busy stand behind everything else, for as long as they do."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared import turns

log = logging.getLogger(__name__)

BUSY = 0.4
"""Processors used: a page is made in a tenth of a second, and nobody looks at so many one after the other."""
LOOKS = 2
"""In a row, before it counts: what a job asks of its own clone is over by then."""
FORGOTTEN = 60.0
"""Seconds after which it may come forward again. Behind others it gets little, and looks calm."""


@dataclass
class Busy:
    """What one cell has used, as of the last look."""

    behind: bool = False
    _used: float = 0.0
    _at: float = 0.0
    _looks: int = 0
    _until: float = 0.0

    def look(self, clone_id: str, first: int) -> None:
        """Put the cell whose processes come from `first` to where it belongs; every few seconds."""
        tree = family(first)
        now, used = time.monotonic(), sum(map(seconds, tree))
        share = (used - self._used) / (now - self._at)
        self._at, self._used = now, used
        self._looks = self._looks + 1 if share >= BUSY else 0
        if self._looks >= LOOKS:
            self._until = now + FORGOTTEN
        if self.behind != (now < self._until):
            self.behind = not self.behind
            turns.put(tree, turns.HOG if self.behind else turns.WORK)
            log.info("%s %s", clone_id, "keeps a processor busy: others go first" if self.behind else "is calm again")


def family(first: int) -> list[int]:
    """A process and what it has started, as far as it still lives."""
    found = [first]
    for process in found:
        with suppress(OSError, ValueError):
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
            found += map(int, children.split())
    return found


def seconds(process: int) -> float:
    """Processor time of a process and of its children that have ended (proc_pid_stat(5), utime to cstime)."""
    with suppress(OSError, ValueError):
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0
