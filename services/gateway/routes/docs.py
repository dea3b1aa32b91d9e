"""The API's description: /openapi.json, and /docs as one page that needs no other server."""

from __future__ import annotations

import copy
import threading
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import HTMLResponse, JSONResponse, Response

from services.gateway import live_paths
from services.gateway.audit_actions import ACTIONS
from services.gateway.docs_page import SCRIPT, STYLE, render
from services.gateway.models import CloneRequest
from services.gateway.models_batch import BatchRequest
from services.gateway.models_restore import DiscardRequest, RestoreRequest, RollbackRequest
from services.gateway.models_schedules import ScheduleRequest
from services.gateway.models_states import ForkRequest, RefreshRequest, ResetRequest, VersionRequest
from services.gateway.problems import V1
from services.gateway.routes.responses import problem
from services.gateway.scopes import NEEDED
from shared.web import HEAD_MAX

router = APIRouter(include_in_schema=False)

TAGS = [
    {"name": "clone", "description": "Ask for a clone of a WordPress site."},
    {"name": "restore", "description": "Bring a clone, or another site, to production."},
    {"name": "schedules", "description": "Clones made again and again: make, look, replace, pause, delete."},
    {"name": "images", "description": "What further clones of a source begin with: look, delete."},
    {"name": "snapshots", "description": "The ways back that restores leave: look, roll back, discard."},
    {"name": "batches", "description": "Many clones as one: ask, look, cancel."},
    {"name": "jobs", "description": "How clones and restores go: look, list, cancel, try again, replay."},
    {"name": "clones", "description": "What completed jobs made: log in, extend, delete, read captured mail."},
    {
        "name": "bulk",
        "description": "Many jobs or clones at once: try again, cancel, delete, extend; how far that is.",
    },
    {"name": "live", "description": "Tickets and sessions for live connections and the dashboard."},
    {"name": "keys", "description": "API keys, for administrators: make, list, rotate, revoke; who did what."},
    {"name": "webhooks", "description": "Being told when jobs end."},
    {"name": "v1", "description": "The synchronous calls of before. Clients move to `POST /clone` and `/restore`."},
    {"name": "operations", "description": "Health and numbers of the gateway."},
]
ABOUT = f"""Errors are problem details (RFC 9457) with a stable `code`. Unknown fields and parameters are refused.

Address and header fields of a request have at most {HEAD_MAX:,} bytes together (431), a body 256 kB, that of a batch
4 MB (413). Numbers are JSON numbers (`1.0` is `1`, `"1"` is none), `true` is no number. Times are RFC 3339 in UTC with
microseconds. `X-Request-ID` (1 to 128 letters, digits and `._:/+=-`) comes back with the answer; else there is a new
one. Every GET answers HEAD, every path OPTIONS. `/api/v2` before a path means the same, but for live connections."""
HEADERS = {
    "X-Request-ID": {"description": "The call's id: yours, or a new one.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until it may be worth asking again.", "schema": {"type": "integer"}},
    "Deprecation": {"description": "Since when this call is deprecated (RFC 9745).", "schema": {"type": "string"}},
    "Sunset": {"description": "When it ends (RFC 8594), once that is known.", "schema": {"type": "string"}},
}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
CACHED = {"Cache-Control": "max-age=3600"}


def install_openapi(app: FastAPI, answer: type[BaseModel]) -> None:
    """Give the app an OpenAPI document with the problem schema and API keys described.

    It is made when first asked for, which takes a second of processor time: ask in a thread.
    """
    making = threading.Lock()

    def openapi() -> dict[str, Any]:
        with making:
            if app.openapi_schema is None:
                document = get_openapi(
                    title=app.title, version=app.version, summary=app.summary, routes=app.routes, tags=TAGS
                )
                _complete(document, answer)
                app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], answer: type[BaseModel]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    undeclared = (
        answer,
        CloneRequest,
        BatchRequest,
        RestoreRequest,
        RollbackRequest,
        DiscardRequest,
        ForkRequest,
        RefreshRequest,
        ResetRequest,
        VersionRequest,
        ScheduleRequest,
    )
    for model in undeclared:  # by any route
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    # the defaults of a batch may bring what each of its clones needs
    schemas["CloneOfBatch"] = {
        key: value for key, value in schemas["CloneRequest"].items() if key not in ("oneOf", "examples")
    }
    schemas["BatchRequest"]["properties"]["clones"]["items"] = {"$ref": "#/components/schemas/CloneOfBatch"}
    schemas |= live_paths.SCHEMAS
    document["paths"] |= copy.deepcopy(live_paths.PATHS)
    for name, path in document["paths"].items():
        for operation in path.values():
            _refusals(operation)
            _say_scope(operation)
            if action := ACTIONS.get(operation["operationId"]):
                operation["x-audit"] = action.value
            _say_fields(operation, ends=name.startswith(V1))
    components["headers"] = HEADERS
    components["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}
    # {}: on one's own machine no key is needed
    document["security"] = [{"apiKey": []}, {}]
    document["servers"] = [{"url": "/", "description": "The origin this document comes from"}]
    document["info"]["description"] = ABOUT


def _say_scope(operation: dict[str, Any]) -> None:
    """Which scope a key needs for it; who shows no key needs none where none is needed."""
    needed = NEEDED.get(operation["operationId"])
    if needed is None:
        operation["security"] = []
        return
    operation["x-scope"] = needed.value
    operation["security"] = [{"apiKey": [needed.value]}, {}]  # OpenAPI 3.1: the roles a bearer needs
    for status, described in problem(403).items():
        if status == 403:
            operation["responses"].setdefault("403", described)


def _say_fields(operation: dict[str, Any], *, ends: bool) -> None:
    """Which fields of answers say more than their body."""
    for status, response in operation["responses"].items():
        names = ["X-Request-ID"]
        names += ["Retry-After"] if status in ("429", "503") else []
        names += ["Deprecation", "Sunset"] if ends else []
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names} | response.get(
            "headers", {}
        )


def _refusals(operation: dict[str, Any]) -> None:
    """What any route answers to a body or an Idempotency-Key that can not be read, whatever the route is about."""
    headers = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    statuses = (400, 413, 415) if "requestBody" in operation else (400,) if "idempotency-key" in headers else ()
    for status, described in problem(*statuses).items():
        if status in statuses:
            operation["responses"].setdefault(str(status), described)


@router.get("/openapi.json")
def openapi_json(request: Request) -> Response:
    """The API for programs. No coroutine, like the next: FastAPI runs them in threads."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request) -> Response:
    """The API for people."""
    return HTMLResponse(render(request.app.openapi()), headers={"Content-Security-Policy": CSP})


@router.get("/docs.css")
async def style() -> Response:
    """How the page looks."""
    return Response(STYLE, media_type="text/css", headers=CACHED)


@router.get("/docs.js")
async def script() -> Response:
    """What makes its calls that can be tried."""
    return Response(SCRIPT, media_type="text/javascript", headers=CACHED)
