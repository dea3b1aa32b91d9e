"""What stands for an API key where the key itself must not go: tickets for one live connection, sessions of browsers.

Both are random texts of which only the SHA-256 is stored, in buckets whose entries expire, so every replica of every
service knows them. Both name the key they were made with and are worth nothing once that key is taken away.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass

from nats.js.errors import BadRequestError, KeyNotFoundError

from shared.bus.connection import Bus
from shared.contract import streams
from shared.secrets.api_keys import Keys, Principal, digest

TICKET_PREFIX = "sft_"
TICKET_SECONDS = int(streams.TICKET_LIFE)
SESSION_SECONDS = int(streams.SESSION_LIFE)
LINK_PREFIX = "sfl_"
LINK_SECONDS = 15 * 60
"""Seconds a link to the dashboard may be opened, once."""
RANDOM_BYTES = 32


@dataclass(frozen=True)
class Ticket:
    """What a redeemed ticket allows."""

    principal: Principal
    jobs: frozenset[str] | None
    """The only jobs it is good for; None: every job of its tenant."""


class Passes:
    """Makes and checks tickets and sessions. Every method raises nats errors when the buckets do not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def issue(self, principal: Principal, jobs: list[str] | None = None) -> str:
        """A new ticket."""
        ticket = TICKET_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        bucket = await self._bus.bucket(streams.TICKETS)
        await bucket.put(digest(ticket), json.dumps({"key": principal.key, "jobs": jobs}).encode())
        return ticket

    async def redeem(self, ticket: str, keys: Keys, *, local: Principal | None = None) -> Ticket | None:
        """What a ticket allows, once: of two who show the same one, over all replicas, one gets None.

        `local`: whose tickets need no key.
        """
        bucket = await self._bus.bucket(streams.TICKETS)
        name = digest(ticket)
        try:
            entry = await bucket.get(name)
            await bucket.delete(name, last=entry.revision)
        except (KeyNotFoundError, BadRequestError):
            return None
        told = json.loads(entry.value or b"{}")
        principal = local if local is not None and told.get("key") == local.key else None
        principal = principal or await keys.holder(told.get("key", ""))
        jobs = told.get("jobs")
        return None if principal is None else Ticket(principal, None if jobs is None else frozenset(jobs))

    async def open(self, principal: Principal) -> str:
        """A new session of a browser; its secret."""
        secret = secrets.token_urlsafe(RANDOM_BYTES)
        await (await self._bus.bucket(streams.SESSIONS)).put(digest(secret), principal.key.encode())
        return secret

    async def session(self, secret: str, keys: Keys) -> Principal | None:
        """Whose session it is; None when it ended, or its key did."""
        try:
            entry = await (await self._bus.bucket(streams.SESSIONS)).get(digest(secret))
        except KeyNotFoundError:
            return None
        return await keys.holder((entry.value or b"").decode())

    async def link(self, principal: Principal) -> str:
        """A text that begins one session of a browser, once."""
        link = LINK_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        told = {"link": principal.key, "until": time.time() + LINK_SECONDS}
        await (await self._bus.bucket(streams.SESSIONS)).put(digest(link), json.dumps(told).encode())
        return link

    async def follow_link(self, link: str, keys: Keys) -> Principal | None:
        """Whom a link signs in, once: of two who show the same one, over all replicas, one gets None."""
        bucket = await self._bus.bucket(streams.SESSIONS)
        name = digest(link)
        try:
            entry = await bucket.get(name)
            told = json.loads(entry.value or b"{}")
            if not isinstance(told, dict) or "link" not in told:
                return None
            await bucket.delete(name, last=entry.revision)
        except (KeyNotFoundError, BadRequestError, ValueError):
            return None
        return await keys.holder(told["link"]) if time.time() < told["until"] else None

    async def close(self, secret: str) -> None:
        """End a session."""
        await (await self._bus.bucket(streams.SESSIONS)).purge(digest(secret))


def session_cookie(edge_url: str) -> str:
    """The cookie's name. Over https the prefix makes browsers refuse it from neighbouring hosts, such as clones'."""
    return "__Host-siteferry" if edge_url.startswith("https://") else "siteferry_session"


def cookies(header: str | None, name: str) -> str | None:
    """The value of one cookie in a Cookie header."""
    for part in (header or "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return None
