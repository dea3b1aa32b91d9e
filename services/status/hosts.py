"""Refuses requests under Host names that are not ours, before anything else looks at them (DNS rebinding)."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.hosts import answers_to

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Answered under any Host name: probes come by address, and they tell nothing about jobs."""
REFUSAL = {
    "code": "host_not_allowed",
    "detail": "This service does not answer under this host name.",
    "hint": "Use http://localhost, or list the name in SITEFERRY_ALLOWED_HOSTS.",
}


class HostGuard:
    """ASGI in front of the application. `allowed` None: any well-formed name, for there are API keys."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str] | None) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] in ("http", "websocket") and scope["path"] not in OPEN_PATHS
        if not asked or answers_to(Headers(scope=scope).get("host", ""), self._allowed):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await JSONResponse(REFUSAL, 421)(scope, receive, send)
