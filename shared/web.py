"""What every HTTP service of ours agrees on: names it answers to, request ids, bounds, pages of other origins."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
EXPOSED = (
    "Location, ETag, Retry-After, RateLimit, RateLimit-Policy, X-Request-ID, Preference-Applied, Allow, Link, "
    "Deprecation, Sunset"
)
"""Fields of an answer that a page of another origin may read beside those any may."""
ASKED = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Traceparent, X-Request-ID"
"""Fields such a page may send."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")
PREFLIGHT_SECONDS = 600
PROBLEM = "application/problem+json"
HEAD_MAX = 64 * 1024
"""Bytes of a request's address and header fields."""
HEAD_READ = 4 * HEAD_MAX
"""Bytes of a head that are read, so that one that is too large is still answered as others are."""
TOLD_MOST = 200
"""Characters of an address that are told again."""


def names(listed: str) -> frozenset[str]:
    """Comma-separated Host names as a set."""
    return frozenset(name.strip().lower() for name in listed.split(",") if name.strip())


def origin_names(listed: str) -> frozenset[str]:
    """Comma-separated origins as a set, as browsers write them into the Origin header."""
    return frozenset(name.rstrip("/") for name in names(listed))


def problem_document(
    status: int, code: str, detail: str, *, hint: str, instance: str | None = None, **more: Any
) -> dict[str, Any]:
    """An error as everything of ours that speaks HTTP writes it (RFC 9457). `instance`: the path that was asked for."""
    body: dict[str, Any] = {
        "type": f"urn:siteferry:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if instance is not None:
        body["instance"] = instance[:TOLD_MOST]
    return {**body, "code": code, "hint": hint, **more}


def request_id(given: str | None) -> str:
    """The id of a request: the caller's, where it is one that may be told again, else a new one."""
    return given if given and REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks on behalf of a page what that may do (Fetch, CORS-preflight request)."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def may_read(origin: str | None, allowed: frozenset[str]) -> dict[str, str]:
    """The fields that let a page of an allowed origin read an answer; the answer always depends on the origin.

    No cookies go with such a request: a page of another origin shows a key of its own.
    """
    if origin is None or origin.lower() not in allowed:
        return {}
    return {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED}


def may_ask(origin: str | None, allowed: frozenset[str], methods: Iterable[str]) -> dict[str, str]:
    """The fields of the answer to a preflight request."""
    if origin is None or origin.lower() not in allowed:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": ", ".join(sorted(methods)),
        "access-control-allow-headers": ASKED,
        "access-control-max-age": str(PREFLIGHT_SECONDS),
    }


def head_size(raw_path: bytes, query: bytes, fields: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of an address and of header fields."""
    return len(raw_path) + len(query) + sum(len(name) + len(value) for name, value in fields)


def unknown_parameters(query: bytes, known: Collection[str]) -> list[str]:
    """Parameters of a query that are not known, as they may be told again: by name, unless that is no name.

    `?name=…` has a name; what stands there alone, or looks otherwise, may be a secret that was pasted.
    """
    given = [part.partition("=") for part in query.decode("latin-1").split("&") if part]
    found = [(unquote_plus(name), sign) for name, sign, _ in given if unquote_plus(name) not in known]
    return list(dict.fromkeys(name if sign and NAME.fullmatch(name) else "query" for name, sign in found))
