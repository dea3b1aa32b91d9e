"""Sending rows and files to a restore's staging area: sizes of requests are found out, what broke off is sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from shared.wordpress.connector.errors import ConnectorFault, RequestTooLarge
from shared.wordpress.connector.packing import MAX_FILES, MIN_CHUNK, block_b64, file_packs, piece, row_packs, whole
from shared.wordpress.connector.target import Applied, FilePut

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
TRIES: Final = 3
"""Times a file is sent that arrives damaged."""
AT_ONCE: Final = 1000


class Chunks:
    """How much a request may carry; learns it from a server that refuses."""

    def __init__(self, size: int) -> None:
        self.size = size

    def refused(self, error: RequestTooLarge) -> None:
        """The last request was too large. Raises `error` when it can not be smaller."""
        if self.size <= MIN_CHUNK:
            raise error
        self.size = max(MIN_CHUNK, self.size // 2)


class RowSender:
    """`stage.apply` for one staged table."""

    def __init__(
        self, call: Call, chunks: Chunks, n: int, columns: Sequence[dict[str, Any]], key: Sequence[str]
    ) -> None:
        self._call = call
        self._chunks = chunks
        self._columns = columns
        self._key = key
        self._table = {
            "n": n,
            "columns": [{name: column.get(name) for name in ("name", "type_class", "charset")} for column in columns],
            "key": list(key),
        }
        self.upserted = self.deleted = 0

    def delete(self, keys: Iterable[bytes]) -> None:
        """Rows with these keys go."""
        pending = iter(keys)
        while batch := list(islice(pending, AT_ONCE)):
            self._send({"deletes_b64": block_b64(batch)})

    def write(self, lines: Iterable[bytes], *, first: bool = False) -> None:
        """These rows come; with `first` they are all there is."""
        if first:
            self._send({"first": True})
        for pack in row_packs(lines, self._columns, self._key, self._chunks.size):
            self._pack(pack.lines, pack.appends)

    def applied(self) -> Applied:
        """What has been done so far."""
        return Applied(self.upserted, self.deleted)

    def _pack(self, lines: list[bytes], appends: list[dict[str, Any]]) -> None:
        try:
            self._send({"upserts_b64": block_b64(lines)})
            for append in appends:
                self._send({"appends": [append]})
        except RequestTooLarge as error:
            self._chunks.refused(error)
            if appends:
                raise ConnectorFault("A large row is sent again in smaller pieces.", fault="smaller") from error
            for pack in row_packs(lines, self._columns, self._key, self._chunks.size):
                self._pack(pack.lines, pack.appends)

    def _send(self, part: dict[str, Any]) -> None:
        answer = self._call("stage.apply", {**self._table, **part})
        self.upserted += int(answer["upserted"])
        self.deleted += int(answer["deleted"])


class FileSender:
    """`stage.files`."""

    def __init__(self, call: Call, chunks: Chunks) -> None:
        self._call = call
        self._chunks = chunks

    def send(self, files: Iterable[FilePut]) -> int:
        """Stage these files; the bytes sent."""
        return sum(self._pack(pack) for pack in file_packs(self._missing(files), self._chunks.size))

    def _missing(self, files: Iterable[FilePut]) -> Iterator[FilePut]:
        pending = iter(files)
        while batch := list(islice(pending, MAX_FILES)):
            asked = [{**file.name.params(), "size": file.size, "md5": file.md5} for file in batch]
            have = self._call("stage.files", {"have": asked})["have"]
            yield from (file for file, there in zip(batch, have, strict=True) if not there)

    def _pack(self, pack: list[FilePut]) -> int:
        if len(pack) == 1 and pack[0].size > self._chunks.size:
            return self._in_chunks(pack[0])
        puts = []
        for file in pack:
            with file.open() as stream:
                puts.append(whole(file, stream.read()))
        try:
            return self._again("stage.files", {"puts": puts})
        except RequestTooLarge as error:
            self._chunks.refused(error)
            return sum(self._pack(part) for part in file_packs(pack, self._chunks.size))

    def _in_chunks(self, file: FilePut) -> int:
        for attempt in range(TRIES):
            try:
                return self._stream(file)
            except RequestTooLarge as error:
                self._chunks.refused(error)
            except ConnectorFault as error:
                if error.fault != "damaged_file" or attempt == TRIES - 1:
                    raise
        return self._stream(file)

    def _stream(self, file: FilePut) -> int:
        sent = 0
        with file.open() as stream:
            data = stream.read(self._chunks.size)
            while True:
                following = stream.read(self._chunks.size)
                put = piece(file, sent, data, last=not following)
                sent += int(self._call("stage.files", {"puts": [put]})["bytes"])
                if not following:
                    return sent
                data = following

    def _again(self, op: str, params: dict[str, Any]) -> int:
        for _ in range(TRIES - 1):
            try:
                return int(self._call(op, params)["bytes"])
            except ConnectorFault as error:
                if error.fault != "damaged_file":
                    raise
        return int(self._call(op, params)["bytes"])
