"""Documented answers that several routes share."""

from __future__ import annotations

from typing import Any

from services.gateway.models import ProblemAnswer
from shared.web import PROBLEM

TEXT = {
    400: "The body is no JSON, or a header can not be read",
    401: "No valid API key",
    403: "Not allowed",
    404: "There is no such job, batch, clone or snapshot",
    409: "The state does not allow this",
    410: "It was there, and is gone for good",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "The request is not valid",
    426: "This address speaks another protocol",
    429: "Too many changes in a short time",
    503: "NATS, or the worker that knows, can not be reached; Retry-After says when to try again",
}


Responses = dict[int | str, dict[str, Any]]


def problem(*statuses: int, also: Responses | None = None) -> Responses:
    """OpenAPI entries of the problems a route may answer with, on top of 401, 422 and 503; `also` has others."""
    schema = {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"}
    known: Responses = {
        status: {"description": TEXT[status], "content": {PROBLEM: {"schema": schema}}}
        for status in sorted({401, 422, 503, *statuses})
    }
    return {**(also or {}), **known}
