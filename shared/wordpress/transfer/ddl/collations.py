"""What stands in for a collation that the other server does not know (error 1273 otherwise).

A stand-in tells at least as much apart as the original does wherever that decides whether two rows may be: one that
takes two values for the same would refuse rows the source has. Where no such collation is known, bytes decide.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_NEW = re.compile(r"(?P<charset>[a-z0-9]+?)_(?:(?P<before>\w+?)_)??(?P<kind>0900|uca1400)_(?P<rest>\w+)")
"""Collations of MySQL 8 (`0900`, NO PAD) and MariaDB 10.10 (`uca1400`, NO PAD where it says so)."""
_SIMPLE = ("ci", "ai_ci")

BACK = {
    "utf8mb4_unicode_520_nopad_ci": ("utf8mb4_0900_ai_ci", "utf8mb4_unicode_520_ci"),
    "utf8mb4_nopad_bin": ("utf8mb4_0900_bin", "utf8mb4_bin"),
}
"""Our stand-ins, for a server that has what they stand for."""


def stand_in(name: str, known: Collection[str], *, unique: bool = False) -> str:
    """The collation to use for `name`: itself where it is known. `unique`: of a column in a unique key."""
    name = name.lower()
    if name in known:
        return name
    return next((found for found in _candidates(name, unique) if found in known), _general(name))


def _candidates(name: str, unique: bool) -> list[str]:
    if name in BACK:
        return list(BACK[name])
    match = _NEW.fullmatch(name)
    if match is None:
        return [f"{charset_of(name)}_bin"] if name.endswith(("_bin", "_cs")) else []
    charset = {"utf8": "utf8mb3"}.get(match["charset"], match["charset"])
    rest, language = match["rest"], match["before"] or ""
    padded = match["kind"] == "uca1400" and "nopad" not in rest
    language = "_".join(part for part in (language, rest) if part) if match["kind"] == "uca1400" else language
    plain = rest.replace("nopad_", "")
    simple = plain in _SIMPLE or (match["kind"] == "uca1400" and plain.endswith("ai_ci"))
    tailored = bool(match["before"]) if match["kind"] == "0900" else plain not in _SIMPLE
    exact = [f"{charset}_nopad_bin", f"{charset}_bin"]
    close = [f"{charset}_unicode_520_nopad_ci", f"{charset}_unicode_520_ci", f"{charset}_unicode_ci"]
    if padded:
        exact, close = exact[1:], close[1:]
    return exact if not simple or (tailored and unique) else close


def _general(name: str) -> str:
    charset = charset_of(name)
    return f"{charset}_bin" if name.endswith(("_bin", "_cs")) else f"{charset}_general_ci"


def charset_of(collation: str) -> str:
    """The character set a collation belongs to."""
    return collation.partition("_")[0]
