"""What becomes of one row or file, given its digests on production, on the clone, and at the time of cloning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Why = Literal["production_only", "production_newer"]


class Act(Enum):
    """What is done to production's row."""

    NOTHING = "nothing"
    WRITE = "write"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lost`: production's own work goes with it, and why that is known."""

    act: Act
    lost: Why | None = None


SAME = Verdict(Act.NOTHING)
WRITE = Verdict(Act.WRITE)
REMOVE = Verdict(Act.REMOVE)


def row(target: bytes | None, clone: bytes | None, base: bytes | None, *, base_known: bool) -> Verdict:
    """A row of content: it becomes what it is on the clone. At least one of `target` and `clone` is given."""
    if target == clone:
        return SAME
    if target is None:
        return WRITE
    changed_there = base_known and base is not None and target != base
    if clone is None:
        if not base_known or base is None:
            return Verdict(Act.REMOVE, "production_only")
        return Verdict(Act.REMOVE, "production_newer") if changed_there else REMOVE
    if base_known and (changed_there or base is None):
        return Verdict(Act.WRITE, "production_newer")
    return WRITE


def setting(target: bytes | None, clone: bytes | None, base: bytes | None, *, base_known: bool) -> Verdict:
    """An option: what the clone did not touch stays production's, for plugins updated since keep their own there."""
    if target == clone:
        return SAME
    if clone is None:
        return REMOVE if base_known and base is not None and target == base else SAME
    if base_known and base is not None and clone == base:
        return SAME
    return WRITE


def file(
    target: str | None, clone: str | None, base: str | None, *, base_known: bool, never_came: bool = False
) -> Verdict:
    """A file: production's own stay unless the clone removed exactly what production still has. `never_came`: the
    clone began without it, so what it has under this name is another one, and production's stays."""
    if target == clone:
        return SAME
    if never_came and target is not None:
        return Verdict(Act.NOTHING, "production_only")
    if clone is None:
        return REMOVE if base_known and base is not None and base == target else Verdict(Act.NOTHING, "production_only")
    return WRITE
