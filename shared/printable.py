"""Text of strangers on a terminal or in a log.

A site's title or error must not move the cursor, set the window's title, fill the clipboard, turn the reading order
round, or begin a line that looks like one of ours.
"""

from __future__ import annotations

import re

MARK = "\N{REPLACEMENT CHARACTER}"
_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1 (one of which is CSI in a single character)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what changes the direction of reading (UAX 9)
    "\u2028\u2029"  # line ends that are no line feeds
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags: text nobody sees
    "\ud800-\udfff"  # halves of characters, which no terminal's encoding takes
)
_UNPRINTABLE = re.compile(f"[{_CONTROLS}]")
_BREAKS = re.compile(r"\r\n|[\n\t\r\u2028\u2029\x0b\x0c\x85]")


def one_line(text: str) -> str:
    """The text on one line: line ends and tabs are spaces, other controls `\\ufffd`."""
    return text if text.isprintable() and text.isascii() else _UNPRINTABLE.sub(MARK, _BREAKS.sub(" ", text))


def lines(text: str) -> str:
    """The text with its line feeds and tabs; every other control is `\\ufffd`."""
    return text if text.isprintable() and text.isascii() else _UNPRINTABLE.sub(MARK, text.replace("\r\n", "\n"))


def in_json(document: str) -> str:
    """A JSON document whose strings hold controls only as `\\u` escapes: the same value, safe to print."""
    return document if document.isascii() and "\x7f" not in document else _UNPRINTABLE.sub(_escaped, document)


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number <= 0xFFFF:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
