"""What answers of /api/v1 say about its end, refusals too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email.utils import format_datetime


def ending(deprecated: date, sunset: date | None) -> dict[str, str]:
    """Headers that say since when these calls are deprecated (RFC 9745), and when they end (RFC 8594)."""
    headers = {"deprecation": f"@{int(_midnight(deprecated).timestamp())}", "link": '</docs>; rel="deprecation"'}
    if sunset is not None:
        headers["sunset"] = format_datetime(_midnight(sunset), usegmt=True)
    return headers


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
