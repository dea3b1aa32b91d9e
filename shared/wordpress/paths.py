"""Paths that a site names: one place where they are looked at."""

from __future__ import annotations

from shared.wordpress.errors import ImplausibleSite

LONGEST = 4000
"""Bytes of a whole path; Linux takes 4,095."""
LONGEST_NAME = 255
DEEPEST = 100


class BadPath(ImplausibleSite, ValueError):
    """The site names a path that leads out of its folder, or is no path at all."""


def relative(path: bytes) -> list[bytes]:
    """The names of a path below some folder, first to last; empty for the folder itself.

    Raises BadPath for an absolute one, one that climbs (`..`), and for what no file system takes.
    """
    if path.startswith(b"/") or b"\0" in path or len(path) > LONGEST:
        raise BadPath("the source sent a path outside of its root")
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if b".." in names:
        raise BadPath("the source sent a path outside of its root")
    if len(names) > DEEPEST or any(len(name) > LONGEST_NAME for name in names):
        raise BadPath("the source sent a path that is too long or too deep")
    return names
