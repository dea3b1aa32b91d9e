"""Long answers go compressed to clients that take that.

Answers that may hold a password do not: their length would tell of it (BREACH).
"""

from __future__ import annotations

import re

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

LISTS = frozenset(
    {
        "/jobs",
        "/clones",
        "/batches",
        "/snapshots",
        "/images",
        "/schedules",
        "/statistics",
        "/workers",
        "/metrics",
        "/docs",
        "/docs.css",
        "/docs.js",
        "/openapi.json",
    }
)
LONG = re.compile("/batches/.*|/operations/.*|/jobs/[^/]*/story")
LEAST = 1024
"""Bytes an answer must have to be worth it."""
LEVEL = 5


class Compress:
    """Middleware around everything that is answered with a list."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._zipped = GZipMiddleware(app, minimum_size=LEAST, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        listed = scope["type"] == "http" and (path in LISTS or LONG.fullmatch(path))
        await (self._zipped if listed else self._app)(scope, receive, send)
