"""From what the source's server prints to what the target's server accepts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from .collations import charset_of, stand_in
from .expressions import FUNCTIONS
from .model import ColumnModel, TableModel
from .parse import EXPRESSIONS, parse_table, parse_view
from .tokens import END, Kind, Token, UnknownDefinition, quoted_name
from .write import table_sql, view_sql

ENGINES: Final = {"innodb": "InnoDB", "myisam": "MyISAM", "aria": "Aria", "memory": "MEMORY"}
"""Engines that keep rows of their own, on this server, in the database's own place."""
MYSQL_ONLY: Final = frozenset({"any_value", "bin_to_uuid", "is_uuid", "regexp_like", "uuid_to_bin"})
UNCASTABLE: Final = frozenset({"JSON", "YEAR"})
"""Types that MySQL casts to and MariaDB does not."""
WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass
class Dialect:
    """What the target's server knows, and what had to be replaced so far (`from -> to`)."""

    collations: Collection[str]
    engines: Collection[str]
    functions: Collection[str] = FUNCTIONS - MYSQL_ONLY
    """In lower case."""
    replaced: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """What definitions said that is not made here, as `table: what`."""

    def table(self, create: str) -> str:
        """A `CREATE TABLE` the target accepts. Data and keys stay; unknown collations and engines are replaced.

        Raises UnknownDefinition.
        """
        return self.written(self.model(create))

    def model(self, create: str) -> TableModel:
        """The table of a `CREATE TABLE`, fit for the target. Raises UnknownDefinition."""
        table = parse_table(create)
        self._adapt(table)
        self.left_out += [f"{table.name}: {what}" for what in table.left_out]
        return table

    def written(self, table: TableModel) -> str:
        """A model that is fit for the target, as SQL."""
        return table_sql(table, self._collation)

    def view(self, create: str) -> str:
        """A `CREATE VIEW` with the rights of who asks: the source's definer does not exist here (error 1449).

        Raises UnknownDefinition.
        """
        return view_sql(parse_view(create), self._collation)

    def _adapt(self, table: TableModel) -> None:
        unique = {name.lower() for name in table.unique_columns()}
        table.engine = self._engine(table.engine)
        table.charset = _word(table.charset)
        if table.collation:
            table.collation = self._collation(table.collation)
        for column in table.columns:
            self._adapt_column(column, column.name.lower() in unique, table)
        for check in [check for check in table.checks if self._strange(check.condition)]:
            table.checks.remove(check)
            table.left_out.append(f"a check of the table ({self._strange(check.condition)})")
        if strange := self._strange(table.partition):
            table.partition = ()
            table.left_out.append(f"partitions ({strange})")
        if table.partition and table.foreign_keys:
            table.partition = ()  # MariaDB takes either

    def _adapt_column(self, column: ColumnModel, unique: bool, table: TableModel) -> None:
        for what, words in EXPRESSIONS.items():
            if strange := self._strange(getattr(column, what)):
                setattr(column, what, ())
                table.left_out.append(f"{words} of the column {column.name} ({strange})")
                table.plain |= {column.name} if what == "generated" else set()
        column.charset = _word(column.charset)
        if column.collation:
            column.collation = self._collation(column.collation, unique=unique)
        elif unique and column.charset is None and _is_text(column) and table.collation:
            pass  # the table's own
        if column.type == "json":
            # MariaDB's JSON is this, and so it is compared with what MySQL calls JSON
            column.type, column.charset, column.collation = "longtext", "utf8mb4", "utf8mb4_bin"
            if not column.check and not column.generated:
                name = Token(Kind.NAME, column.name)
                column.check = (Token(Kind.WORD, "json_valid"), _sign("("), name, _sign(")"))
        elif column.type == "geomcollection":
            column.type = "geometrycollection"
        elif column.type == "vector" and "vector" not in self.engines:
            column.type, column.args = "longblob", ()
        if column.name in table.plain:
            column.nullable, column.default = None, ()

    def _strange(self, expression: Sequence[Token]) -> str:
        """What of an expression the target has not; nothing if it has all of it."""
        for before, token, after in zip((END, *expression), expression, (*expression[1:], END), strict=False):
            if token.kind is not Kind.WORD:
                continue
            called = after.text == "(" and token.text.lower() in FUNCTIONS
            if (called and token.text.lower() not in self.functions) or (
                before.word == "AS" and token.word in UNCASTABLE
            ):
                return token.text
        return ""

    def _collation(self, name: str, *, unique: bool = False) -> str:
        if name.lower() in self.collations:
            return name
        found = stand_in(_word(name) or "", self.collations, unique=unique)
        self.replaced[name] = found
        return found

    def _engine(self, name: str) -> str:
        if not name:
            return name
        if name.lower() in self.engines and name.lower() in ENGINES:
            return ENGINES[name.lower()]
        self.replaced[name] = "InnoDB"
        return "InnoDB"


def quote(name: str) -> str:
    """An identifier for SQL, whatever characters it holds."""
    return quoted_name(name)


def parametrised(name: str) -> str:
    """`quote` for a statement that also takes parameters, where PyMySQL reads a percent sign as its own."""
    return quote(name).replace("%", "%%")


def transactional(engine: str | None) -> bool:
    """Whether rows of this engine are rolled back when a load is cut short."""
    return (engine or "").lower() in {"innodb", "rocksdb", "tokudb"}


def _word(text: str | None) -> str | None:
    """The name of a character set or collation, which stands unquoted. Raises UnknownDefinition."""
    if text is not None and (not text or set(text) - WORD):
        raise UnknownDefinition(f"A definition names the character set or collation {text[:40]!r}.")
    return text


def _is_text(column: ColumnModel) -> bool:
    return column.type in {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}


def _sign(text: str) -> Token:
    return Token(Kind.SIGN, text)


__all__ = ["Dialect", "charset_of", "parametrised", "quote", "transactional"]
