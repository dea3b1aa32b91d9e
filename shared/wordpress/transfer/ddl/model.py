"""A table as we understand it: what a definition says, and nothing of how it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .tokens import Token


@dataclass
class ColumnModel:
    """A column. Expressions are the tokens between their parentheses, already known to be harmless."""

    name: str
    type: str
    """In lower case, without arguments."""
    args: tuple[Token, ...] = ()
    """Lengths, or the names of ENUM and SET."""
    unsigned: bool = False
    zerofill: bool = False
    charset: str | None = None
    collation: str | None = None
    nullable: bool | None = None
    default: tuple[Token, ...] = ()
    on_update: tuple[Token, ...] = ()
    auto_increment: bool = False
    generated: tuple[Token, ...] = ()
    stored: bool = False
    check: tuple[Token, ...] = ()
    invisible: bool = False
    comment: str = ""

    @property
    def default_is_computed(self) -> bool:
        """Whether the default is an expression, and no literal."""
        return any(token.text == "(" for token in self.default)


@dataclass(frozen=True)
class KeyPart:
    """A column of a key."""

    column: str
    length: int | None = None
    descending: bool = False


@dataclass(frozen=True)
class KeyModel:
    """A key. `kind`: PRIMARY, UNIQUE, FULLTEXT, SPATIAL, or "" for an ordinary one."""

    kind: str
    name: str
    parts: tuple[KeyPart, ...]
    using: str = ""
    comment: str = ""

    @property
    def unique(self) -> bool:
        """Whether no two rows may have the same values."""
        return self.kind in {"PRIMARY", "UNIQUE"}


@dataclass(frozen=True)
class ForeignKey:
    """A tie to another table of the same database."""

    name: str
    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    actions: tuple[str, ...] = ()
    """Like `ON DELETE CASCADE`."""


@dataclass(frozen=True)
class CheckModel:
    """A condition on rows."""

    name: str
    condition: tuple[Token, ...]


@dataclass
class TableModel:
    """A table."""

    name: str
    columns: list[ColumnModel] = field(default_factory=list)
    keys: list[KeyModel] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    checks: list[CheckModel] = field(default_factory=list)
    engine: str = ""
    charset: str | None = None
    collation: str | None = None
    comment: str = ""
    options: dict[str, str] = field(default_factory=dict)
    """AUTO_INCREMENT, ROW_FORMAT and others that are words or numbers."""
    partition: tuple[Token, ...] = ()
    left_out: list[str] = field(default_factory=list)
    """What the definition says beyond this, in words for people."""
    plain: set[str] = field(default_factory=set)
    """Generated columns that became ordinary ones, as their expression is not known: their values must be loaded."""

    def column(self, name: str) -> ColumnModel | None:
        """The column of this name; names of columns have no case."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)

    def simpler(self) -> list[TableModel]:
        """The same columns with less around them, for a server that refuses the whole: without what only checks and
        arranges rows, then without keys that only make reading faster too."""
        columns = [
            replace(one, check=(), default=() if one.default_is_computed else one.default) for one in self.columns
        ]
        first = replace(self, columns=columns, checks=[], partition=(), options=_numbering(self.options))
        return [first, replace(first, keys=[key for key in self.keys if key.unique], foreign_keys=[])]

    def unique_columns(self) -> set[str]:
        """Names of all columns of unique keys."""
        return {part.column for key in self.keys if key.unique for part in key.parts}


@dataclass(frozen=True)
class ViewModel:
    """A view: its name, the names of its columns where it gives any, its query."""

    name: str
    columns: Sequence[str]
    query: tuple[Token, ...]


def _numbering(options: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if name == "AUTO_INCREMENT"}
