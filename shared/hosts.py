"""Which Host names a service answers to: a page that resolves its own name to us (DNS rebinding) has another one."""

from __future__ import annotations

import re

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::\d{1,5})?", re.IGNORECASE)
"""`Host` as RFC 9110 has it: a name or an address, and a port. No user, no path."""


def answers_to(host: str, allowed: frozenset[str] | None) -> bool:
    """Whether a request with this Host header is for us. `allowed`: names in lower case, "*" for any; None: any."""
    found = HOST.fullmatch(host)
    return found is not None and (allowed is None or "*" in allowed or found[1].lower() in allowed)
