"""Rewrites one value: text, escaped text, serialized PHP, base64 shortcodes, and each in each."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Iterator

from . import php
from .claims import Claim, Edit, Rank, all_proven, settled
from .context import Found
from .layers import ESCAPINGS, Layer
from .leftovers import in_base64
from .matcher import Candidate, Cursor, Matcher
from .report import Kind, Reason
from .shortcodes import CLOSING, OPENING, from_base64
from .signs import ANY_HEAD, PLAIN_HEAD

MAX_DEPTH = 12
"""Serialized values inside strings or bodies of serialized values, and layers of escaping, are followed this deep."""

_HELD = 1024
"""Edits held at most while nothing can be taken back."""

_EFFORT = 24
"""Bytes decoded for each byte of a value, at most: what is escaped in more ways than that is left and reported."""

_REASONS = {
    php.Part.KEY: Reason.KEY,
    php.Part.NAME: Reason.NAME,
    php.Part.ENUM: Reason.ENUM,
    php.Part.ESCAPED: Reason.ESCAPED_STRING,
    php.Part.OPAQUE: Reason.CUSTOM,
}


class Effort:
    """How much may still be decoded for one value, whatever it is nested in."""

    def __init__(self, size: int) -> None:
        self.left = _EFFORT * size + (1 << 16)

    def spend(self, size: int) -> bool:
        """Whether `size` more bytes may be decoded."""
        self.left -= size
        return self.left >= 0


class ValueRewriter:
    """One pass over one buffer. `kinds` and `left` say afterwards what was replaced and what was left.

    The buffer is read forwards only. What changes is kept as a list of edits, in order, so that a value without a
    replacement costs no copy.
    """

    def __init__(self, matcher: Matcher, data: bytes, depth: int = 0, effort: Effort | None = None) -> None:
        self._matcher = matcher
        self._data = data
        self._cursor = Cursor(matcher, data)
        self._depth = depth
        self._effort = effort or Effort(len(data))
        self._edits: list[Edit] = []
        self._open = 0
        self._out = bytearray()
        self._copied = 0
        self._covered = 0
        self._grown = 0
        self.kinds: dict[str, int] = {}
        self.left: list[str] = []

    def run(self) -> bytes:
        """The rewritten buffer; the same object when nothing changed."""
        if self._cursor.peek() > len(self._data):
            return self._data
        self.content(0, len(self._data))
        if not self._edits and not self._copied:
            return self._data
        self._flush()
        self._out += memoryview(self._data)[self._copied :]
        return bytes(self._out)

    # -- output --------------------------------------------------------------------------------------------------

    def _replace(self, start: int, end: int, replacement: bytes, kind: str | None) -> None:
        self._edits.append((start, end, replacement, kind))
        self._covered = end
        self._grown += len(replacement) - (end - start)
        if kind is not None:
            self._count(kind)
        if not self._open and len(self._edits) >= _HELD:
            self._flush()

    def _flush(self) -> None:
        """Writes what is decided: nothing that may still be taken back is held when this is called."""
        data = memoryview(self._data)
        for start, end, replacement, _ in self._edits:
            self._out += data[self._copied : start]
            self._out += replacement
            self._copied = end
        self._edits.clear()

    def _fix_length(self, start: int, end: int, before: int, grown: int) -> None:
        """Corrects the digits data[start:end]; their payload's edits begin at `before` and made it grow by `grown`."""
        digits = b"%d" % (int(self._data[start:end]) + grown)
        self._edits.insert(before, (start, end, digits, None))
        self._grown += len(digits) - (end - start)

    def _begin_again(self) -> None:
        """Forgets everything found so far."""
        self._edits.clear()
        self.kinds.clear()
        self.left.clear()
        self._covered = self._grown = 0
        self._cursor = Cursor(self._matcher, self._data)

    def _count(self, kind: str, number: int = 1) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + number

    # -- content of any kind -------------------------------------------------------------------------------------

    def content(self, start: int, end: int) -> None:
        """Rewrites data[start:end], the value itself or the payload of a serialized string."""
        head = php.HEAD.match(self._data, start, end)
        if head is None:
            self._text(start, end)
        elif self._depth >= MAX_DEPTH:
            self._leave(end, Reason.TOO_DEEP)
        else:
            self._serialized(start, head.end(), end)

    def _leave(self, end: int, reason: Reason) -> None:
        """Skips to `end`; notes the reason if one of our URLs or paths stood there."""
        found = False
        while self._cursor.peek() < end:
            at, anchor = self._cursor.take()
            found = found or anchor.locate(self._data, at, 0, len(self._data)) is not None
        if found:
            self.left.append(reason)

    def _serialized(self, start: int, head: int, end: int) -> None:
        alone = self._depth == 0 and start == 0
        if not alone and php.readable(self._data, head, end) is None:
            self._structured(head, end, broken=True)
            return
        before = len(self._edits)
        self._depth += 1
        self._open += 1
        try:
            close = php.walk(self._data, head, end, self)
        except php.Unreadable:  # only a whole value is read without having been proven readable: most are
            self._begin_again()
            close = None
        finally:
            self._open -= 1
            self._depth -= 1
        if close is None:
            self._structured(head, end, broken=True)
            return
        if len(self._edits) > before and self._depth == 0:
            self._count(Kind.SERIALIZED)
        if self._cursor.peek() < end:
            self._text(close, end)

    # -- what the walker of the serialized grammar reports -------------------------------------------------------

    def string(self, start: int, end: int, length_at: int) -> None:
        """The payload of a string value."""
        if self._cursor.peek() < end:
            before, grown = len(self._edits), self._grown
            self.content(start, end)
            if self._grown != grown:
                self._fix_length(length_at, start - 2, before, self._grown - grown)

    def other(self, part: php.Part, start: int, end: int) -> None:
        """A key, a name, an enum case: never changed."""
        if self._cursor.peek() < end:
            self._leave(end, _REASONS[part])

    def body(self, start: int, end: int, length_at: int) -> None:
        """The body of a C: token: rewritten only when it is made of serialized values from end to end."""
        if self._cursor.peek() >= end:
            return
        if self._depth >= MAX_DEPTH:
            self._leave(end, Reason.TOO_DEEP)
            return
        layout = php.custom_body_values(self._data, start, end)
        if layout is None or not php.is_values(self._data, layout[0], end, layout[1]):
            self._leave(end, Reason.CUSTOM)
            return
        before, grown = len(self._edits), self._grown
        first, separator = layout
        self._depth += 1
        closed = php.walk(self._data, first, end, self)
        if separator:
            php.walk(self._data, closed + len(separator), end, self)
        self._depth -= 1
        if self._grown != grown:
            self._fix_length(length_at, start - 2, before, self._grown - grown)

    # -- text ----------------------------------------------------------------------------------------------------

    def _text(self, start: int, end: int) -> None:
        if self._matcher.is_structured(self._data, start, end):
            self._structured(start, end)
            return
        cursor, data = self._cursor, self._data
        while cursor.peek() < end:
            at, anchor = cursor.take()
            found = anchor.locate(data, at, start, end)
            if found is None:
                if data[at] == 118 and at > start:  # v
                    self._wrapper(at - 1, end)
            elif found[2] is None:
                self.left.append(found[3])
            elif found[0] >= self._covered:
                self._replace(found[0], found[1], found[2], found[3])

    def _child(self, data: bytes) -> ValueRewriter:
        """The same, one level deeper, on a buffer of its own."""
        return ValueRewriter(self._matcher, data, self._depth + 1, self._effort)

    def _wrapper(self, at: int, end: int) -> int:
        """A WPBakery raw block: base64 of rawurlencoded markup. Returns where it ends."""
        opening = OPENING.match(self._data, at, end)
        if opening is None:
            return at
        closing = CLOSING.match(self._data, opening.end(), end)
        decoded = from_base64(opening[2]) if closing else None
        if closing is None or decoded is None or self._depth >= MAX_DEPTH:
            if in_base64(self._matcher, opening[0]):
                self.left.append(Reason.BASE64)
            return opening.end()
        inner = self._child(decoded)
        changed = inner.run()
        for kind, number in inner.kinds.items():
            self._count(kind, number)
        self.left += inner.left
        if changed is not decoded:
            encoded = base64.b64encode(changed).replace(b"/", closing[1])
            self._replace(opening.start(2), opening.end(2), encoded, Kind.BASE64)
        return closing.end()

    # -- text that holds more than text --------------------------------------------------------------------------

    def _structured(self, start: int, end: int, *, broken: bool = False) -> None:
        """Text with serialized PHP somewhere in it, or text that must be decoded to be read.

        `broken`: it begins as a serialized value that cannot be read, so nothing changes but what a layer proves.
        """
        claims = self._claims(start, end, set(), broken)
        for claim in settled(claims):
            if claim.start < self._covered:
                continue
            for edit in claim.edits:
                self._replace(*edit)
            for kind, number in claim.kinds.items():
                self._count(kind, number)
            self.left += claim.left
            self._covered = max(self._covered, claim.end)

    def _claims(self, start: int, end: int, seen: set[int], broken: bool = False) -> list[Claim]:
        """All that data[start:end] can be read as."""
        spots = self._spots(end)
        if not spots:
            return []
        if broken:
            claims = [Claim(start, end, Rank.BROKEN, left=[Reason.UNREADABLE])]
        else:
            claims = list(self._heads(start, end, spots))
        escaped = self._matcher.is_escaped(self._data, start, end)
        if escaped and not all_proven([at for at, _ in spots], claims):
            decoded, complete = self._decoded(start, end, seen)
            claims += decoded
            claims += self._escaped_heads(start, end, spots, settled(claims))
            if not complete:
                claims += [
                    Claim(claim.start, claim.end, Rank.BROKEN, left=[Reason.TOO_DEEP])
                    for claim in self._finds(start, end, spots)
                ]
        claims += self._finds(start, end, spots)
        return claims

    def _heads(self, start: int, end: int, spots: list[Candidate]) -> Iterator[Claim]:
        """Serialized values that stand in the text as they are, and what only begins like one."""
        position, data, index = start, self._data, 0
        while (head := PLAIN_HEAD.search(data, position, end)) is not None:
            begin = head.start()
            close, reached = php.read(data, begin, end)
            position = max(php.rubble(data, reached, end), head.end()) if close is None else close
            while index < len(spots) and spots[index][0] < begin:
                index += 1
            if index == len(spots):
                return
            if spots[index][0] >= position:
                continue
            if close is None:
                yield Claim(begin, position, Rank.BROKEN, left=[Reason.UNREADABLE])
            else:
                yield self._proven(begin, close)

    def _proven(self, start: int, end: int) -> Claim:
        inner = self._child(self._data[start:end])
        inner._open = 1
        inner.content(0, end - start)
        edits: list[Edit] = [(s + start, e + start, new, None) for s, e, new, _ in inner._edits]
        kinds = dict(inner.kinds)
        if edits and self._depth == 0:
            kinds[Kind.SERIALIZED] = kinds.get(Kind.SERIALIZED, 0) + 1
        return Claim(start, end, Rank.PROVEN, edits, kinds, inner.left)

    def _finds(self, start: int, end: int, spots: list[Candidate]) -> Iterator[Claim]:
        """URLs and paths, and blocks of base64, as they stand in the text."""
        data = self._data
        for at, anchor in spots:
            found: Found | None = anchor.locate(data, at, start, end)
            if found is not None:
                begin, stop, replacement, label = found
                if replacement is None:
                    yield Claim(begin, stop, Rank.LEFT, left=[label])
                else:
                    yield Claim(begin, stop, Rank.TEXT, [(begin, stop, replacement, label)])
            elif data[at] == 118 and at > start:
                yield self._block(at - 1, end)

    def _block(self, at: int, end: int) -> Claim:
        """The same for a block of base64."""
        stop = at
        if (opening := OPENING.match(self._data, at, end)) is not None:
            closing = CLOSING.match(self._data, opening.end(), end)
            stop = closing.end() if closing else opening.end()
        inner = ValueRewriter(self._matcher, self._data[at:stop], self._depth, self._effort)
        inner._open = 1
        size = inner._wrapper(0, stop - at)
        edits: list[Edit] = [(s + at, e + at, new, None) for s, e, new, _ in inner._edits]
        return Claim(at, at + size, Rank.TEXT if edits else Rank.LEFT, edits, inner.kinds, inner.left)

    def _decoded(self, start: int, end: int, seen: set[int]) -> tuple[list[Claim], bool]:
        """What is found once one more layer of escaping is taken off, and whether all layers could be."""
        claims: list[Claim] = []
        source = self._data[start:end]
        for escaping in ESCAPINGS:
            if escaping.sign not in source or (
                escaping.innermost and not self._matcher.is_inner(escaping.name, source)
            ):
                continue
            if self._depth >= MAX_DEPTH or not self._effort.spend(len(source)):
                return claims, False
            layer = Layer(source, escaping)
            if not layer or (not escaping.innermost and hash(layer.text) in seen):
                continue
            if not escaping.innermost:
                seen.add(hash(layer.text))
            claims += self._from_layer(layer, start, seen)
        return claims, True

    def _from_layer(self, layer: Layer, start: int, seen: set[int]) -> Iterator[Claim]:
        """The claims of a layer of the text that begins at `start`, as claims of that text."""
        escaping = layer.escaping
        for claim in self._child(layer.text)._layer_claims(seen, addresses_only=escaping.innermost):
            place = layer.at(claim.start) + start, layer.at(claim.end) + start
            if escaping.kept:
                yield Claim(*place, Rank.LEFT, left=[escaping.kept])
                continue
            edits: list[Edit] = [
                (layer.at(s) + start, layer.at(e) + start, layer.written(new, s, e), kind)
                for s, e, new, kind in claim.edits
            ]
            yield Claim(*place, claim.rank, edits, claim.kinds, claim.left)

    def _layer_claims(self, seen: set[int], *, addresses_only: bool) -> list[Claim]:
        """All that a text without one of its layers can be read as, or its addresses alone."""
        size = len(self._data)
        return list(self._finds(0, size, self._spots(size))) if addresses_only else self._claims(0, size, seen)

    def _spots(self, end: int) -> list[Candidate]:
        """The candidates up to `end`."""
        spots: list[Candidate] = []
        while self._cursor.peek() < end:
            spots.append(self._cursor.take())
        return spots

    def _escaped_heads(self, start: int, end: int, spots: list[Candidate], known: list[Claim]) -> Iterator[Claim]:
        """Strings of serialized PHP in escaped text that no layer explains: to their closing quote they stay."""
        covered, index, closings = -1, 0, dict[bytes, int]()
        places = [at for at, _ in spots]
        for head in ANY_HEAD.finditer(self._data, start, end):
            while index < len(known) and known[index].end <= head.start():
                index += 1
            explained = index < len(known) and known[index].rank <= Rank.BROKEN and known[index].start <= head.start()
            if explained or not head[1] or head.start() < covered:
                continue
            close = closings.get(head[1], start)
            if close < head.end():
                found = self._data.find(head[1], head.end(), end)
                close = closings[head[1]] = end if found < 0 else found
            if bisect_left(places, head.start()) < bisect_left(places, close):
                covered = close
                yield Claim(head.start(), close, Rank.BROKEN, left=[Reason.ESCAPED_SERIALIZED])
