"""Whether a source compresses what it sends: a link's time against its own processor's. Pure."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from shared.wordpress.addresses import is_localhost

Compress = Literal["auto", "always", "never"]


def compresses(setting: Compress, home: str) -> bool:
    """`auto`: unless the source at the address `home` is on this machine, where it would only cost."""
    if setting == "auto":
        return not is_localhost(urlsplit(home).hostname or "")
    return setting == "always"
