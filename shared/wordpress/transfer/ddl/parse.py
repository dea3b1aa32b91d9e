"""From what `SHOW CREATE TABLE` and `SHOW CREATE VIEW` print to models. Everything unknown is left out and told, or the
definition is refused as a whole; nothing is passed on as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .expressions import AGGREGATES, FUNCTIONS, QUERY_WORDS, harmless
from .model import CheckModel, ColumnModel, ForeignKey, KeyModel, KeyPart, TableModel, ViewModel
from .tokens import END, Kind, Token, UnknownDefinition, tokens

TYPES = frozenset(
    """tinyint smallint mediumint int integer bigint decimal numeric float double real bit bool boolean year date time
    datetime timestamp char varchar binary varbinary tinytext text mediumtext longtext tinyblob blob mediumblob longblob
    json enum set geometry point linestring polygon multipoint multilinestring multipolygon geometrycollection
    geomcollection uuid inet4 inet6 vector""".split()
)
OPTIONS = {
    "ROW_FORMAT": {"DEFAULT", "DYNAMIC", "FIXED", "COMPRESSED", "REDUNDANT", "COMPACT", "PAGE"},
    "PACK_KEYS": {"0", "1", "DEFAULT"},
    "STATS_PERSISTENT": {"0", "1", "DEFAULT"},
    "STATS_AUTO_RECALC": {"0", "1", "DEFAULT"},
}
NUMBERS = frozenset(
    """AUTO_INCREMENT KEY_BLOCK_SIZE MIN_ROWS MAX_ROWS AVG_ROW_LENGTH CHECKSUM DELAY_KEY_WRITE TRANSACTIONAL
    PAGE_CHECKSUM STATS_SAMPLE_PAGES""".split()
)
STORAGE = frozenset(
    """TABLESPACE ENCRYPTION ENCRYPTED ENCRYPTION_KEY_ID COMPRESSION PAGE_COMPRESSED PAGE_COMPRESSION_LEVEL DATA INDEX
    DIRECTORY STORAGE INSERT_METHOD PASSWORD""".split()
)
"""Where and how a server keeps a table: its own business, not worth a word."""
PARTITION_WORDS = frozenset(
    """PARTITION BY LINEAR HASH KEY RANGE LIST COLUMNS PARTITIONS VALUES LESS THAN MAXVALUE IN NULL SUBPARTITION
    SUBPARTITIONS""".split()
)
EXPRESSIONS = {
    "default": "the default",
    "on_update": "ON UPDATE",
    "check": "a check",
    "generated": "the expression",
}
ACTIONS = frozenset({"CASCADE", "RESTRICT", "SET NULL", "NO ACTION", "SET DEFAULT"})


def parse_table(text: str) -> TableModel:
    """The table of a `CREATE TABLE`. Raises UnknownDefinition."""
    return _TableParser(tokens(text)).table()


def parse_view(text: str) -> ViewModel:
    """The view of a `CREATE VIEW`. Raises UnknownDefinition."""
    parser = _Parser(tokens(text))
    parser.expect("CREATE")
    while not parser.take("VIEW"):
        if parser.next() is END:
            raise UnknownDefinition("The definition of a view makes no view.")
    name = parser.name()
    columns: list[str] = []
    if parser.take("("):
        columns = [token.text for token in parser.group() if token.kind is Kind.NAME]
    parser.expect("AS")
    query = parser.rest()
    if len(query) > 3 and [token.word for token in query[-3:]] == ["WITH", "CHECK", "OPTION"]:
        query = query[:-3]
    if len(query) > 1 and query[-1].word in {"CASCADED", "LOCAL"} and query[-2].word == "WITH":
        query = query[:-2]
    first = next((token for token in query if token.text != "("), END)
    if first.word not in {"SELECT", "WITH"}:
        raise UnknownDefinition(f"The view {name} is no query.")
    unknown = harmless(query, columns=None, words=QUERY_WORDS, functions=FUNCTIONS | AGGREGATES)
    if unknown is not None:
        raise UnknownDefinition(f"The view {name} uses {unknown[:60]}, which is not known here.")
    return ViewModel(name, columns, tuple(query))


class _Parser:
    """A place in a list of tokens."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else END

    def next(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    def rest(self) -> list[Token]:
        found = list(self._tokens[self._at :])
        self._at = len(self._tokens)
        return found

    def take(self, *texts: str) -> bool:
        """Step over these words or signs, if they come next."""
        for ahead, text in enumerate(texts):
            token = self.peek(ahead)
            if token.kind not in {Kind.WORD, Kind.SIGN} or (token.word or token.text) != text:
                return False
        self._at += len(texts)
        return True

    def expect(self, *texts: str) -> None:
        if not self.take(*texts):
            raise UnknownDefinition(f"A definition has {self.peek().text[:40]!r} where {' '.join(texts)} must stand.")

    def name(self) -> str:
        """A name; of `database`.`table` the table, which must be in the same database."""
        token = self.next()
        if self.take("."):
            token = self.next()
        if token.kind not in {Kind.NAME, Kind.WORD}:
            raise UnknownDefinition(f"A definition has {token.text[:40]!r} where a name must stand.")
        return token.text

    def word(self) -> str:
        token = self.next()
        if token.kind not in {Kind.WORD, Kind.NAME, Kind.STRING, Kind.NUMBER}:
            raise UnknownDefinition(f"A definition has {token.text[:40]!r} where a word must stand.")
        return token.text

    def group(self) -> list[Token]:
        """Tokens up to the parenthesis that closes the one before."""
        found: list[Token] = []
        depth = 1
        while True:
            token = self.next()
            if token is END:
                raise UnknownDefinition("A definition breaks off inside parentheses.")
            if token.kind is Kind.SIGN:
                depth += {"(": 1, ")": -1}.get(token.text, 0)
                if depth == 0:
                    return found
            found.append(token)

    def names(self) -> tuple[str, ...]:
        self.expect("(")
        return tuple(token.text for token in self.group() if token.kind in {Kind.NAME, Kind.WORD})


class _TableParser(_Parser):
    """One table."""

    def table(self) -> TableModel:
        self.expect("CREATE", "TABLE")
        self.take("IF", "NOT", "EXISTS")
        self._table = TableModel(self.name())
        self.expect("(")
        waiting: list[tuple[ColumnModel | None, str, list[Token], str]] = []
        self._waiting = waiting
        while True:
            self._element()
            if not self.take(","):
                break
        self.expect(")")
        self._options()
        self._settle()
        if not self._table.columns:
            raise UnknownDefinition(f"The table {self._table.name} has no columns.")
        return self._table

    def _leave_out(self, what: str) -> None:
        self._table.left_out.append(what)

    def _element(self) -> None:
        token = self.peek()
        if token.kind is Kind.NAME:
            self._column()
        elif token.word == "CONSTRAINT":
            self.next()
            name = self.name() if self.peek().word not in {"CHECK", "FOREIGN", "PRIMARY", "UNIQUE"} else ""
            self._constraint(name)
        elif token.word == "PERIOD":
            self.next()
            self._skip_element()
        else:
            self._constraint("")

    def _constraint(self, name: str) -> None:
        word = self.next().word
        if word == "CHECK":
            self.expect("(")
            condition = self.group()
            if self.take("NOT", "ENFORCED"):
                self._leave_out(f"the check {name}, which is not enforced")
            else:
                self._waiting.append((None, "check", condition, name))
        elif word == "FOREIGN":
            self.expect("KEY")
            self._foreign_key(name)
        elif word in {"PRIMARY", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR"}:
            if not (self.take("KEY") or self.take("INDEX")) and word == "PRIMARY":
                raise UnknownDefinition("A definition breaks off behind PRIMARY.")
            self._key(word)
        elif word in {"KEY", "INDEX"}:
            self._key("")
        else:
            raise UnknownDefinition(f"A definition has {word or 'a sign'} where a column or key must stand.")

    # --- columns

    def _column(self) -> None:
        column = ColumnModel(self.name(), self.next().text.lower())
        if column.type not in TYPES:
            raise UnknownDefinition(f"The column {column.name} has the type {column.type[:40]}, not known here.")
        if column.type == "double":
            self.take("PRECISION")
        if self.take("("):
            column.args = tuple(token for token in self.group() if token.text != "," or token.kind is not Kind.SIGN)
            wanted = Kind.STRING if column.type in {"enum", "set"} else Kind.NUMBER
            if any(token.kind is not wanted for token in column.args):
                raise UnknownDefinition(f"The column {column.name} has a type with strange arguments.")
        versioned = False
        while (token := self.peek()).kind is not Kind.END and not (token.kind is Kind.SIGN and token.text in ",)"):
            versioned |= self._attribute(column)
        if not versioned:
            self._table.columns.append(column)

    def _attribute(self, column: ColumnModel) -> bool:
        """One attribute. True: a column of system versioning, which the clone has not."""
        word = self.next().word
        if word in {"UNSIGNED", "ZEROFILL", "INVISIBLE", "AUTO_INCREMENT"}:
            setattr(column, word.lower(), True)
        elif word == "CHARACTER":
            self.expect("SET")
            column.charset = self.word()
        elif word == "CHARSET":
            column.charset = self.word()
        elif word == "COLLATE":
            column.collation = self.word()
        elif word == "NOT":
            self.expect("NULL")
            column.nullable = False
        elif word == "NULL":
            column.nullable = True
        elif word == "DEFAULT":
            self._waiting.append((column, "default", self._value(), ""))
        elif word == "ON":
            self.expect("UPDATE")
            self._waiting.append((column, "on_update", self._value(), ""))
        elif word == "COMMENT":
            column.comment = self.word()
        elif word in {"GENERATED", "AS"}:
            return self._generated(column, word)
        elif word in {"STORED", "PERSISTENT"}:
            column.stored = True
        elif word == "CHECK":
            self.expect("(")
            self._waiting.append((column, "check", self.group(), ""))
        elif word in {"VIRTUAL", "VISIBLE", "SIGNED", "COMPRESSED"}:
            self.take("=") and self.next()
        elif word in {"WITHOUT", "WITH"}:
            self.expect("SYSTEM", "VERSIONING")
        elif word in {"SRID", "COLUMN_FORMAT", "STORAGE"}:
            self.next()
        elif word and self.take("="):
            self.next()
            self._leave_out(f"{word} of the column {column.name}")
        else:
            raise UnknownDefinition(f"The column {column.name} has {word or 'something'} that is not known here.")
        return False

    def _generated(self, column: ColumnModel, word: str) -> bool:
        if word == "GENERATED":
            self.expect("ALWAYS", "AS")
        if self.take("ROW", "START") or self.take("ROW", "END"):
            return True
        self.expect("(")
        self._waiting.append((column, "generated", self.group(), ""))
        return False

    def _value(self) -> list[Token]:
        """A default: a literal, an expression in parentheses, or a function."""
        found = [self.next()]
        if found[0].kind is Kind.SIGN and found[0].text == "(":
            return [found[0], *self.group(), Token(Kind.SIGN, ")")]
        if found[0].kind is Kind.SIGN and found[0].text in {"-", "+"}:
            found.append(self.next())
        elif found[0].kind is Kind.WORD and found[0].text.startswith("_"):
            found.append(self.next())
        elif found[0].kind is Kind.WORD and self.take("("):
            found += [Token(Kind.SIGN, "("), *self.group(), Token(Kind.SIGN, ")")]
        return found

    def _settle(self) -> None:
        """Expressions, now that all columns are known: those that are not harmless are left out."""
        table = self._table
        columns = {column.name.lower() for column in table.columns}
        for column, what, expression, name in self._waiting:
            unknown = harmless(expression, columns=columns)
            if unknown is None and expression:
                if column is None:
                    table.checks.append(CheckModel(name, tuple(expression)))
                else:
                    setattr(column, what, tuple(expression))
                continue
            where = f"of the column {column.name}" if column else "of the table"
            self._leave_out(f"{EXPRESSIONS[what]} {where} ({(unknown or '')[:40]})")
            if column is not None and what == "generated":
                table.plain.add(column.name)
        # of a system-versioned table: its own columns have gone from its keys too
        for number, key in enumerate(table.keys):
            table.keys[number] = replace(key, parts=tuple(p for p in key.parts if p.column.lower() in columns))
        table.keys = [key for key in table.keys if key.parts]
        for hidden in table.columns:
            if hidden.invisible and hidden.nullable is False and not hidden.default and not hidden.auto_increment:
                hidden.invisible = False
                self._leave_out(f"INVISIBLE of the column {hidden.name}, which has no default")

    # --- keys

    def _key(self, kind: str) -> None:
        name = "" if self.peek().text == "(" else self.name()
        using = self.word().upper() if self.take("USING") else ""
        self.expect("(")
        parts, functional = self._parts(self.group())
        comment, parser = "", ""
        while (token := self.peek()).kind is Kind.WORD:
            self.next()
            if token.word == "USING":
                using = self.word().upper()
            elif token.word == "COMMENT":
                comment = self.word()
            elif token.word == "WITH":
                self.expect("PARSER")
                parser = self.name()
            elif token.word in {"KEY_BLOCK_SIZE", "CLUSTERING", "ENGINE_ATTRIBUTE", "DISTANCE", "M"}:
                self.take("=")
                self.next()
            elif token.word not in {"INVISIBLE", "VISIBLE", "IGNORED", "NOT"}:
                raise UnknownDefinition(f"The key {name} has {token.word}, not known here.")
        if functional or kind == "VECTOR":
            self._leave_out(f"the key {name or kind} ({functional or 'of vectors'})")
            return
        if parser:
            self._leave_out(f"the parser {parser[:40]} of the key {name}")
        known = using if using in {"BTREE", "HASH"} else ""
        self._table.keys.append(KeyModel(kind, name, tuple(parts), known, comment))

    def _parts(self, found: list[Token]) -> tuple[list[KeyPart], str]:
        """The columns of a key; why it can not be made here, if it can not."""
        parser, parts = _Parser(found), []
        while parser.peek() is not END:
            if parser.peek().kind is not Kind.NAME:
                return [], "of an expression"
            name, length = parser.next().text, None
            if parser.take("("):
                inside = parser.group()
                length = int(inside[0].text) if len(inside) == 1 and inside[0].text.isdigit() else None
                if length is None:
                    return [], "of an expression"
            descending = parser.take("DESC")
            parser.take("ASC")
            parts.append(KeyPart(name, length, descending))
            if not parser.take(",") and parser.peek() is not END:
                return [], "of an expression"
        return parts, ""

    def _foreign_key(self, name: str) -> None:
        name = name or ("" if self.peek().text == "(" else self.name())
        columns = self.names()
        self.expect("REFERENCES")
        other = self.peek(1).text == "." and self.peek(1).kind is Kind.SIGN
        table = self.name()
        references, actions = self.names(), []
        while self.peek().word in {"ON", "MATCH"}:
            if self.next().word == "MATCH":
                self.next()
                continue
            event = self.next().word
            action = self.next().word
            if action in {"SET", "NO"}:
                action = f"{action} {self.next().word}"
            if event not in {"DELETE", "UPDATE"} or action not in ACTIONS:
                raise UnknownDefinition(f"The foreign key {name} has an action that is not known here.")
            actions.append(f"ON {event} {action}")
        if other:
            self._leave_out(f"the foreign key {name} to a table of another database")
            return
        self._table.foreign_keys.append(ForeignKey(name, columns, table, references, tuple(actions)))

    # --- behind the columns

    def _options(self) -> None:
        table = self._table
        while (token := self.next()) is not END:
            word = token.word or (token.text.upper() if token.kind is Kind.NAME else "")
            if word == "PARTITION":
                self._partition([token, *self.rest()])
            elif word == "DEFAULT" or token.text == ",":
                continue
            elif word == "WITH":
                self.expect("SYSTEM", "VERSIONING")
                self._leave_out("the history of a system-versioned table")
            elif word in {"CHARSET", "CHARACTER"}:
                self.take("SET")
                self.take("=")
                table.charset = self.word()
            elif word in {"UNION", "SECONDARY_ENGINE"}:
                self.take("=")
                self.expect("(") if word == "UNION" else self.next()
                _ = self.group() if word == "UNION" else None
                self._leave_out("the union of a MERGE table: its rows are in a table of its own")
            elif not word:
                raise UnknownDefinition(f"The table {table.name} has an option that is not known here.")
            else:
                self._option(word)

    def _option(self, word: str) -> None:
        table = self._table
        if word in {"DATA", "INDEX"}:
            self.expect("DIRECTORY")
        self.take("=")
        value = self.word()
        if word == "ENGINE":
            table.engine = value
        elif word == "COLLATE":
            table.collation = value
        elif word == "COMMENT":
            table.comment = value
        elif (word in NUMBERS and value.isdigit()) or value.upper() in OPTIONS.get(word, set()):
            table.options[word] = value
        elif word not in STORAGE:
            self._leave_out(f"the option {word[:40]}")

    def _partition(self, found: list[Token]) -> None:
        kept: list[Token] = []
        parser = _Parser(found)
        while (token := parser.peek()) is not END:
            parser.next()
            if token.word in {"ENGINE", "COMMENT", "MAX_ROWS", "MIN_ROWS"}:
                parser.take("=")
                parser.next()
            elif (
                token.kind is Kind.WORD
                and kept
                and kept[-1].word in {"PARTITION", "SUBPARTITION"}
                and token.word != "BY"
            ):
                kept.append(Token(Kind.NAME, token.text))
            else:
                kept.append(token)
        known = {column.name.lower() for column in self._table.columns}
        unknown = harmless(kept, columns=None, words=PARTITION_WORDS)
        if unknown is not None or not known:
            self._leave_out(f"partitions ({(unknown or '')[:40]})")
        else:
            self._table.partition = tuple(kept)

    def _skip_element(self) -> None:
        while (token := self.peek()) is not END and token.text not in {",", ")"}:
            self.next()
            if token.text == "(":
                self.group()
