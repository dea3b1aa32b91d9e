"""Rows of the clone on their way: who wrote them, where they point to, what they are then."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from services.restorer.domain.people import AUTHORS, with_author
from services.restorer.domain.tables import Pair
from services.restorer.run import RestoreRun
from shared.wordpress.connector.protocol import TruncatedResponse
from shared.wordpress.connector.target import TableRead
from shared.wordpress.rewrite import ColumnRule, Mode

TEXT = frozenset({"text", "json"})
CHUNK_BYTES = 1 << 20
KEYS = 2000
BUDGET = 10.0
MAX_BYTES = 256 << 20
TRIES = 4
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A row as production shall have it."""

    key: bytes
    line: bytes
    digest: bytes


class Mover:
    """Turns rows of one table of the clone into rows of production."""

    def __init__(self, run: RestoreRun, pair: Pair) -> None:
        self._run = run
        self._pair = pair
        self._rules = [
            ColumnRule(column["name"], Mode.REWRITE if column["type_class"] in TEXT else Mode.KEEP)
            for column in pair.source.columns
        ]
        self._places = [pair.columns.index(name) for name in pair.key]
        author = AUTHORS.get(pair.short)
        self._author = pair.columns.index(author[0]) if author and author[0] in pair.columns else -1
        self._owned = bool(author and author[1])
        self._names = self._renamed()
        self.keys: Mapping[bytes, bytes] = {}
        """Keys of the clone -> keys of production, for rows whose key holds an address."""
        self.leftovers = 0
        self.left_at: list[str] = []
        """Some of the places of leftovers, for people."""

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        """The rows of these lines of the clone, in their order."""
        held: list[bytes] = []
        size = 0
        for line in lines:
            held.append(self._own(line))
            size += len(line)
            if size >= CHUNK_BYTES:
                yield from self._moved(held)
                held, size = [], 0
        if held:
            yield from self._moved(held)

    def key(self, line: bytes) -> bytes:
        """The key of a row."""
        cells = line.split(b"\t")
        return b"\t".join(cells[place] for place in self._places)

    def own_key(self, key: bytes) -> bytes:
        """The key production has for a key of the clone."""
        return self.keys.get(key) or self._names.get(key, key)

    def _own(self, line: bytes) -> bytes:
        """Names of users and prefixes as production has them."""
        if self._author < 0 and not self._names:
            return line
        cells = line.split(b"\t")
        if self._author >= 0:
            cells[self._author] = with_author(cells[self._author], self._run.users, owned=self._owned)
        if self._names:
            place = self._pair.columns.index({"options": "option_name", "usermeta": "meta_key"}[self._pair.short])
            cells[place] = self._names.get(cells[place], cells[place])
        return b"\t".join(cells)

    def _moved(self, lines: list[bytes]) -> Iterator[Row]:
        chunk = b"\n".join(lines) + b"\n"
        rewriter, table = self._run.rewriter, self._pair.live
        moved = rewriter.rewrite_tsv(chunk, self._rules, table=table)
        after = moved.split(b"\n")[:-1]
        if self.keys:
            after = [self._keyed(old, new) for old, new in zip(lines, after, strict=True)]
        for line in after:
            yield Row(self.key(line), line, digest(line))

    def look(self, line: bytes) -> None:
        """Count the places in a row that travels which still name the clone's address, encoded ones too."""
        rewriter, encoded = self._run.rewriter, self._run.encoded_clone.found_in(line)
        if encoded or rewriter.may_match(line):
            found = rewriter.count_leftovers_tsv(line + b"\n", self._rules, self._pair.live)
            self.leftovers += max(sum(found.values()), int(encoded))
            if (found or encoded) and len(self.left_at) < MAX_NAMED:
                row = self.key(line).replace(b"\t", b", ").decode("utf-8", "backslashreplace")[:120]
                named = [".".join(place) for place in found] or [self._pair.live]
                self.left_at += [f"{name} row {row}" if self._pair.key else name for name in named]

    def _keyed(self, old: bytes, new: bytes) -> bytes:
        """The row with the key production has for it: of two addresses that are one on the clone, it has both."""
        theirs = self.keys.get(self.key(old))
        if theirs is None:
            return new
        cells = new.split(b"\t")
        for place, cell in zip(self._places, theirs.split(b"\t"), strict=True):
            cells[place] = cell
        return b"\t".join(cells)

    def _renamed(self) -> dict[bytes, bytes]:
        """WordPress writes the prefix into a few names."""
        here, there = self._run.theirs["prefix"], self._run.ours["prefix"]
        names = {
            "options": ("user_roles",),
            "usermeta": ("capabilities", "user_level", "user-settings", "user-settings-time"),
        }.get(self._pair.short, ())
        return {f"{here}{name}".encode(): f"{there}{name}".encode() for name in names} if here != there else {}


def batched(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of at most `size`."""
    source = iter(keys)
    while batch := list(islice(source, size)):
        yield batch


def digest(line: bytes) -> bytes:
    """What tells whether two rows are the same: as the connector computes it, in 16 bytes."""
    return hashlib.md5(line, usedforsecurity=False).digest()


def stream(run: RestoreRun, table: TableRead) -> Iterator[bytes]:
    """All rows of a table of the source without a key, as lines. Starts again when an answer breaks off: callers take
    them from a fresh list."""
    params = {"tables": [table.params()], "budget": BUDGET, "max_bytes": MAX_BYTES}
    cursor, partial = None, b""
    while True:
        end: dict[str, object] = {}
        for frame in run.source.client.stream("db.stream", {**params, "cursor": cursor}):
            run.token.check()
            if frame.type == "R":
                partial += frame.payload
                if not frame.continues:
                    yield from partial.split(b"\n")[:-1]
                    partial = b""
            elif frame.type == "E":
                end = frame.json()
        if end.get("done", True):
            return
        cursor = end["cursor"]


def all_rows(run: RestoreRun, table: TableRead) -> list[bytes]:
    """`stream`, from its beginning until it came whole. Raises TruncatedResponse after a few tries."""
    for _ in range(TRIES - 1):
        try:
            return list(stream(run, table))
        except TruncatedResponse:
            continue
    return list(stream(run, table))
