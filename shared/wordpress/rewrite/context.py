"""What surrounds a candidate, and what a candidate is found to be."""

from __future__ import annotations

import re

from .report import Kind, Reason

_ESCAPE = re.compile(
    rb"(?:\\[bfnrt0Z]|(?:\\|5[cC])u00(?!2[eEfF]|3[aA])[0-7][0-9a-fA-F]|%(?:25)*(?!2[eEfF]|3[aA])[0-3][0-9a-fA-F])\Z"
)
_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~-%\\/")

Found = tuple[int, int, bytes | None, Kind | Reason]
"""A source URL or path at data[start:end]: its replacement and kind, or None and the reason it is left."""


def starts_clean(data: bytes, lo: int, start: int) -> bool:
    """Whether nothing that would make it part of a longer URL or path stands before `start` (`lo`: text begins)."""
    if start <= lo or data[start - 1] not in _WORD:
        return True
    return _ESCAPE.search(data, max(lo, start - 24), start) is not None
