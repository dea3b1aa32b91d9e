"""Rows and files cut into what one request may hold."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.wordpress.connector.target import FilePut

MAX_CHUNK: Final = 2 * 1024 * 1024
MIN_CHUNK: Final = 48 * 1024
"""A web server's smallest sensible body limit is 128 KiB; base64 makes a third more of it."""
MAX_ROWS: Final = 2000
MAX_FILES: Final = 200

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_MEANING = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"0": b"\0", b"Z": b"\x1a"}
_WIDE = frozenset({"ucs2", "utf16", "utf16le", "utf32"})


def chunk_size(post_max_size: int, max_allowed_packet: int = 0) -> int:
    """Bytes of payload one request may carry (0 or less = no limit said)."""
    limits = [MAX_CHUNK]
    if post_max_size > 0:
        limits.append(int(post_max_size * 0.6 / 1.4))
    if max_allowed_packet > 0:
        limits.append(max_allowed_packet // 3)
    return max(MIN_CHUNK, min(limits))


@dataclass(slots=True)
class RowPack:
    """Rows of one request; `appends` are pieces of a row that was too large for it, sent one by one afterwards."""

    lines: list[bytes] = field(default_factory=list)
    appends: list[dict[str, Any]] = field(default_factory=list)


def row_packs(
    lines: Iterable[bytes], columns: Sequence[dict[str, Any]], key: Sequence[str], chunk: int
) -> Iterator[RowPack]:
    """The lines, many to a request; a line larger than `chunk` alone, with its large cells in pieces."""
    pack, size = RowPack(), 0
    for line in lines:
        large = len(line) > chunk
        if pack.lines and (large or size + len(line) > chunk or len(pack.lines) >= MAX_ROWS):
            yield pack
            pack, size = RowPack(), 0
        if large and key:
            yield _in_pieces(line, columns, key, chunk)
            continue
        pack.lines.append(line)
        size += len(line) + 1
    if pack.lines:
        yield pack


def _in_pieces(line: bytes, columns: Sequence[dict[str, Any]], key: Sequence[str], chunk: int) -> RowPack:
    cells = line.split(b"\t")
    names = [column["name"] for column in columns]
    key_b64 = base64.b64encode(b"\t".join(cells[names.index(part)] for part in key)).decode()
    appends = []
    for place, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        if len(cell) <= chunk // (2 * len(cells)):
            continue
        value = unescaped(cell)
        for start, end in _pieces(value, column, chunk):
            data = base64.b64encode(value[start:end]).decode()
            appends.append({"key_b64": key_b64, "column": column["name"], "offset": start, "data_b64": data})
        cells[place] = b""
    return RowPack([b"\t".join(cells)], appends)


def _pieces(value: bytes, column: dict[str, Any], chunk: int) -> Iterator[tuple[int, int]]:
    """Where to cut: never inside a character, which a strict server would refuse."""
    charset = column.get("charset") or ""
    step, start = chunk - chunk % 4, 0
    while start < len(value):
        end = min(len(value), start + step)
        while charset.startswith("utf8") and start < end < len(value) and value[end] & 0xC0 == 0x80:
            end -= 1
        assert charset not in _WIDE or end == len(value) or end % 4 == 0
        yield start, end
        start = end


def unescaped(cell: bytes) -> bytes:
    """The bytes a cell's text stands for."""
    return _ESCAPED.sub(lambda found: _MEANING.get(found[1], found[1]), cell)


def file_packs(files: Iterable[FilePut], chunk: int) -> Iterator[list[FilePut]]:
    """Files that fit into one request together; a larger one comes alone."""
    pack: list[FilePut] = []
    size = 0
    for file in files:
        if pack and (size + file.size > chunk or len(pack) >= MAX_FILES):
            yield pack
            pack, size = [], 0
        pack.append(file)
        size += file.size + 200
    if pack:
        yield pack


def block_b64(lines: Iterable[bytes]) -> str:
    """Lines as requests carry them."""
    return base64.b64encode(b"".join(line + b"\n" for line in lines)).decode()


def whole(file: FilePut, data: bytes) -> dict[str, Any]:
    """A file that travels in one piece."""
    return piece(file, 0, data, last=True)


def piece(file: FilePut, offset: int, data: bytes, *, last: bool) -> dict[str, Any]:
    """A chunk of a file; the last one says what the file has to be."""
    put = {**file.name.params(), "offset": offset, "data_b64": base64.b64encode(data).decode()}
    if last:
        put |= {"last": True, "size": file.size, "mode": file.mode, "mtime": file.mtime, "md5": file.md5}
    return put
