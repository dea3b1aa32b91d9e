"""Identifiers that sort by time and fit everywhere: a DNS label, a database name, a subject token."""

from __future__ import annotations

import re
import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o, u, so nobody misreads an id over the phone."""

JOB_ID = re.compile(r"(?:clone|restore)-[0-9a-hjkmnp-tv-z]{16}")
OPERATION_ID = re.compile(r"operation-[0-9a-hjkmnp-tv-z]{16}")
SCHEDULE_ID = re.compile(r"schedule-[0-9a-hjkmnp-tv-z]{16}")
BATCH_ID = re.compile(r"batch-[0-9a-hjkmnp-tv-z]{14}00")


def new_id(kind: str, *, now: float | None = None) -> str:
    """`<kind>-<16 characters>`: 8 characters of time (40 bits of 10 ms ticks, 348 years), 8 of randomness (40 bits)."""
    ticks = int((time.time() if now is None else now) * 100) & (2**40 - 1)
    return f"{kind}-{_base32(ticks)}{_base32(secrets.randbits(40))}"


def is_job_id(text: str) -> bool:
    """Whether `text` has the form of a job id. Says nothing about whether the job exists."""
    return JOB_ID.fullmatch(text) is not None


def is_operation_id(text: str) -> bool:
    """Whether `text` has the form of an operation's id. Says nothing about whether the operation exists."""
    return OPERATION_ID.fullmatch(text) is not None


def is_schedule_id(text: str) -> bool:
    """Whether `text` has the form of a schedule's id. Says nothing about whether the schedule exists."""
    return SCHEDULE_ID.fullmatch(text) is not None


def new_batch_id(*, now: float | None = None) -> str:
    """The id of a batch: like a job's, but its last two characters are kept for counting the members."""
    return f"{new_id('batch', now=now)[:-2]}00"


def is_batch_id(text: str) -> bool:
    """Whether `text` has the form of a batch's id. Says nothing about whether the batch exists."""
    return BATCH_ID.fullmatch(text) is not None


def batch_member(batch_id: str, number: int) -> str:
    """The job id of a batch's member, 0 to 1023: `batch-…00` has the members `clone-…00`, `clone-…01` and so on.

    So whoever knows a batch's id knows its members: no list of them needs to be stored anywhere, or can be lost.
    """
    if not 0 <= number < 1024:
        raise ValueError("a batch has at most 1024 members")
    return f"clone-{batch_id.removeprefix('batch-')[:-2]}{ALPHABET[number >> 5]}{ALPHABET[number & 31]}"


def _base32(number: int) -> str:
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(35, -1, -5))
