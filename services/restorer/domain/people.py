"""Users of the two sites are the same person when they have the same login, whatever their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

AUTHORS = {"posts": ("post_author", True), "comments": ("user_id", False), "links": ("link_owner", True)}
"""Table -> column with a user's id, and whether somebody must own the row."""


def user_map(
    clone: Iterable[Sequence[object]], production: Iterable[Sequence[object]], *, owner: str
) -> dict[bytes, bytes]:
    """Clone id -> production id for every user of the clone whose id differs there; "": production has no such user.

    `owner`: the login of whoever restores; gets what nobody else owns.
    """
    ids = {str(login).lower(): str(number) for number, login in production}
    mapped = {}
    for number, login in clone:
        theirs = ids.get(str(login).lower(), "")
        if theirs != str(number):
            mapped[str(number).encode()] = theirs.encode()
    mapped[b""] = ids.get(owner.lower(), min(ids.values(), key=int, default="1")).encode()
    return mapped


def with_author(cell: bytes, users: Mapping[bytes, bytes], *, owned: bool) -> bytes:
    """A cell that names a user of the clone, naming the same one on production."""
    found = users.get(cell, cell) if cell else cell
    return found or (users[b""] if owned else b"0")
