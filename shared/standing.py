"""How the parts of one machine's Siteferry stand: a file that whoever keeps them running writes, and services read.

It tells at once what no probe of ours could: that a part was started anew since we last looked.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.engine.parts import Sight

FILE = "parts.json"
STOPPED = frozenset("ZXTt")
"""States of a process that does nothing: dead, or stopped by a signal."""
EXITING = 0x4
"""PF_EXITING of Linux: set before a killed process's sockets are closed, so before anybody can notice its death."""


@dataclass(frozen=True)
class Standing:
    """One part, as its keeper knows it."""

    pid: int | None
    starts: int
    """Counts its processes."""
    ready: bool
    """It answers."""
    needed: bool
    """A job can need it: a server, not one of our services."""
    problem: str = ""
    """What is wrong with a part that runs, in words."""


def serialised(parts: dict[str, Standing]) -> str:
    """The file's text."""
    return json.dumps({name: asdict(part) for name, part in parts.items()}) + "\n"


def read(file: Path) -> dict[str, Standing]:
    """What the file says; nothing when there is none, or none that we can read."""
    try:
        known = json.loads(file.read_text())
        return {name: Standing(**facts) for name, facts in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


class StandingParts:
    """The parts a job can need, by the keeper's file. A process that died is seen before its keeper has written it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def look(self, job_id: str) -> Sight:
        """Every part's generation."""
        return {name: _generation(part) for name, part in read(self._file).items() if part.needed}


def problems(file: Path) -> list[str]:
    """What the keeper says is wrong, one sentence each."""
    return [f"{name}: {part.problem}" for name, part in read(file).items() if part.problem]


def _generation(part: Standing) -> str | None:
    if not part.ready or part.pid is None or not works(part.pid):
        return None
    return f"{part.pid}.{part.starts}"


def works(pid: int) -> bool:
    """Whether the process exists and is neither dead, nor dying, nor stopped (proc_pid_stat(5))."""
    try:
        state, *_, flags = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:7]
    except (OSError, ValueError):
        return False
    return state not in STOPPED and not int(flags) & EXITING
