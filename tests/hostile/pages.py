"""Pages made to hurt whoever reads them, and addresses that lead where nobody should go."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping

from tests.hostile.forged import Raw

HTML = {"Content-Type": "text/html; charset=utf-8"}
MEGABYTE = 1 << 20


def page(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Raw:
    """Every address answers with this."""

    def answer(_method: str, _path: str) -> tuple[int, dict[str, str], Iterator[bytes]]:
        return status, {**HTML, "Content-Length": str(len(body)), **(headers or {})}, iter([body])

    return answer


def redirect(to: str) -> Raw:
    """Every address sends on to another one."""
    return page(b"", status=302, headers={"Location": to})


def endless(chunk: bytes) -> Raw:
    """A page without an end (here: 4 GB)."""

    def answer(_method: str, _path: str) -> tuple[int, dict[str, str], Iterator[bytes]]:
        return 200, dict(HTML), (chunk for _ in range((4 << 30) // len(chunk)))

    return answer


def packed(size: int) -> Raw:
    """A page of `size` zeros, packed."""
    return page(gzip.compress(b"\0" * size, 9), headers={"Content-Encoding": "gzip"})


def table() -> dict[str, Raw]:
    """Attacks by name."""
    return {
        "page of open tags": page(b"<form " * 200_000),
        "page of inputs": page(b"<form>" + b"<input name=a " * 90_000),
        "page of quotes": page(b"<a href='" * 130_000),
        "page of generators": page(b'<meta name="generator" content="WordPress ' * 30_000),
        "page of links": page(b"<link rel='EditURI' href='" * 50_000),
        "page of scripts": page(b"<script" * 170_000),
        "page of comments": page(b"<!--" * 300_000),
        "page of blanks": page(b"<link" + b" " * 1_200_000),
        "page of addresses": page(b"http://a" * 150_000),
        "page nested": page(b"<div>" * 240_000),
        "page of entities": page(b"&#x" * 400_000),
        "page of titles": page(b"<title>" * 170_000),
        "page packed": packed(1 << 30),
        "page endless": endless(b"<p>" * 20_000),
        "title with control characters": page(b"<title>\x1b]0;owned\x07\x1b[2J\xe2\x80\xae</title>"),
        "header endless": page(b"x", headers={"X-Long": "a" * (8 * MEGABYTE)}),
        "redirect to itself": redirect("/"),
        "redirect to a scheme": redirect("file:///etc/passwd"),
        "redirect to nonsense": redirect("http://[::1"),
        "redirect endless": redirect("/" + "a" * 60_000),
        "status unknown": page(b"x", status=799),
        "length wrong": page(b"x", headers={"Content-Length": "999999999"}),
    }
