"""Identifiers that sort by time and fit everywhere: a DNS label, a database name, a subject token."""

from __future__ import annotations

import re
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o, u, so nobody misreads an id over the phone."""

JOB_ID = re.compile(r"^(?:clone|restore)-[0-9a-hjkmnp-tv-z]{16}$")
BATCH_ID = re.compile(r"^batch-[0-9a-hjkmnp-tv-z]{16}$")


def new_id(kind: str, *, now: float | None = None) -> str:
    """`<kind>-<16 characters>`: 8 characters of time (40 bits of 10 ms ticks, 348 years), 8 of randomness (40 bits)."""
    ticks = int((time.time() if now is None else now) * 100) & (2**40 - 1)
    return f"{kind}-{_base32(ticks)}{_base32(secrets.randbits(40))}"


def is_job_id(text: str) -> bool:
    """Whether `text` has the form of a job id. Says nothing about whether the job exists."""
    return JOB_ID.match(text) is not None


def _base32(number: int) -> str:
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(35, -1, -5))
