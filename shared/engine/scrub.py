"""The last guard before a log or an event: texts without the secrets a job has seen. Pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Characters of a secret worth looking for in texts."""
UNMISTAKABLE = 16
"""Characters from which a value is hidden inside of longer words too: it stands there by no chance."""
NAMES = re.compile(r"(.*_)?(username|user|login|url|home|siteurl)")
"""Members of credentials that are no secrets: messages name them."""
HIDDEN = "[redacted]"


def secrets_of(credentials: Mapping[str, Any]) -> set[str]:
    """The values of stored credentials that no text may hold."""
    return {
        value
        for name, value in credentials.items()
        if isinstance(value, str) and len(value) >= SHORTEST and not NAMES.fullmatch(name)
    }


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text without these values, in every spelling they travel in.

    Whole values only: the password `admin` does not make `wp-admin` or `administrator` unreadable, for nobody learns it
    from a word that is everywhere.
    """
    spellings = {spelling for value in secrets for spelling in _spellings(value)}
    for spelling in sorted(spellings, key=len, reverse=True):
        if spelling not in text:
            continue
        if len(spelling) >= UNMISTAKABLE:
            text = text.replace(spelling, HIDDEN)
            continue
        before = r"(?<![\w-])" if _is_word(spelling[0]) else ""
        after = r"(?![\w-])" if _is_word(spelling[-1]) else ""
        text = re.sub(before + re.escape(spelling) + after, HIDDEN, text)
    return text


def _spellings(value: str) -> set[str]:
    return {value, json.dumps(value)[1:-1], html.escape(value), quote(value, safe=""), quote_plus(value)}


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"
