"""The dashboard: files as they are in `static/`, under a content security policy that allows nothing else."""

from __future__ import annotations

import gzip
import mimetypes
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.status.problems import problem

STATIC = Path(__file__).parent / "static"
SUFFIXES = frozenset({".html", ".css", ".js", ".svg"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for again each time, answered with 304: never a stale mix of old and new
}

router = APIRouter()


class File:
    """One file, read once."""

    def __init__(self, path: Path) -> None:
        self.body = path.read_bytes()
        self.zipped = gzip.compress(self.body, mtime=0)
        self.etag = f'"{sha256(self.body).hexdigest()[:20]}"'
        kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(path.suffix) or mimetypes.guess_type(path)[0]
        self.media_type = f"{kind}; charset=utf-8"


def load(root: Path = STATIC) -> dict[str, File]:
    """Every file that may be served, by its path below the root."""
    return {str(path.relative_to(root)): File(path) for path in root.rglob("*") if path.suffix in SUFFIXES}


FILES = load()


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """The page; what it shows is behind the `#`."""
    return answer(request, FILES["index.html"])


@router.get("/favicon.ico", include_in_schema=False)
async def favicon(request: Request) -> Response:
    """For browsers that do not read the page's own icon."""
    return answer(request, FILES["icon.svg"])


@router.get("/assets/{path:path}", include_in_schema=False)
async def asset(request: Request, path: str) -> Response:
    """Scripts, style and pictures. Only files known from the start are served, so no path leads anywhere else."""
    file = FILES.get(path)
    if file is None:
        return problem(404, "not_found", "There is nothing at this address.", request.scope)
    return answer(request, file)


def answer(request: Request, file: File) -> Response:
    """The file, or 304 when the browser has it."""
    headers = {**HEADERS, "ETag": file.etag, "Vary": "Accept-Encoding"}
    zipped = "gzip" in request.headers.get("accept-encoding", "")
    if zipped:
        headers |= {"ETag": f'{file.etag[:-1]}-gzip"', "Content-Encoding": "gzip"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    return Response(file.zipped if zipped else file.body, media_type=file.media_type, headers=headers)
