"""What an address takes: its methods, its parameters, and where it is written with a slash too many."""

from __future__ import annotations

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Scope

from services.gateway.problems import LISTED, TOLD, Problem
from shared.web import unknown_parameters


def methods_of(app: ASGIApp, path: str) -> list[str]:
    """Every method an address takes; empty when there is nothing at it. `/jobs/retry` is no job's address."""
    routes = [
        route
        for route in _routes(app)
        if isinstance(route, APIRoute) and route.matches(_asked(path))[0] is not Match.NONE
    ]
    found: set[str] = set()
    for route in [route for route in routes if route.path == path] or routes:
        found |= route.methods or set()
    if "GET" in found:
        found.add("HEAD")
    return sorted({*found, "OPTIONS"}) if found else []


def without_slash(app: ASGIApp, path: str, query: bytes) -> str | None:
    """Where a request went that ends with slashes too many, relative to this server; None where nothing is there."""
    bare = path.rstrip("/")
    if bare == path or not bare or "//" in bare or not methods_of(app, bare):
        return None
    return bare + (f"?{query.decode('latin-1')}" if query else "")


def check_query(scope: Scope) -> None:
    """Refuse parameters an address does not know, as fields of a body it does not know are: they may be misspelt ones.

    Raises a 422 problem.
    """
    route = _route(scope)
    if route is None:
        return
    known = {parameter.alias for parameter in route.dependant.query_params}
    unknown = unknown_parameters(scope["query_string"], known)
    if not unknown:
        return
    takes = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
    raise Problem(
        422,
        "invalid_request",
        f"The request is not valid: {', '.join(unknown[:TOLD])} is no parameter of this address.",
        hint=takes,
        errors=[{"field": name, "message": f"is no parameter of this address. {takes}"} for name in unknown[:LISTED]],
    )


def _route(scope: Scope) -> APIRoute | None:
    for route in _routes(scope["app"]):
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL:
            return route
    return None


def _routes(app: ASGIApp) -> list[BaseRoute]:
    routes: list[BaseRoute] = app.router.routes  # type: ignore[attr-defined]
    return routes


def _asked(path: str) -> Scope:
    return {"type": "http", "path": path, "method": "OPTIONS", "root_path": "", "headers": []}
