"""What happens to every request before and after its route: Host and origin checks, identity, problems, metrics.

Pure ASGI (Starlette's BaseHTTPMiddleware costs a task and a queue per request).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

from nats.errors import MaxPayloadError
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import metrics, paths, problems
from services.gateway.access import LOCAL, Principal, authenticate
from services.gateway.audit import CURRENT, Call
from services.gateway.ending import ending
from services.gateway.problems import UNAVAILABLE, Problem
from services.gateway.scopes import OPEN_PATHS
from services.gateway.settings import GatewaySettings
from shared import tracing
from shared.hosts import answers_to
from shared.log import get
from shared.secrets.tickets import Passes, session_cookie
from shared.web import HEAD_MAX, head_size, is_preflight, may_ask, may_read, request_id

log = get(__name__)

V2 = "/api/v2"
"""Before every path: another name of the same."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION = "/session"
BODY_MAX = 256 * 1024
"""Bytes. A request with 500 excluded paths needs less."""
LINGER_BYTES, LINGER_SECONDS = 1024 * 1024, 2.0
"""Of a refused body: whoever still sends while we answer may never see the answer, behind a proxy above all."""
BULK = ("/jobs/retry", "/jobs/cancel", "/clones/delete", "/clones/extend")
BODY_MAX_OF = {"/batches": 4 * 1024 * 1024, **dict.fromkeys(BULK, 512 * 1024)}
"""Where more is taken: 1,000 clones of 4 kB each, 10,000 ids."""
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


class Guard:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, settings: GatewaySettings) -> None:
        self._app = app
        self._origins, self._hosts = settings.origins, settings.hosts
        self._needed = settings.keys_needed
        self._cookie = session_cookie(settings.edge_url)
        self._ending = ending(settings.v1_deprecated, settings.v1_sunset)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(f"{V2}/") and not scope["path"].startswith(f"{V2}/api/"):
            scope = {**scope, "path": scope["path"].removeprefix(V2)}
        began = time.perf_counter()
        headers = Headers(scope=scope)
        caller = headers.get(tracing.HEADER)
        traceparent = tracing.continued(caller)
        trace_id = tracing.trace_id(traceparent)
        state = scope.setdefault("state", {})
        state.update(trace_id=trace_id, traceparent=traceparent)
        status, method, location, inside = 500, scope["method"], "", False
        always = {
            **SECURITY_HEADERS,
            **may_read(headers.get("origin"), self._origins),
            "x-request-id": request_id(headers.get("x-request-id")),
        }
        if scope["path"].startswith(problems.V1):
            always |= self._ending

        call = Call(scope, headers, always["x-request-id"], cookie=self._cookie)
        CURRENT.set(call)

        async def send_guarded(message: Message) -> None:
            nonlocal status, location
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                location = answer.get("location", "")
                for name, value in always.items():
                    answer[name] = value
                answer.add_vary_header("Origin")
                if "cache-control" not in answer:
                    answer["cache-control"] = "no-store"
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            if head_size(scope["raw_path"], scope["query_string"], scope["headers"]) > HEAD_MAX:
                raise problems.http_problem(431)
            if method == "OPTIONS":
                await self._options(scope, headers)(scope, receive, send_guarded)
                return
            if method == "HEAD":  # the answer of GET, without its body
                call.scope = scope = {**scope, "method": "GET"}
            if scope["path"] not in OPEN_PATHS:
                self._check(scope["method"], scope["path"], headers)
                if scope["path"] != SESSION:  # which is about who calls, and asks itself
                    state["principal"] = call.principal = await self._principal(scope, headers)
            if scope["path"] in BULK and scope["method"] != "POST":  # else the id of a job or clone would be meant
                raise problems.method_not_allowed(paths.methods_of(scope["app"], scope["path"]))
            if scope["query_string"]:
                paths.check_query(scope)
            inside = True
            await self._app(scope, receive, send_guarded)
        except Exception as error:
            if not inside:
                await hear_out(receive)
            problem = as_problem(error, trace_id)
            state["code"] = problem.code
            await problem.response(instance=scope["path"], trace_id=trace_id)(scope, receive, send_guarded)
        finally:
            took = time.perf_counter() - began
            if edge := scope["app"].state.edge:
                edge.audit.end(call, status, location=location, code=state.get("code"))
            metrics.observe(scope, status, took)
            _trace(scope, status, took, traceparent, caller)

    def _options(self, scope: Scope, headers: Headers) -> Response:
        """What may be done at an address; asked by browsers without a key, before they send one."""
        methods = paths.methods_of(scope["app"], scope["path"])
        if not methods:
            raise problems.http_problem(404)
        allow = {"Allow": ", ".join(methods)}
        if is_preflight("OPTIONS", headers):
            allow |= may_ask(headers.get("origin"), self._origins, methods)
        return Response(status_code=204, headers=allow)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        check_host(host, None if self._needed else self._hosts)
        if method not in SAFE:
            check_origin(headers, host, self._origins)
            check_body(headers, BODY_MAX_OF.get(path, BODY_MAX))

    async def _principal(self, scope: Scope, headers: Headers) -> Principal:
        app = scope["app"].state
        passes = None if app.edge is None or not app.edge.bus.nc.is_connected else Passes(app.edge.bus)
        changes = scope["method"] not in SAFE
        return await authenticate(
            app.callers, headers, self._cookie, passes, changes=changes, local=None if self._needed else LOCAL
        )


