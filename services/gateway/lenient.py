"""Stored records of later versions, read as far as this one understands them.

During a rolling upgrade a newer service may have stored a state, a phase or a kind of result that is not known here.
What is not understood is left out; a job whose state is not understood is told as running, for its end is not known.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from shared.contract.jobs import CloneState, SnapshotState, Status
from shared.log import get

log = get(__name__)

T = TypeVar("T", bound=BaseModel)

INSTEAD: dict[str, dict[str, Any]] = {
    "Job": {"status": Status.RUNNING},
    "Clone": {"state": CloneState.ACTIVE},
    "Snapshot": {"state": SnapshotState.ACTIVE},
}
"""What is told for a value that is not understood and that no answer can do without."""


def read_as(model: type[T], data: bytes) -> T | None:
    """The record; None when not even its outline is understood."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        found = _without(model, data, error)
    if found is None:
        log.warning("a stored record can not be read", model=model.__name__)
    return found


def _without(model: type[T], data: bytes, error: ValidationError) -> T | None:
    try:
        record = json.loads(data)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    instead = INSTEAD.get(model.__name__, {})
    for field in {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}:
        record.pop(field, None)
        if field in instead:
            record[field] = instead[field]
    try:
        found = model.model_validate(record)
    except ValidationError:
        return None
    log.debug("read a record of a later version", model=model.__name__)
    return found
