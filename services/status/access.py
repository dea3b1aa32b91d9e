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
    """Decides who may watch. Its coroutines raise `UNREADABLE` while nobody knows."""

    def __init__(self, settings: StatusSettings, bus: Callable[[], Bus | None]) -> None:
        self._bus = bus
        self._needed = settings.keys_needed
        self._cookie = session_cookie(settings.edge_url)
        self.keys = Keys(settings.api_keys_file)

    async def at_handshake(self, connection: HTTPConnection) -> Grant | None:
        """What a WebSocket's handshake proves; None: nothing, hello has to show a ticket."""
        for offered in connection.scope.get("subprotocols") or []:
            if offered.startswith(TICKET_SUBPROTOCOL):
                return await self.by_token(offered.removeprefix(TICKET_SUBPROTOCOL))
        return await self.of_request(connection)

    async def of_request(self, connection: HTTPConnection) -> Grant | None:
        """What the headers of a request prove: `Authorization: Bearer` with a key or ticket, or a session's cookie."""
        token = bearer(connection.headers.get("authorization"))
        if token is not None:
            return await self.by_token(token)
        secret = cookies(connection.headers.get("cookie"), self._cookie)
        found = None if secret is None else await self.by_session(secret)
        return found if found is not None or self._needed else OPEN

    async def by_token(self, token: str) -> Grant | None:
        """What a ticket (used up by this) or an API key proves."""
        if not token.startswith(TICKET_PREFIX):
            principal = await self.keys.principal(token)
            return None if principal is None else Grant(principal, Scope(principal.tenant))
        local = None if self._needed else LOCAL
        ticket = await self._passes().redeem(token, self.keys, local=local)
        if ticket is None:
            return None
        return Grant(ticket.principal, Scope(ticket.principal.tenant if ticket.principal.key else None, ticket.jobs))

    async def by_session(self, secret: str) -> Grant | None:
        """What a browser's session proves."""
        principal = await self._passes().session(secret, self.keys)
        return None if principal is None else Grant(principal, Scope(principal.tenant), secret)

    def _passes(self) -> Passes:
        bus = self._bus()
        if bus is None:
            raise ConnectionError("not connected to NATS")
        return Passes(bus)
