"""A short way for the two calls that make up nearly all traffic: submitting and looking at one job.

FastAPI's layers below the middlewares (exception handling, exit stacks, routing, parameters) cost about a quarter of
such a call, and a submission must be answered quickly under load. The routes stay declared there: they are what is
documented, and what answers anything unusual.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.access import authorise
from services.gateway.routes import jobs, submit
from services.gateway.scopes import NEEDED

JOBS = "/jobs/"


class Express:
    """Middleware right below the guard, which answers what is raised here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (response := await self._answer(scope, receive)) is not None:
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        method, path = scope["method"], scope["path"]
        if method == "POST" and path == submit.PATH and not scope["query_string"]:
            scope["route"] = submit.ROUTE
            authorise(scope["state"]["principal"], NEEDED["requestClone"])
            return await submit.request_clone(Request(scope, receive))
        job_id = path.removeprefix(JOBS)
        if method == "GET" and job_id != path and job_id and "/" not in job_id:
            scope["route"] = jobs.ROUTE
            authorise(scope["state"]["principal"], NEEDED["getJob"])
            request = Request(scope, receive)
            headers = request.headers
            return await jobs.get_job(request, job_id, headers.get("if-none-match"), headers.get("prefer"))
        return None
