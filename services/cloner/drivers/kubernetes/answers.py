"""What the answers of a cluster's API mean for us. Pure.

The same status has many meanings: 403 is a full quota, a missing right or a wrong Pod; 409 is a name that is taken, a
lost race or two quotas counted at once. So `Status.reason` and the message are read, too.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""API priority and fairness, a control plane being replaced, a load balancer without a backend."""
WORDS = 500


class Meaning(StrEnum):
    """What to do about an answer that is no success."""

    AGAIN = "again"
    """The same request may work later: nothing is known about whether it was carried out."""
    CONTENDED = "contended"
    """Others count against the same quota in this moment: again, at once."""
    NO_ROOM = "no_room"
    """The namespace is full: wait for something to go."""
    EXISTS = "exists"
    """There is one of that name, which is not ours to make."""
    LOST = "lost"
    """It changed since it was read: somebody else was faster."""
    MISSING = "missing"
    """There is none of that name, or no such namespace."""
    EXPIRED = "expired"
    """The cluster does not remember that far back: list anew."""
    REFUSED = "refused"
    """It can never work so: a right, a rule or a field is wrong."""


class ApiError(Exception):
    """The API of the cluster answered, or failed to, in a way that is no success."""

    def __init__(self, meaning: Meaning, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(f"{message} (HTTP {status})" if status else message)
        self.meaning = meaning
        self.status = status
        """0 when there was no answer."""
        self.retry_after = retry_after
        """Seconds the API asked us to wait, if it did."""


def failure(status: int, body: bytes, *, retry_after: str | None = None) -> ApiError:
    """The error an answer stands for. `body` is a `Status` object, or whatever a proxy on the way said."""
    said = _status(body)
    message = str(said.get("message") or body[:WORDS].decode(errors="replace").strip() or "no reason given")[:WORDS]
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return ApiError(_meaning(status, str(said.get("reason") or ""), message), message, status=status, retry_after=wait)


def _meaning(status: int, reason: str, message: str) -> Meaning:
    if status in TRANSIENT:
        return Meaning.AGAIN
    if status == 404:
        return Meaning.MISSING
    if status == 410 or reason == "Expired":
        return Meaning.EXPIRED
    if status == 403:
        if "error looking up service account" in message:  # a new namespace: it is made a moment later
            return Meaning.AGAIN
        return Meaning.NO_ROOM if "exceeded quota" in message else Meaning.REFUSED
    if status == 409:
        if "resourcequotas" in message:
            return Meaning.CONTENDED
        return Meaning.EXISTS if reason == "AlreadyExists" else Meaning.LOST
    return Meaning.REFUSED


def _status(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and said.get("kind") == "Status" else {}
