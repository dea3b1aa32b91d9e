r"""Addresses of which a sign between two words is encoded in whatever encodings, one in the other: `main\u005cx2Dshop`.

Nearly every encoding that is found in stored text leaves letters and digits of ASCII as they are. So the words of an
address stand there, with something between them that is made of escapes; what it is, is told by decoding these bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from .layers import ESCAPINGS, Layer
from .spelling import TSV_LIMIT, colon, slash

_WORD = re.compile(r"[a-z0-9]+")
_SHORT = 1
"""Letters of words that are not looked for where two of them meet: every text is full of single ones."""
_LONGEST = 160
"""Bytes that stand for what is between two words, at most."""
_MOST = 32
"""Readings of these bytes that are tried, at most."""
_ENDS = 8
_LONG = 5
"""Places at which these bytes may end that are tried, at most; a word of so many letters is in no escape."""
_SLASHES = b"://"
_BETWEEN = rb"[\\%%&\#;:/+\-.0-9a-z{} \t]{1,%d}" % _LONGEST
_RUN = re.compile(_BETWEEN)
_KNOWN_SLASHES = re.compile(colon(TSV_LIMIT) + slash(TSV_LIMIT) * 2)
_MEANT = {b"\\": rb"(?=\\*+[0-9a-fux%&:.\-])"}
"""What stands behind a sign where it may be the first of several encodings: all JSON is full of other backslashes."""


@dataclass(frozen=True, order=True)
class Joint:
    """A word, what stands behind it, and the next word."""

    word: bytes
    sign: bytes
    following: bytes

    def starts(self) -> list[tuple[bytes, bytes]]:
        """The word with so much of the sign as may stand there in clear before the rest of it is encoded; and this."""
        words = [self.word, self.word + b"s"] if self.sign == _SLASHES else [self.word]
        clear = [self.sign[:size] for size in range(len(self.sign))]
        return [(word + each, each) for word in words for each in clear]


RAW_BLOCKS = [Joint(b"raw", b"_", b"html"), Joint(b"raw", b"_", b"js")]
"""Of a shortcode that holds base64 (`shortcodes`)."""


def joints(hosts: Iterable[str]) -> list[Joint]:
    """Where the words of hosts (with "www.") meet, each once, and where a scheme and a host do."""
    found = set()
    for host in hosts:
        words = list(_WORD.finditer(host))
        for one, two in pairwise(words):
            joint = Joint(one[0].encode(), host[one.end() : two.start()].encode(), two[0].encode())
            if max(len(joint.word), len(joint.following)) > _SHORT and (joint.word != b"www" or len(words) == 2):
                found.add(joint)
        found.add(Joint(b"http", _SLASHES, host.removeprefix("www.").encode()))
    return sorted(found)


class Buried:
    """Joints in lower-cased text, looked for where an escape begins: a search of its own would cost as much as all
    others together."""

    def __init__(self, found: Iterable[Joint]) -> None:
        self._starts: dict[bytes, list[tuple[bytes, Joint]]] = {}
        for joint in found:
            for start, clear in joint.starts():
                self._starts.setdefault(start, []).append((clear, joint))
        self._lengths = sorted({len(start) for start in self._starts})

    def behind(self, sign: bytes) -> bytes:
        """Pattern source that the first word of a joint stands before `sign`, which is one byte and was just read."""
        if not self._starts:
            return rb"(?!)"
        last = re.escape(sign)
        ways = [rb"(?<=%b%b)" % (re.escape(start), last) for start in sorted(self._starts)]
        return rb"(?<=[%b]%b)%b(?:%b)" % (_lasts(self._starts), last, _MEANT.get(sign, b""), b"|".join(ways))

    def readings(self, lowered: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
        """What stands between two words around the sign at `at`, and what it would have to mean."""
        for length in self._lengths[: bisect_right(self._lengths, at)]:
            for clear, joint in self._starts.get(lowered[at - length : at], ()):
                for between in _betweens(joint, lowered, at):
                    if joint.sign != _SLASHES or not _KNOWN_SLASHES.fullmatch(clear + between):
                        yield clear + between, joint.sign


def _betweens(joint: Joint, lowered: bytes, at: int) -> Iterator[bytes]:
    """What may stand for the sign: from `at` to the second word, which may be found too early if it is a letter."""
    run = _RUN.match(lowered, at)
    if run is None:
        return
    end = at + 1
    for _ in range(1 if len(joint.following) >= _LONG else _ENDS):
        end = lowered.find(joint.following, end + 1, run.end() + len(joint.following))
        if end < 0:
            return
        prefixed = joint.sign == _SLASHES and lowered.endswith(b"www.", at, end)
        yield lowered[at : end - len(b"www.") if prefixed else end]


def _lasts(starts: Iterable[bytes]) -> bytes:
    return b"".join(re.escape(bytes((last,))) for last in sorted({start[-1] for start in starts}))


def coarse(found: Iterable[Joint]) -> bytes:
    """For PCRE: what has a joint's first word before a sign, and the second behind it; those of hosts in clear are not
    among them, for whoever looks for hosts."""
    ends = {(start, joint.following) for joint in found if joint.sign != _SLASHES for start, _ in joint.starts()}
    ways = [
        rb"(?<=%b[\\%%&])%b?%b" % (re.escape(start), _BETWEEN, re.escape(following))
        for start, following in sorted(ends)
    ]
    return rb"[\\%%&](?<=[%b][\\%%&])(?:%b)" % (_lasts({start for start, _ in ends}), b"|".join(ways))


@lru_cache(4096)
def means(text: bytes, sign: bytes) -> bool:
    """Whether a few bytes read as others, in any encodings one in the other."""
    known, ahead = {text}, [text]
    while ahead and len(known) < _MOST:
        one = ahead.pop()
        for escaping in ESCAPINGS:
            if escaping.kept or escaping.sign not in one:
                continue
            inner = Layer(one, escaping).text.lower()
            if inner == sign:
                return True
            if len(inner) >= len(sign) and inner not in known:
                known.add(inner)
                ahead.append(inner)
    return False
