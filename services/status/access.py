"""Who may watch what. Live connections prove it with an API key, a ticket or the session of a signed-in browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nats.errors import Error as NatsError
from starlette.requests import HTTPConnection

from services.status.settings import StatusSettings
from shared.bus.connection import Bus
from shared.secrets.api_keys import LOCAL, Keys, Principal, bearer
from shared.secrets.tickets import TICKET_PREFIX, Passes, cookies, session_cookie

TICKET_SUBPROTOCOL = "ticket."
"""A WebSocket may offer the sub-protocol `ticket.<ticket>`: browsers can send no header of their own."""
UNREADABLE = (NatsError, TimeoutError, ConnectionError)
"""What asking raises while the buckets can not be read."""


@dataclass(frozen=True)
class Scope:
    """What one client may see."""

    tenant: str | None
    """Only this tenant's jobs; None: everybody's, where there are no keys."""
    jobs: frozenset[str] | None = None
    """Only these; None: all."""

    def sees(self, tenant: str, job_id: str) -> bool:
        """Whether a job of a tenant is for this client."""
        return (self.tenant is None or self.tenant == tenant) and (self.jobs is None or job_id in self.jobs)


EVERYTHING = Scope(None)
NOTHING = Scope("", frozenset())


@dataclass(frozen=True)
class Grant:
    """That somebody may watch, and what proved it."""

    principal: Principal
    scope: Scope
    session: str | None = None
    """The browser's session it ends with."""


OPEN = Grant(LOCAL, EVERYTHING)


class Doorman:
    """Decides who may watch. Its coroutines raise `UNREADABLE` while the buckets do not answer."""

    def __init__(self, settings: StatusSettings, bus: Callable[[], Bus | None]) -> None:
        self._bus = bus
        self._keys = Keys(settings.api_keys_file) if settings.api_keys_file else None
        self._cookie = session_cookie(settings.edge_url)

    @property
    def guarded(self) -> bool:
        """Whether there are API keys, so that not everybody may watch."""
        return self._keys is not None

    async def at_handshake(self, connection: HTTPConnection) -> Grant | None:
        """What a WebSocket's handshake proves; None: nothing, hello has to show a ticket."""
        if self._keys is None:
            return OPEN
        for offered in connection.scope.get("subprotocols") or []:
            if offered.startswith(TICKET_SUBPROTOCOL):
                return await self.by_token(offered.removeprefix(TICKET_SUBPROTOCOL))
        return await self.of_request(connection)

    async def of_request(self, connection: HTTPConnection) -> Grant | None:
        """What the headers of a request prove: `Authorization: Bearer` with a key or ticket, or a session's cookie."""
        if self._keys is None:
            return OPEN
        token = bearer(connection.headers.get("authorization"))
        if token is not None:
            return await self.by_token(token)
        secret = cookies(connection.headers.get("cookie"), self._cookie)
        return None if secret is None else await self._by_session(secret)

    async def by_token(self, token: str) -> Grant | None:
        """What a ticket (used up by this) or an API key proves."""
        if self._keys is None:
            return OPEN
        if not token.startswith(TICKET_PREFIX):
            principal = self._keys.principal(token)
            return None if principal is None else Grant(principal, Scope(principal.tenant))
        ticket = await self._passes().redeem(token, self._keys)
        return None if ticket is None else Grant(ticket.principal, Scope(ticket.principal.tenant, ticket.jobs))

    async def still(self, grant: Grant) -> bool:
        """Whether it holds: the key is still in the file, the browser has not signed out. True while nobody knows."""
        if self._keys is None:
            return True
        now = self._keys.holder(grant.principal.key)
        if now is None or now.tenant != grant.principal.tenant:
            return False
        try:
            return grant.session is None or await self._by_session(grant.session) is not None
        except UNREADABLE:
            return True

    async def _by_session(self, secret: str) -> Grant | None:
        assert self._keys is not None
        principal = await self._passes().session(secret, self._keys)
        return None if principal is None else Grant(principal, Scope(principal.tenant), secret)

    def _passes(self) -> Passes:
        bus = self._bus()
        if bus is None:
            raise ConnectionError("not connected to NATS")
        return Passes(bus)
