"""Our own parts: what a job needs of us beside its worker. One of them being away is never the job's failure.

A part has a generation, another one after each start. Whoever wants to know whether a failure may have come from one
of them looks before and after: a part that is away now, was away then, or is not the one it was, explains anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from nats.errors import Error as NatsError
from nats.js.errors import APIError, ServiceUnavailableError

from shared.engine.records import REFUSED
from shared.errors import Temporary

NATS = "nats"
TITLES = {
    NATS: "the message log",
    "mariadb": "the clones' database server",
    "php-fpm": "the clones' PHP",
    "cells": "the clones' PHP",
    "caddy": "the web server of the clones",
    "kubernetes": "the cluster",
    "pod": "the clone's Pod",
    "disk": "room on the disk of the clones",
}
"""How a person calls them, in the sentence `Waiting for …`."""

Sight = Mapping[str, str | None]
"""What was seen of every part: its generation; None when it is away."""


class OwnPartAway(Temporary):
    """A part of Siteferry itself does not answer."""

    code = "part_away"
    hint = "Nothing is wrong with the site: see what `siteferry doctor` says, mend it, then run the job again."

    def __init__(self, part: str, message: str | None = None) -> None:
        super().__init__(message or f"Waiting for {title(part)}.", part=part)
        self.part = part


class Parts(Protocol):
    """Looks at our own parts."""

    def look(self, job_id: str) -> Sight:
        """Every part that a job may need; quick, in whatever thread, raises nothing."""
        ...


class NoParts:
    """Nobody tells about parts here: errors are taken as they come."""

    def look(self, job_id: str) -> Sight:
        return {}


class AllParts:
    """Several sources of sights as one."""

    def __init__(self, *several: Parts) -> None:
        self._several = several

    def look(self, job_id: str) -> Sight:
        seen: dict[str, str | None] = {}
        for parts in self._several:
            seen.update(parts.look(job_id))
        return seen


class Disk:
    """Room for clones: away while less than `least` bytes are free."""

    def __init__(self, free: Callable[[], int], least: int) -> None:
        self._free = free
        self._least = least

    def look(self, job_id: str) -> Sight:
        try:
            return {"disk": "" if self._free() >= self._least else None}
        except OSError:
            return {"disk": None}


def title(part: str) -> str:
    """The part's name for a person."""
    return TITLES.get(part, part)


def missing(now: Sight) -> str | None:
    """A part that is away."""
    return next((name for name, generation in now.items() if generation is None), None)


def troubled(before: Sight, now: Sight) -> str | None:
    """A part that is away, or was, or was started anew in between."""
    changed = (name for name, generation in now.items() if name in before and before[name] != generation)
    return missing(now) or next(changed, None)


def nats_away(error: BaseException | None) -> bool:
    """Whether NATS did not answer: this error's reason, or the reason of what it was raised from."""
    while error is not None:
        if isinstance(error, APIError):
            if isinstance(error, ServiceUnavailableError):
                return True
        elif isinstance(error, NatsError) and not isinstance(error, REFUSED):
            return True
        error = error.__cause__
    return False
