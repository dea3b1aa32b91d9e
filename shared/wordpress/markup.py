"""Reads HTML in one pass, in time linear in its length whatever it holds.

No tree is built: what we look for are tags with their attributes, and the text inside some elements. Tags are told as
the HTML standard's tokeniser tells them (comments, raw text of scripts, quotes in attribute values only); a tag that
does not end before the page does is dropped with everything after it. The standard library's parser and the C parsers
that were tried (lxml, selectolax) all have pages of a megabyte that cost them many seconds.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.wordpress import limits

# Possessive throughout: nothing that matched is tried a second way.
_ATTRIBUTE = re.compile(
    r"""[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>]*+)))?+""",
)
_REST_OF_TAG = re.compile(
    r"""(?:[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+)*+[\s/]*+>""",
)
_TAG = re.compile(r"<(?:(/?+)([a-zA-Z][^\s/>]*+)|(!--)|[!?/])")
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "iframe")
}
_SHOWS_NOTHING = frozenset({"script", "style", "iframe"})
FOR_A_SENTENCE = 1000
"""Tags that are looked at for some words."""
COMMENT = "!"
"""The name that comments and declarations come under."""
_SPACE = re.compile(r"\s+")
MOST_ATTRIBUTES = 200


@dataclass(frozen=True, slots=True)
class Tag:
    """A start tag (`attributes`, first of a name counts, values unescaped) or an end tag (`closing`)."""

    name: str
    closing: bool
    start: int
    end: int
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


def tags(text: str, *, most: int = int(limits.PAGE_TAGS.most)) -> Iterator[Tag]:
    """The tags (and comments) of a page in their order, `most` of them. What stands in scripts and comments is none."""
    at = 0
    for _ in range(most):
        found = _TAG.search(text, at)
        if found is None:
            return
        closing, name, comment = found.groups()
        if name is None:
            end = text.find("-->" if comment else ">", found.end() - (2 if comment else 0))
            if end < 0:
                yield Tag(COMMENT, False, found.start(), len(text))
                return
            at = end + (3 if comment else 1)
            yield Tag(COMMENT, False, found.start(), at)
            continue
        rest = _REST_OF_TAG.match(text, found.end())
        if rest is None:
            return
        name = name.lower()
        attributes = {} if closing else _attributes(text, found.end(), rest.end())
        yield Tag(name, bool(closing), found.start(), rest.end(), attributes)
        at = rest.end()
        if name in _RAW and not closing:
            stop = _RAW[name].search(text, at)
            if stop is None:
                return
            at = stop.start()


def _attributes(text: str, at: int, end: int) -> dict[str, str]:
    found: dict[str, str] = {}
    while end - at > 1 and len(found) < MOST_ATTRIBUTES:
        match = _ATTRIBUTE.match(text, at, end - 1)
        if match is None:
            break
        name, double, single, bare = match.groups()
        found.setdefault(name.lower(), unescape(double or single or bare or ""))
        at = match.end()
    return found


def unescape(text: str) -> str:
    """`html.unescape`, which refuses numbers of thousands of digits: such a text stays as it is."""
    try:
        return html.unescape(text)
    except ValueError:
        return text


def words(text: str, *, most: int = 0) -> str:
    """HTML as one line of text, without scripts and styles; `most`: characters, 0 all."""
    parts: list[str] = []
    at = 0
    enough = FOR_A_SENTENCE if most else int(limits.PAGE_TAGS.most)
    for tag in tags(text, most=enough):
        parts.append(text[at : tag.start] if at <= tag.start else "")
        at = tag.end
        if tag.name in _SHOWS_NOTHING and not tag.closing:
            at = _end_of_raw(text, tag)
    rest = _TAG.search(text, at)
    parts.append(text[at : rest.start()] if rest else text[at:])
    line = _SPACE.sub(" ", unescape(" ".join(parts))).strip()
    return line[:most] if most else line


def _end_of_raw(text: str, tag: Tag) -> int:
    found = _RAW[tag.name].search(text, tag.end)
    return found.start() if found else len(text)
