"""What may become of a site's media. By itself, for the command line loads it with every call."""

from __future__ import annotations

from enum import StrEnum


class Media(StrEnum):
    """What becomes of pictures and documents among a site's uploads."""

    COPY = "copy"
    """They travel with the clone."""
    REMOTE = "remote"
    """They stay on the source; each is fetched, and kept, when it is first asked for."""
