"""The words of a definition as a server prints it. Nothing else of SQL is read: no comments, no variables, no `;`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from shared.errors import Permanent

MAX_CHARACTERS = 2_000_000
"""Of one definition. A table has at most 4,096 columns and a few hundred keys."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<open>/\*!M?\d*|/\*M!\d*)          # what is inside is for servers of this version: it is read as if bare
    | (?P<close>\*/)
    | `(?P<name>(?:[^`]|``)*)`
    | '(?P<string>(?:[^'\\]|''|\\.)*)'
    | "(?P<double>(?:[^"\\]|""|\\.)*)"
    | (?P<hex>0x[0-9A-Fa-f]+|[xXbB]'[0-9A-Fa-f]*')
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
    | (?P<word>[^\W\d]\w*|_\w+)
    | (?P<sign><=>|<<|>>|<>|!=|<=|>=|\|\||&&|->>|->|[-+*/%=<>!~^&|(),.@])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)|''", re.DOTALL)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "Z": "\x1a"}


class UnknownDefinition(Permanent):
    """A definition holds something that is not known here."""

    code = "target_database_error"
    hint = "Exclude that table with options.exclude_tables and run the job again."


class Kind(Enum):
    """What a token is."""

    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    WORD = "word"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """`text`: the name or string itself, without quotes; words in upper case are in `word`."""

    kind: Kind
    text: str

    @property
    def word(self) -> str:
        """The word in upper case, "" for other tokens."""
        return self.text.upper() if self.kind is Kind.WORD else ""

    def sql(self) -> str:
        """The token as SQL."""
        if self.kind is Kind.NAME:
            return quoted_name(self.text)
        return quoted_string(self.text) if self.kind is Kind.STRING else self.text


END = Token(Kind.END, "")


def tokens(text: str) -> list[Token]:
    """Every token. Raises UnknownDefinition."""
    if len(text) > MAX_CHARACTERS:
        raise UnknownDefinition("A definition is longer than any that a server would print.")
    found, at, versions = [], 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise UnknownDefinition(f"A definition holds {text[at : at + 20]!r}, which no definition has.")
        at, kind, value = match.end(), match.lastgroup or "", match[match.lastgroup or 0]
        if kind == "open":
            versions += 1
        elif kind == "close":
            versions -= 1
            if versions < 0:
                raise UnknownDefinition("A definition ends a comment that it did not begin.")
        elif kind == "name":
            found.append(Token(Kind.NAME, value.replace("``", "`")))
        elif kind == "double":
            raise UnknownDefinition("A definition holds a text in double quotes, which can be a name as well.")
        elif kind == "string":
            found.append(Token(Kind.STRING, _ESCAPED.sub(_unescaped, value)))
        elif kind in {"number", "hex"}:
            found.append(Token(Kind.NUMBER, match[0]))
        elif kind == "word":
            found.append(Token(Kind.WORD, value))
        elif kind == "sign":
            found.append(Token(Kind.SIGN, value))
    if versions:
        raise UnknownDefinition("A definition breaks off inside a comment.")
    return found


def _unescaped(match: re.Match[str]) -> str:
    return "'" if match[1] is None else _ESCAPES.get(match[1], match[1])


def quoted_name(name: str) -> str:
    """An identifier for SQL, whatever characters it holds."""
    return "`" + name.replace("`", "``") + "`"


def quoted_string(text: str) -> str:
    """A text for SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0").replace("\n", "\\n")
    return "'" + escaped.replace("\r", "\\r").replace("\x1a", "\\Z") + "'"
