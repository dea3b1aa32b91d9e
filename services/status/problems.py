"""Errors of the status service, as the gateway writes its own: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from shared.web import PROBLEM, problem_document, request_id

HINTS = {
    "not_found": "The API is described at /docs, live connections in docs/live.md.",
    "unauthenticated": "Send the header Authorization: Bearer <key>.",
    "job_not_found": "GET /jobs lists the jobs.",
    "unavailable": "Try again shortly; nothing has been lost.",
    "internal_error": "Report the trace id; the log has the details.",
    "upgrade_required": "docs/live.md describes the protocol; GET /jobs/{id}/events tells the same without it.",
    "cross_origin": "If this page is yours, list its origin (scheme, host and port) in SITEFERRY_ALLOWED_ORIGINS.",
    "host_not_allowed": "Use http://localhost, or list the name in SITEFERRY_ALLOWED_HOSTS.",
}


def problem(
    status: int, code: str, detail: str, scope: Scope, headers: Mapping[str, str] | None = None, *, hint: str = ""
) -> Response:
    """The answer. `scope` is the request's, which knows its trace."""
    trace_id = scope.get("state", {}).get("trace_id", "")
    hint = hint or HINTS.get(code, "")
    body = problem_document(status, code, detail, hint=hint, instance=scope["path"], trace_id=trace_id)
    found = dict(headers or {})
    if scope["type"] == "websocket":  # a refused handshake, which nobody marks on its way
        found["X-Request-ID"] = request_id(Headers(scope=scope).get("x-request-id"))
    return JSONResponse(body, status, found, media_type=PROBLEM)


def unavailable(scope: Scope, detail: str = "The streams can not be read now.", after: int = 1) -> Response:
    """It may be better in a moment."""
    return problem(503, "unavailable", detail, scope, {"Retry-After": str(after)})


def internal(scope: Scope) -> Response:
    """Nobody expected it."""
    return problem(500, "internal_error", "Something went wrong on our side.", scope)


def not_taken(scope: Scope, name: str, takes: str) -> Response:
    """A parameter that is not what it must be, or not known."""
    return problem(422, "invalid_request", f"The request is not valid: {name}.", scope, hint=takes)


def answer_with_problems(app: FastAPI) -> None:
    """What the framework itself refuses, in the same form."""

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem(404, "not_found", "There is nothing at this address.", request.scope)
        phrase = HTTPStatus(error.status_code).phrase
        return problem(error.status_code, "request_refused", f"{phrase}.", request.scope, error.headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        names = ", ".join(str(each["loc"][-1]) for each in error.errors())
        return not_taken(request.scope, f"{names} can not be used", "Parameters and their bounds are at /docs.")

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
