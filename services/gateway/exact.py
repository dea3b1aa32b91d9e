"""Types of bodies that take what JSON says, and no more: a text with a number in it is a text (ADR 47)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Strict
from pydantic_core import PydanticCustomError


def _number(value: object) -> object:
    if isinstance(value, str | bool):
        raise PydanticCustomError("int_type", "must be a whole number")
    return value


WHOLE = BeforeValidator(_number)
"""Of an int: a JSON number without a fraction, however it is written. JSON Schema counts `1.0` among the integers, and
JavaScript has no other number. It stands behind the bounds: those before it only are told by the OpenAPI document."""
Switch = Annotated[bool, Strict()]
"""`true` or `false`: no `1`, no `"yes"`."""