def check_host(host: str, allowed: frozenset[str] | None) -> None:
    """Refuse Host names we do not answer to. `allowed` None: any."""
    if answers_to(host, allowed):
        return
    raise Problem(
        421,
        "host_not_allowed",
        "This service does not answer under this host name.",
        hint="Use http://localhost, or list the name in SITEFERRY_ALLOWED_HOSTS.",
    )


def check_origin(headers: Mapping[str, str], host: str, allowed: frozenset[str]) -> None:
    """Refuse changes that pages of other origins ask a browser for: a clone's page is such an origin."""
    origin = headers.get("origin")
    if origin is not None:
        same = origin.lower().partition("://")[2] == host
        if same or origin.lower() in allowed:
            return
    elif headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return
    raise Problem(
        403,
        "cross_origin",
        "Pages of other origins may not change anything here.",
        hint="If this page is yours, list its origin (scheme, host and port) in SITEFERRY_ALLOWED_ORIGINS.",
    )


def check_body(headers: Mapping[str, str], most: int = BODY_MAX) -> None:
    """Refuse bodies that are too large, and those that are not JSON: a form of another page could send those.

    A length is asked for up front, so no body needs counting while it comes in.
    """
    if "transfer-encoding" in headers:
        raise Problem(411, "length_required", "The body must be sent with a Content-Length.")
    length = headers.get("content-length", "0")
    if length == "0":
        return
    if not length.isdecimal() or int(length) > most:
        raise problems.http_problem(413)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(
            415, "unsupported_media_type", "The body must be JSON.", hint="Send Content-Type: application/json."
        )


async def hear_out(receive: Receive) -> None:
    """Take the rest of a body that nobody reads, as far as it is not too much."""
    taken = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while taken < LINGER_BYTES and (message := await receive()).get("more_body"):
                taken += len(message["body"])


def _trace(scope: Scope, status: int, took: float, traceparent: str, caller: str | None) -> None:
    """The call as a span, named by its route as HTTP's semantic conventions have it."""
    route, ended = getattr(scope.get("route"), "path", None), time.time()
    tracing.tell(
        f"{scope['method']} {route}" if route else scope["method"],
        traceparent,
        below=caller,
        began=ended - took,
        ended=ended,
        role="server",
        error=f"{status}" if status >= 500 else "",
        http__request__method=scope["method"],
        http__route=route,
        http__response__status_code=status,
    )


def as_problem(error: Exception, trace_id: str) -> Problem:
    """The problem an exception is answered with. What nobody expected is logged, with the trace id."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, MaxPayloadError):  # NATS is there, and takes no message of this size
        return problems.http_problem(413)
    if isinstance(error, UNAVAILABLE):
        log.warning("NATS did not answer", error=repr(error), trace_id=trace_id)
        return problems.unavailable(error)
    log.error("unexpected error", trace_id=trace_id, exc_info=error)
    return problems.internal()
