"""What a server makes of values it understands: https://dev.mysql.com/doc/refman/8.4/en/json.html (normalization)."""

from __future__ import annotations

import json
from collections.abc import Collection

from shared.wordpress.rewrite import unescape


def same_but_for_json(sent: bytes, stored: bytes, places: Collection[int]) -> bool:
    """Whether two rows are the same, their fields at `places` as JSON: without regard to blanks, the order of keys,
    and how a character or a number is spelled."""
    ours, theirs = sent.split(b"\t"), stored.split(b"\t")
    return len(ours) == len(theirs) and all(
        one == other or (place in places and _meaning(one) == _meaning(other) is not None)
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True))
    )


def _meaning(cell: bytes) -> str | None:
    """A document in one form for all its spellings; None: it is none."""
    try:
        return json.dumps(json.loads(unescape(cell).decode()), sort_keys=True)
    except (ValueError, RecursionError):
        return None
