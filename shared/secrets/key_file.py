"""API keys from a file: as keys were kept before there was a bucket for them, and the way in where that is empty."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.contract.api_keys import Scope
from shared.contract.subjects import Lane
from shared.log import get

log = get(__name__)

RELOAD_EVERY = 1.0
"""Seconds between looks at the file."""
SHA256_HEX = 64
HEX = frozenset("0123456789abcdef")
OPERATOR = "operator"
"""In place of a scope: an administrator of every tenant's keys."""
FIELDS = "name:sha256hex[:tenant][:lane][:scope]"
MOST_FIELDS = 5


@dataclass(frozen=True)
class Principal:
    """Who a request is made for."""

    name: str
    tenant: str
    lane: Lane | None = None
    """The best lane this one may use; None: any."""
    key: str = ""
    """What sessions and tickets hold on to, so that they end when the key is taken away: the SHA-256 of a key of the
    file, `<id>:<SHA-256>` of one of the bucket."""
    scope: Scope = Scope.SUBMIT
    operator: bool = False
    """An administrator of every tenant's keys."""
    id: str = ""
    """Of a key of the bucket."""
    rate_per_minute: int | None = None
    slots: int | None = None
    ends: datetime | None = None
    """When the key shown stops being good."""

    @property
    def who(self) -> str:
        """Short and unmistakable, for what is kept about deeds: the key's id, or its name in the file."""
        return self.id or self.name

    @property
    def share(self) -> dict[str, Any]:
        """What a command says of the key it was asked for with: nothing, unless that has a share of the slots."""
        return {} if self.slots is None else {"key": self.who, "key_slots": self.slots}


LOCAL = Principal("local", "local", scope=Scope.ADMIN, operator=True)
"""Whoever shows no key where none is needed: the machine's own user behind a loopback address."""


class KeyFile:
    """One key a line, `#` begins a comment. Read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = 0.0
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Principal] = {}
        self._load()

    def holder(self, secret: str) -> Principal | None:
        """Whose key has this SHA-256; None when it is not, or no longer, in the file."""
        if time.monotonic() - self._looked > RELOAD_EVERY:
            self._load()
        return self._keys.get(secret)

    def _load(self) -> None:
        self._looked = time.monotonic()
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._keys, self._stamp = parse_keys(self._path.read_text()), stamp
        except (OSError, ValueError) as error:  # keep the keys we have; nobody gets in who could not before
            log.error("the API key file can not be read", error=str(error))


def parse_keys(text: str) -> dict[str, Principal]:
    """Keys by their SHA-256. Raises ValueError naming the line that can not be read."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        name, *rest = line.split(":")
        if not rest or len(rest) >= MOST_FIELDS or len(rest[0]) != SHA256_HEX or not set(rest[0].lower()) <= HEX:
            raise ValueError(f"line {number} is not {FIELDS}")
        key = rest[0].lower()
        tenant, lane, scope = (*rest[1:], "", "", "")[:3]
        found[key] = Principal(
            name,
            tenant or name,
            Lane(lane) if lane else None,
            key,
            scope=Scope.ADMIN if scope == OPERATOR else Scope(scope or Scope.SUBMIT),
            operator=scope == OPERATOR,
        )
    return found


def digest(token: str) -> str:
    """What is kept of a key, ticket or session instead of itself."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer …` header; None when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
