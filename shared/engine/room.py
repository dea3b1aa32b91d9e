"""Room for what jobs make and what stays when they have ended: clones. A job that finds none waits for its turn.

The engine asks before a job begins, so that nobody waits with half a copy. Whoever makes the place has the last word
and raises `NoRoom`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class NoRoom(Exception):
    """Every place for a clone is taken: the job waits for one to go."""


class NoSpace(NoRoom):
    """What is free on the disk is needed by jobs that are writing: the job waits until they have ended."""


@dataclass(frozen=True)
class Places:
    """How many may exist at the same time, and the ids of what exists."""

    limit: int
    taken: frozenset[str]


class Room(Protocol):
    """Looks at the places there are. Blocking."""

    def places(self) -> Places | None:
        """What is taken, of how many; None without a limit. May raise what a step may raise."""
