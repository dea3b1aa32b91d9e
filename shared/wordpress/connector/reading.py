"""Long answers of the connector, read to their end: what breaks off is resumed from the last place that is known."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from shared.wordpress import limits
from shared.wordpress.connector.client import ConnectorClient
from shared.wordpress.connector.errors import ConnectorFault
from shared.wordpress.connector.protocol import Frame, TruncatedResponse
from shared.wordpress.connector.target import (
    FileBytes,
    FileDigest,
    FileEnd,
    FileEvent,
    FileGone,
    FileName,
    FileStart,
    LinkDigest,
    TableRead,
)
from shared.wordpress.errors import SourceUnreachable

TRIES: Final = 4
"""Times in a row that an answer may break off without anything new."""
PAUSE: Final = 0.5
MAX_KEYS: Final = 5000
"""Keys the connector takes in one request."""
MAX_NAMES: Final = 5000
Cursor = dict[str, Any] | None


class Reader:
    """One reading operation, across as many answers as it takes."""

    def __init__(
        self, client: ConnectorClient, op: str, params: dict[str, Any], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._op = op
        self._params = params
        self._sleep = sleep
        self.cursor: Cursor = None
        """Where the next answer goes on; set it when everything before is dealt with."""

    def frames(self, broken: Callable[[], None]) -> Iterator[Frame]:
        """Frames of all answers but their ends. `broken` is called before an answer is asked again from `cursor`."""
        failures = 0
        while True:
            before = self.cursor
            try:
                for frame in self._client.stream(self._op, {**self._params, "cursor": self.cursor}):
                    if frame.type == "E":
                        end = frame.json()
                    else:
                        yield frame
            except (SourceUnreachable, TruncatedResponse, ConnectorFault):
                failures = 1 if self.cursor != before else failures + 1
                if failures >= TRIES:
                    raise
                broken()
                self._sleep(PAUSE * 2**failures)
                continue
            if end["done"]:
                return
            failures, self.cursor = 0, end["cursor"]


def row_blocks(client: ConnectorClient, op: str, params: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """(table, block of whole lines) of db.stream and db.fetch; no row comes twice."""
    reader = Reader(client, op, params)
    table, held = "", bytearray()
    for frame in reader.frames(held.clear):
        if frame.type == "T":
            table = frame.json()["table"]
        elif frame.type == "R":
            held += frame.payload
            limits.ROW.check(len(held))
        elif frame.type == "K":
            reader.cursor = frame.json()
            if held:
                yield table, bytes(held)
                held.clear()


def rows_by_key(client: ConnectorClient, table: TableRead, keys: Iterable[bytes], budget: float) -> Iterator[bytes]:
    """The lines of these rows, without newlines."""
    pending = iter(keys)
    while batch := [base64.b64encode(key).decode() for key in islice(pending, MAX_KEYS)]:
        params = {"tables": [{**table.params(), "keys_b64": batch}], "budget": budget}
        for _, block in row_blocks(client, "db.fetch", params):
            yield from block.removesuffix(b"\n").split(b"\n")


def file_digests(
    client: ConnectorClient, bases: Sequence[str], skip: Sequence[dict[str, str]], budget: float
) -> Iterator[FileDigest | LinkDigest]:
    """Every file and link of these bases."""
    reader = Reader(client, "files.digest", {"bases": list(bases), "skip": list(skip), "budget": budget})
    for frame in reader.frames(lambda: None):
        data = frame.json()
        for item in data["files"]:
            yield FileDigest(
                item["base"], _path(item), int(item["size"]), int(item["mtime"]), int(item["mode"]), item["md5"]
            )
        for item in data["links"]:
            yield LinkDigest(item["base"], _path(item), base64.b64decode(item["target_b64"]))
        reader.cursor = data["cursor"] or reader.cursor


def file_events(client: ConnectorClient, names: Iterable[FileName], budget: float) -> Iterator[FileEvent]:
    """The bytes of these files."""
    pending = iter(names)
    while batch := list(islice(pending, MAX_NAMES)):
        yield from _batch_events(client, batch, budget)


def _batch_events(client: ConnectorClient, batch: list[FileName], budget: float) -> Iterator[FileEvent]:
    reader = Reader(client, "files.fetch", {"files": [name.params() for name in batch], "budget": budget})
    at, offset, meta = 0, 0, {"size": 0, "mtime": 0}
    for frame in reader.frames(lambda: None):
        if frame.type == "F":
            meta = frame.json()
            if meta["offset"] == 0 or meta["offset"] != offset:
                offset = meta["offset"]
                yield FileStart(batch[at], int(meta["size"]), int(meta["mtime"]), int(meta["mode"]))
        elif frame.type == "B":
            offset += len(frame.payload)
            limits.check_growth(int(meta["size"]), offset)
            yield FileBytes(frame.payload)
            reader.cursor = {"at": at, "offset": offset, "size": meta["size"], "mtime": meta["mtime"]}
        elif frame.type == "C":
            end = frame.json()
            yield FileEnd(int(end["size"]), bool(end["changed"]))
            at, offset = at + 1, 0
            reader.cursor = {"at": at}
        elif frame.type == "W":
            yield FileGone(batch[at], str(frame.json()["reason"]))
            at, offset = at + 1, 0
            reader.cursor = {"at": at}


def _path(item: dict[str, Any]) -> bytes:
    path = base64.b64decode(item["path_b64"])
    limits.NAME.check(len(path))
    return path
