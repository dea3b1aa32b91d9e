"""An API key as its bucket holds it. Gateway and status read it, the gateway alone writes it."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum
from hmac import compare_digest

from pydantic import BaseModel

from shared.contract.subjects import Lane
from shared.contract.times import Time
from shared.ids import ALPHABET

TOKEN_PREFIX = "sfk_"
SECRET_BYTES = 32
OWN_PART, TENANT_PART = 12, 8
TOKEN = re.compile(rf"{TOKEN_PREFIX}([0-9a-hjkmnp-tv-z]{{{TENANT_PART + OWN_PART}}})_([A-Za-z0-9_-]{{43}})")
KEY_ID = re.compile(rf"key-[0-9a-hjkmnp-tv-z]{{{TENANT_PART + OWN_PART}}}")


class Scope(StrEnum):
    """What a key is good for; each includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Whether who may do this may do that, too."""
        return SCOPES.index(self) >= SCOPES.index(other)


SCOPES = tuple(Scope)


class ApiKey(BaseModel):
    """One key. Of its secret there is the SHA-256 only."""

    id: str
    name: str
    tenant: str
    scope: Scope
    operator: bool = False
    """An administrator of every tenant's keys, not of his own tenant's only."""
    lane: Lane | None = None
    """The best lane; None: any."""
    rate_per_minute: int | None = None
    """Changes a minute, beside what its tenant may."""
    slots: int | None = None
    """Jobs of this key that may run at the same time."""
    digest: str
    old_digest: str | None = None
    """Of the secret before the last rotation, good until `old_until`."""
    old_until: Time | None = None
    created_at: Time
    created_by: str
    """Id of the key it was made with; `local` without one."""
    rotated_at: Time | None = None
    expires_at: Time | None = None
    revoked_at: Time | None = None

    def opens(self, secret: str, now: datetime) -> bool:
        """Whether a secret of this SHA-256 is good for something at this time. Takes as long for a near miss as for a
        far one."""
        current = compare_digest(secret, self.digest)
        before = compare_digest(secret, self.old_digest or "")
        overlaps = self.old_until is not None and now < self.old_until
        return self.lives(now) and (current or (before and overlaps))

    def lives(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def ends(self, secret: str) -> datetime | None:
        """When this secret of it stops being good; None: it does not."""
        told = [self.expires_at, None if compare_digest(secret, self.digest) else self.old_until]
        return min((at for at in told if at is not None), default=None)


def new_key_id(tenant: str) -> str:
    """`key-` and 20 characters: 8 of the tenant, so that his keys are found without an index, and 12 random ones."""
    return f"key-{tenant_token(tenant)}{''.join(secrets.choice(ALPHABET) for _ in range(OWN_PART))}"


def new_token(key_id: str) -> str:
    """A key as its holder shows it: its id, by which it is looked up, and 256 random bits."""
    return f"{TOKEN_PREFIX}{key_id.removeprefix('key-')}_{secrets.token_urlsafe(SECRET_BYTES)}"


def id_of(token: str) -> str | None:
    """The id in a key; None for what has not the form of one."""
    found = TOKEN.fullmatch(token)
    return f"key-{found[1]}" if found else None


def tenant_token(tenant: str) -> str:
    """The tenant's name as 8 characters of 5 bits: any name fits into ids and subjects so."""
    number = int.from_bytes(hashlib.sha256(tenant.encode()).digest()[:5])
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(35, -1, -5))


def entry_of(key_id: str) -> str:
    """Where a key is in its bucket."""
    return f"{key_id[4 : 4 + TENANT_PART]}.{key_id}"


def entries(tenant: str | None) -> str:
    """Where all keys of a tenant are; None: of every tenant."""
    return f"{tenant_token(tenant) if tenant is not None else '*'}.*"
