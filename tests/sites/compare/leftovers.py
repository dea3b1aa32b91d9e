"""Whether the source's address is still anywhere."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.sites.compare.tables import NOT_MAPPED, Tables

TEXT = (".php", ".css", ".js", ".json", ".html", ".xml", ".txt", ".svg", ".ini", ".map", ".htm", ".po")


@dataclass(frozen=True)
class Leftover:
    """Where it was found: table and column, or a path; `excerpt` shows it."""

    place: str
    excerpt: str


def spellings(url: str) -> list[re.Pattern[bytes]]:
    """The address's host (with its port) in every escaping, as patterns that e-mails and look-alikes do not match."""
    parts = urlsplit(url)
    host = re.escape((parts.hostname or "").encode())
    colons = (rb":", rb"%(?:25)*3a", rb"\\+u003a", rb"&#0*58;", rb"&#x0*3a;", rb"&colon;")
    port = rb"(?:" + b"|".join(colons) + rb")%d(?!\d)" % parts.port if parts.port else rb"(?![\w\-]|\.\w)"
    # Hex digits before the host are what is left of %2F.
    before = rb"(?:(?<=%2f)|(?<=%252f)|(?<=%25252f)|(?<=u002f)|(?<![\w.\-@]))(?:www\.)?"
    found = [re.compile(before + host + port, re.I)]
    raw = f"//{parts.netloc}".encode()
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # The characters that share bits with whatever stands before and after are not ours to look for.
        core = coded[4 if shift else 0 :].rstrip(b"=")[:-2]
        found.append(re.compile(re.escape(core)))
    found.append(re.compile(re.escape(raw.decode().encode("utf-16-le")), re.I))
    return found


def leftovers(tables: Tables, url: str, *, skip: frozenset[tuple[str, str]] = NOT_MAPPED) -> list[Leftover]:
    """Every value of every table that still holds the address. `skip`: (table without prefix, column)."""
    patterns = spellings(url)
    found = []
    for table in tables.names():
        bare = table.removeprefix(tables.prefix)
        columns = tables.stored(table)
        for row in tables.rows(table):
            for column, value in zip(columns, row, strict=True):
                if value and (bare, column) not in skip:
                    where = f"{table}.{column}[{(row[0] or b'')[:60].decode(errors='replace')}]"
                    found += [Leftover(where, text) for text in _matches(value, patterns)]
    return found


def file_leftovers(root: Path, url: str, *, skip: tuple[str, ...] = ()) -> list[Leftover]:
    """Text files below `root` that still hold the address. `skip`: paths that start with one of these."""
    patterns = spellings(url)
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            relative = str(path.relative_to(root))
            if name.endswith(TEXT) and not relative.startswith(skip) and path.is_file() and not path.is_symlink():
                found += [Leftover(relative, text) for text in _matches(path.read_bytes(), patterns)]
    return found


def _matches(value: bytes, patterns: list[re.Pattern[bytes]]) -> Iterator[str]:
    for pattern in patterns:
        if match := pattern.search(value):
            yield repr(value[max(0, match.start() - 40) : match.end() + 20])
