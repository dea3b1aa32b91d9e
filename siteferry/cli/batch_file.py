"""Reading a file of clones: JSON, JSON Lines or CSV; what is wrong is said with its line."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siteferry.cli.client import CliError, Exit
from siteferry.cli.context import parse_ttl, site_address

MOST = 1000
LISTS = ("exclude_tables", "exclude_paths", "allow_http")
COLUMNS = ("source_url", "username", "password", "pairing_key", "name", "ttl", "ttl_minutes", "priority", *LISTS)
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Rows:
    """The clones of a file and the line each one begins at; `defaults` when the file brought its own."""

    clones: list[dict[str, Any]]
    lines: list[int]
    defaults: dict[str, Any]


def read(path: str) -> Rows:
    """The clones of a file; `-` is stdin. Raises CliError that names the line."""
    text = _text(path)
    if not text.strip():
        raise CliError(f"{_name(path)} is empty.", code=Exit.USAGE)
    first = text.lstrip()[0]
    rows = _csv(text) if first not in "[{" else _json(text) if first == "[" or _is_whole(text) else _json_lines(text)
    if not rows.clones:
        raise CliError(f"{_name(path)} has no clones.", code=Exit.USAGE)
    if len(rows.clones) > MOST:
        raise CliError(
            f"{_name(path)} has {len(rows.clones):,} clones; a batch has at most {MOST:,}.",
            hint="Split it: each part is then a batch of its own.",
            code=Exit.USAGE,
        )
    return rows


def _text(path: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise CliError(f"{path} can not be read: {error.strerror}.", code=Exit.USAGE) from None
    except UnicodeDecodeError:
        raise CliError(f"{_name(path)} is not UTF-8 text.", code=Exit.USAGE) from None


def _name(path: str) -> str:
    return "stdin" if path == "-" else path


def _is_whole(text: str) -> bool:
    """Whether a text that begins with `{` is one object, not one a line."""
    try:
        return "clones" in json.loads(text)
    except ValueError:
        return False


def _json(text: str) -> Rows:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _bad(getattr(error, "lineno", 1), f"is not valid JSON: {getattr(error, 'msg', error)}") from None
    body = value if isinstance(value, dict) else {"clones": value}
    clones, defaults = body["clones"], body.get("defaults") or {}
    if set(body) - {"clones", "defaults"} or not isinstance(clones, list) or not isinstance(defaults, dict):
        raise CliError('The file must be a list of clones, or {"defaults": {…}, "clones": […]}.', code=Exit.USAGE)
    lines = _lines_of(text, len(clones))
    return Rows([_object(clone, line) for clone, line in zip(clones, lines, strict=True)], lines, defaults)


def _lines_of(text: str, count: int) -> list[int]:
    """The line each member of a JSON document's list of clones begins at."""
    decoder, lines = json.JSONDecoder(), []
    found = re.search(r'^\s*\[|"clones"\s*:\s*\[', text)
    position = found.end() if found else 0
    for _ in range(count):
        try:
            while text[position] in " \t\r\n,":
                position += 1
            lines.append(text.count("\n", 0, position) + 1)
            position = decoder.raw_decode(text, position)[1]
        except (ValueError, IndexError):  # not the list we took it for
            return [1] * count
    return lines


def _json_lines(text: str) -> Rows:
    clones, lines = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise _bad(number, f"is not valid JSON: {getattr(error, 'msg', error)}") from None
        clones.append(_object(value, number))
        lines.append(number)
    return Rows(clones, lines, {})


def _object(value: Any, line: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(line, "is not an object with source_url, username and password")
    return {**value, "source_url": _address(value.get("source_url"), line)}


def _csv(text: str) -> Rows:
    head = text.lstrip().splitlines()[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    clones, lines, begin = [], [], 1
    try:
        for row in reader:
            line, begin = begin, reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = _header(row, line)
                continue
            if len(row) != len(header):
                raise _bad(line, f"has {len(row)} fields, the header has {len(header)}")
            clones.append(_clone(dict(zip(header, row, strict=True)), line))
            lines.append(line)
    except csv.Error as error:
        raise _bad(reader.line_num, f"is not valid CSV: {error}") from None
    return Rows(clones, lines, {})


def _header(row: list[str], line: int) -> list[str]:
    names = [cell.strip().lower() for cell in row]
    if "source_url" not in names:
        raise CliError(
            f"Line {line} must name the columns, source_url among them.",
            hint=f"Columns: {', '.join(COLUMNS)}.",
            code=Exit.USAGE,
        )
    for name in names:
        if name not in COLUMNS or names.count(name) > 1:
            raise CliError(
                f"Line {line}: {name or 'an empty name'} is not a column, or is there twice.",
                hint=f"Columns: {', '.join(COLUMNS)}.",
                code=Exit.USAGE,
            )
    return names


def _clone(cells: Mapping[str, str], line: int) -> dict[str, Any]:
    """A row as a clone; empty cells are left out. A password keeps its spaces."""
    given = {name: cell if name == "password" else cell.strip() for name, cell in cells.items() if cell.strip()}
    clone: dict[str, Any] = {
        name: cell for name, cell in given.items() if name not in (*LISTS, "ttl", "ttl_minutes", "source_url")
    }
    clone["source_url"] = _address(given.get("source_url"), line)
    if ttl := given.get("ttl") or given.get("ttl_minutes"):
        try:
            clone["ttl_minutes"] = parse_ttl(ttl)
        except CliError as error:
            raise _bad(line, f"has a wrong ttl: {error.message}") from None
    options = {
        name: [part.strip() for part in given[name].split("|") if part.strip()] for name in LISTS if name in given
    }
    return clone | ({"options": options} if options else {})


def _address(value: object, line: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(line, "has no source_url")
    text = value.strip()
    try:
        return site_address(text)
    except CliError as error:
        raise _bad(line, error.message) from None


def _bad(line: int, words: str) -> CliError:
    return CliError(f"Line {line} {words}.".replace("..", "."), hint="Nothing was submitted.", code=Exit.USAGE)
