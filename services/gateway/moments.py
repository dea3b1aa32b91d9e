"""Moments as clients write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator


def rfc3339(value: object) -> object:
    """A moment as RFC 3339 writes it: a bare number, which pydantic would take for seconds, is none."""
    if isinstance(value, bool | int | float):
        raise ValueError("needs a date, a time and a time zone, like 2026-11-30T12:00:00Z")
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt ][\d:.]+([Zz]|[+-]\d\d:\d\d)", value):
        raise ValueError("needs a date, a time and a time zone, like 2026-11-30T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(rfc3339)]
"""A date, a time and a time zone."""


def said_in_mail(value: object) -> datetime | None:
    """When a captured mail was written: as its Date field has it (RFC 5322), or RFC 3339; None for anything else.

    The clone's site writes it, so it may be anything.
    """
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(str(value))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, TypeError):
            continue
    return None
