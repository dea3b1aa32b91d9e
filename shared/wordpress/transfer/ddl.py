"""Table and view definitions: from what the source's server prints to what the target's server accepts."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

COLLATION_FALLBACKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"utf8mb4_0900_as_cs|utf8mb4_0900_bin"), "utf8mb4_bin"),
    (re.compile(r"utf8mb4_\w*0900_\w+|utf8mb4_uca1400_\w+"), "utf8mb4_unicode_520_ci"),
    (re.compile(r"utf8mb3_uca1400_\w+|utf8_uca1400_\w+"), "utf8mb3_unicode_520_ci"),
)
"""MySQL-8-only and MariaDB-11-only collations and what stands in where they do not exist (error 1273 otherwise)."""

_COLLATION = re.compile(r"(\bCOLLATE[ =]+)(\w+)", re.IGNORECASE)
_ENGINE = re.compile(r"(\)\s*(?:/\*.*?\*/\s*)?ENGINE=)(\w+)", re.IGNORECASE)
_DEFINER = re.compile(r"\sDEFINER=(?:`(?:[^`]|``)*`|'[^']*'|\S+?)@(?:`(?:[^`]|``)*`|'[^']*'|\S+)", re.IGNORECASE)
_SECURITY = re.compile(r"\sSQL SECURITY (?:DEFINER|INVOKER)", re.IGNORECASE)
_ALGORITHM = re.compile(r"^CREATE\s+(?:ALGORITHM=\w+\s*)?", re.IGNORECASE)
_ENCRYPTION = re.compile(r"/\*!80016 (?:DEFAULT )?ENCRYPTION='[YN]' \*/", re.IGNORECASE)
_TABLESPACE = re.compile(r"\s(?:/\*!50100 )?TABLESPACE `[^`]*`(?: STORAGE DISK)?(?: \*/)?|\sDATA DIRECTORY='[^']*'")


@dataclass
class Dialect:
    """What the target's server knows, and what had to be replaced so far (`from -> to`)."""

    collations: Collection[str]
    engines: Collection[str]
    replaced: dict[str, str] = field(default_factory=dict)

    def table(self, create: str) -> str:
        """A `CREATE TABLE` the target accepts. Data and keys stay; unknown collations and engines are replaced."""
        create = _TABLESPACE.sub("", _ENCRYPTION.sub("", create))
        create = _COLLATION.sub(lambda match: match[1] + self._collation(match[2]), create)
        return _ENGINE.sub(lambda match: match[1] + self._engine(match[2]), create)

    def view(self, create: str) -> str:
        """A `CREATE VIEW` with the rights of who asks: the source's definer does not exist here (error 1449)."""
        create = _SECURITY.sub("", _DEFINER.sub("", create))
        create = _COLLATION.sub(lambda match: match[1] + self._collation(match[2]), create)
        return _ALGORITHM.sub("CREATE OR REPLACE SQL SECURITY INVOKER ", create, count=1)

    def _collation(self, name: str) -> str:
        if name.lower() in self.collations:
            return name
        for pattern, fallback in COLLATION_FALLBACKS:
            if pattern.fullmatch(name.lower()):
                self.replaced[name] = fallback
                return fallback
        fallback = f"{name.partition('_')[0]}_general_ci"
        self.replaced[name] = fallback
        return fallback

    def _engine(self, name: str) -> str:
        if name.lower() in self.engines:
            return name
        self.replaced[name] = "InnoDB"
        return "InnoDB"


def quote(name: str) -> str:
    """An identifier for SQL, whatever characters it holds."""
    return "`" + name.replace("`", "``") + "`"


def parametrised(name: str) -> str:
    """`quote` for a statement that also takes parameters, where PyMySQL reads a percent sign as its own."""
    return quote(name).replace("%", "%%")


def transactional(engine: str | None) -> bool:
    """Whether rows of this engine are rolled back when a load is cut short."""
    return (engine or "").lower() in {"innodb", "rocksdb", "tokudb"}
