"""Reading what a later version may have written: what is not understood is left out, the rest is read.

Unknown fields are ignored by every record anyway. This is about known fields with values that did not exist yet: a new
phase, a new state of a step. Such a value is dropped, so that the field has its default, or takes with it the smallest
thing around it that can be done without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
ROUNDS = 100
"""Times something is left out before we say that we can not read it."""


def understood(model: type[Model], data: bytes | str, instead: Mapping[str, Any] | None = None) -> Model:
    """The record, without what this version does not know. Raises ValidationError when too little is left.

    `instead` has, for fields that nothing can be told without, what is read where their value is not understood.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        return _leniently(model, data, instead or {}, error)


def _leniently(model: type[Model], data: bytes | str, instead: Mapping[str, Any], error: ValidationError) -> Model:
    try:
        value = json.loads(data)
    except ValueError:
        raise error from None
    failed = error
    for _ in range(ROUNDS):
        where = failed.errors(include_url=False, include_input=False)[0]["loc"]
        if len(where) == 1 and where[0] in instead:
            value[where[0]] = instead[str(where[0])]
        elif not _drop(value, where):
            break
        try:
            return model.model_validate(value)
        except ValidationError as again:
            failed = again
    raise error


def _drop(value: Any, where: tuple[int | str, ...]) -> bool:
    """Take away what stands there. A field that is missing takes the thing it is missing in with it."""
    path = [value]
    keys: list[int | str] = []
    for key in where:  # a union's place holds the names of its members, which are no keys
        inner = path[-1]
        known = key in inner if isinstance(inner, dict) else isinstance(key, int) and isinstance(inner, list)
        if known and not (isinstance(inner, list) and int(key) >= len(inner)):
            path.append(inner[key])
            keys.append(key)
    if not keys:
        return False
    if isinstance(path[-2], dict):
        del path[-2][keys[-1]]
    else:
        path[-2].pop(int(keys[-1]))
    return True
