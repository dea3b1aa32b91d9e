"""Times as every answer and event writes them, whatever is written: `2026-11-29T10:00:00.123456Z`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds: times of equal length that sort as text."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(stamp, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""A moment in a record, a message or an answer."""
