"""What happens to every request before its route: request id, pages of other origins, HEAD, OPTIONS, problems.

Pure ASGI, so that live connections pay nothing for it once they are open.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.status.problems import internal, problem
from services.status.settings import StatusSettings
from shared import tracing
from shared.log import get
from shared.web import HEAD_MAX, head_size, is_preflight, may_ask, may_read, request_id

log = get(__name__)


class Door:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, settings: StatusSettings, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes
        self._origins = settings.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, method = Headers(scope=scope), scope["method"]
        origin = headers.get("origin")
        scope.setdefault("state", {})["trace_id"] = trace_id = tracing.trace_id(
            tracing.continued(headers.get(tracing.HEADER))
        )
        always = {**may_read(origin, self._origins), "x-request-id": request_id(headers.get("x-request-id"))}
        begun = told = False

        async def send_marked(message: Message) -> None:
            nonlocal begun, told
            if message["type"] == "http.response.start":
                begun = True
                answer = MutableHeaders(scope=message)
                for name, value in always.items():
                    answer[name] = value
                answer.add_vary_header("Origin")
                await send(message)
                if method == "HEAD":
                    told = True
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif not told:
                await send(message)

        async def receive_until_told() -> Message:
            return {"type": "http.disconnect"} if told else await receive()

        try:
            if head_size(scope["raw_path"], scope["query_string"], scope["headers"]) > HEAD_MAX:
                detail = "Address and header fields of this request are too large."
                await problem(431, "head_too_large", detail, scope)(scope, receive, send_marked)
                return
            methods = self._methods(scope)
            allow = {"Allow": ", ".join(methods)}
            if method == "OPTIONS" and methods:
                if is_preflight(method, headers):
                    allow |= may_ask(origin, self._origins, methods)
                await Response(status_code=204, headers=allow)(scope, receive, send_marked)
            elif methods and method not in methods:
                detail = "This address does not take this method."
                refusal = problem(405, "method_not_allowed", detail, scope, allow, hint=f"It takes {allow['Allow']}.")
                await refusal(scope, receive, send_marked)
            elif method == "HEAD":
                await self._app({**scope, "method": "GET"}, receive_until_told, send_marked)
            else:
                await self._app(scope, receive, send_marked)
        except Exception as error:
            if begun:
                raise
            log.error("unexpected error", trace_id=trace_id, exc_info=error)
            await internal(scope)(scope, receive, send_marked)

    def _methods(self, scope: Scope) -> list[str]:
        """Every method an address takes; empty when there is nothing at it."""
        found: set[str] = set()
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                found |= route.methods or set()
        return sorted({*found, "HEAD", "OPTIONS"}) if found else []
