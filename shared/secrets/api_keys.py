"""Who calls: API keys from a file, each with its tenant and lane. Gateway and status read the same file."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from shared.contract.subjects import Lane
from shared.log import get

log = get(__name__)

RELOAD_EVERY = 1.0
"""Seconds between looks at the file."""
SHA256_HEX = 64
HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Principal:
    """Who a request is made for."""

    name: str
    tenant: str
    lane: Lane | None = None
    """The best lane this one may use; None: any."""
    key: str = ""
    """SHA-256 of the key; what sessions and tickets hold on to, so that they end when the key is taken away."""


LOCAL = Principal("local", "local")
"""Everybody, when there are no keys: the machine's own user behind a loopback address."""


class Keys:
    """The key file: one `name:sha256hex[:tenant][:lane]` a line, `#` begins a comment. Read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = 0.0
        self._stamp: tuple[int, int] | None = None
        self._keys: dict[str, Principal] = {}
        self._load()

    def principal(self, token: str) -> Principal | None:
        """Whose key this is. Looked up by its hash, so the time taken tells nothing about the key."""
        return self.holder(digest(token))

    def holder(self, key: str) -> Principal | None:
        """Whose key has this SHA-256; None when it is not, or no longer, in the file."""
        if time.monotonic() - self._looked > RELOAD_EVERY:
            self._load()
        return self._keys.get(key)

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
        if not rest or len(rest) > 3 or len(rest[0]) != SHA256_HEX or not set(rest[0].lower()) <= HEX:
            raise ValueError(f"line {number} is not name:sha256hex[:tenant][:lane]")
        key = rest[0].lower()
        tenant = rest[1] if len(rest) > 1 and rest[1] else name
        lane = Lane(rest[2]) if len(rest) > 2 and rest[2] else None
        found[key] = Principal(name, tenant, lane, key)
    return found


def digest(token: str) -> str:
    """What is kept of a key, ticket or session instead of itself."""
    return hashlib.sha256(token.encode()).hexdigest()


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer …` header; None when there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
