"""What was found in a text, by different ways of reading it, and which of it counts where they contradict."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from .report import Reason

Edit = tuple[int, int, bytes, str | None]
"""data[start:end] becomes other bytes; counted under a kind, or not at all."""


class Rank(IntEnum):
    """The lower counts more where two claims overlap."""

    PROVEN = 0
    """A serialized value that reads from its first to its last byte."""
    BROKEN = 1
    """What begins like a serialized value and cannot be read: nothing in it may change."""
    TEXT = 2
    """A URL or path in text, or a block of base64."""
    LEFT = 3
    """A URL or path that stays."""


@dataclass(slots=True)
class Claim:
    """data[start:end] is of one kind; `edits` (in order) and `left` are what follows from it."""

    start: int
    end: int
    rank: Rank
    edits: list[Edit] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def settled(claims: Iterable[Claim]) -> list[Claim]:
    """Claims without overlaps, in order.

    A proven value wins over what stands in it, the longer over the shorter, but not when it lies in something broken
    that began before: whatever that is, its lengths may count this value's bytes. What is proven in two ways that are
    not written the same is not proven. Among equals the first one given wins.
    """
    by_rank: dict[Rank, list[Claim]] = {rank: [] for rank in Rank}
    for claim in claims:
        by_rank[claim.rank].append(claim)
    by_rank[Rank.PROVEN], disputed = _undisputed(by_rank[Rank.PROVEN])
    by_rank[Rank.BROKEN] += disputed
    by_rank[Rank.PROVEN] = _outside(by_rank[Rank.PROVEN], by_rank[Rank.BROKEN])
    by_rank[Rank.PROVEN].sort(key=lambda claim: claim.start - claim.end)
    starts: list[int] = []
    kept: dict[int, Claim] = {}
    for rank in Rank:
        for claim in by_rank[rank]:
            index = bisect_right(starts, claim.start)
            if index and kept[starts[index - 1]].end > claim.start:
                continue
            if index < len(starts) and starts[index] < claim.end:
                continue
            if claim.start not in kept:
                insort(starts, claim.start)
                kept[claim.start] = claim
    return [kept[start] for start in starts]


def _undisputed(proven: list[Claim]) -> tuple[list[Claim], list[Claim]]:
    """The proven ones, and those that other layers of the same bytes write in another way, as broken ones."""
    by_place: dict[tuple[int, int], list[Claim]] = {}
    for claim in proven:
        by_place.setdefault((claim.start, claim.end), []).append(claim)
    kept: list[Claim] = []
    disputed: list[Claim] = []
    for (start, end), claims in by_place.items():
        if len({tuple(claim.edits) for claim in claims}) == 1:
            kept += claims
        else:
            disputed.append(Claim(start, end, Rank.BROKEN, left=[Reason.AMBIGUOUS]))
    return kept, disputed


def _outside(proven: list[Claim], broken: list[Claim]) -> list[Claim]:
    """The proven ones that do not begin inside of a broken one."""
    if not broken:
        return proven
    ordered = sorted(broken, key=lambda claim: claim.start)
    starts, reach, furthest = [claim.start for claim in ordered], [], 0
    for claim in ordered:
        furthest = max(furthest, claim.end)
        reach.append(furthest)

    def inside(claim: Claim) -> bool:
        before = bisect_left(starts, claim.start)
        return before > 0 and reach[before - 1] > claim.start

    return [claim for claim in proven if not inside(claim)]


def all_proven(places: Iterable[int], claims: Sequence[Claim]) -> bool:
    """Whether every one of the places, in order, lies in a proven value; the claims are in order without overlaps."""
    index = 0
    for at in places:
        while index < len(claims) and claims[index].end <= at:
            index += 1
        if index == len(claims) or claims[index].start > at or claims[index].rank is not Rank.PROVEN:
            return False
    return True
