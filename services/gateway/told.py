"""What a request tells of where it came from."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope


def address_of(scope: Scope) -> str:
    """The caller's address as the edge saw it, which writes X-Forwarded-For anew; without an edge in front, the
    connection's own."""
    told = Headers(scope=scope).get("x-forwarded-for", "").rpartition(",")[2].strip()
    client = scope.get("client")
    return told or (client[0] if client else "")
