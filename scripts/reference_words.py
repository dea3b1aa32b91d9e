"""How the reference writes types and what code says of itself."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from datetime import date, datetime
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel


def lines(text: str) -> str:
    """A text as one cell of a table."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def type_of(kind: Any) -> str:
    """A type for people who know JSON."""
    if kind is type(None):
        return "null"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{member.value}`" for member in kind) if len(kind) < 6 else f"[{kind.__name__}]"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    names = {
        datetime: "time",
        date: "date",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Any: "anything",
    }
    if kind in names:
        return names[kind]
    origin, arguments = getattr(kind, "__origin__", None), get_args(kind)
    if origin is list:
        return f"list of {type_of(arguments[0])}"
    if origin is dict:
        return f"object of {type_of(arguments[1])}"
    if arguments and hasattr(kind, "__metadata__"):
        return type_of(arguments[0])
    return " or ".join(type_of(part) if not isinstance(part, str) else f"`{part}`" for part in arguments)


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = str(text.value.value)
    return found
