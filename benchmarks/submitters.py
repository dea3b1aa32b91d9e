"""Closed-loop submitters, as a process of their own: each posts, looks the job up, and posts again.

    python -m benchmarks.submitters http://127.0.0.1:8081 --submissions 2000 --concurrency 50

Speaks HTTP itself, over connections that stay open: a full client costs more time than the server measured. Prints
one JSON object: milliseconds of each POST and GET, and how many GETs said 404.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

BODY = {
    "source_url": "https://shop.example.com",
    "username": "admin",
    "password": "correct horse battery staple",
    "ttl_minutes": 1440,
    "name": "Shop before the update",
}


@dataclass
class Figures:
    """What was measured."""

    posts: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    not_found: int = 0
    errors: int = 0
    seconds: float = 0.0


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def to(cls, url: str) -> Self:
        """An open one."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port or 80), parts.netloc)

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        return int(answer[9:12]), await self._reader.readexactly(length)


async def submitter(connection: Connection, share: int, figures: Figures, *, look: bool, path: str) -> None:
    body = json.dumps(BODY).encode()
    for _ in range(share):
        began = time.perf_counter()
        status, answer = await connection.ask("POST", path, body)
        posted = time.perf_counter()
        figures.posts.append((posted - began) * 1000)
        if status not in (200, 202):
            figures.errors += 1
        elif look:
            status, _ = await connection.ask("GET", json.loads(answer)["status_url"])
            figures.gets.append((time.perf_counter() - posted) * 1000)
            figures.not_found += status == 404
            figures.errors += status not in (200, 404)


async def load(url: str, submissions: int, concurrency: int, *, look: bool, path: str) -> Figures:
    """Run the submitters; every one gets its share."""
    figures = Figures()
    connections = [await Connection.to(url) for _ in range(concurrency)]
    began = time.perf_counter()
    share = -(-submissions // concurrency)
    await asyncio.gather(*(submitter(item, share, figures, look=look, path=path) for item in connections))
    figures.seconds = time.perf_counter() - began
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--submissions", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--path", default="/clone")
    parser.add_argument("--no-look", action="store_true", help="only POST")
    chosen = parser.parse_args()
    figures = asyncio.run(
        load(chosen.url, chosen.submissions, chosen.concurrency, look=not chosen.no_look, path=chosen.path)
    )
    print(json.dumps(vars(figures)))


if __name__ == "__main__":
    main()
