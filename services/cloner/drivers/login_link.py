"""Login links, as the guard of a clone believes them (`cell/guard/login.php`)."""

from __future__ import annotations

import hmac
import secrets
import time
from datetime import UTC, datetime

from services.cloner.drivers.port import LoginLink

FIELD = "siteferry_login"
LIFE = 60
"""Seconds a link may be opened."""
LONGEST_LOGIN = 100


def make_link(key: str, *, user_id: int, login: str) -> LoginLink:
    """A new link for a user, sealed with the clone's own key."""
    end = int(time.time()) + LIFE
    said = f"{end}.{user_id}.{secrets.token_hex(16)}"
    seal = hmac.digest(key.encode(), said.encode(), "sha256").hex()
    return LoginLink(f"{FIELD}={said}.{seal}", login, datetime.fromtimestamp(end, UTC))
