"""Refuses requests under Host names that are not ours, before anything else looks at them (DNS rebinding)."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.status.problems import problem
from shared.hosts import answers_to

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Answered under any Host name: probes come by address, and they tell nothing about jobs."""


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
            detail = "This service does not answer under this host name."
            await problem(421, "host_not_allowed", detail, scope)(scope, receive, send)
