"""Stored records of later versions, read as far as this one understands them.

During a rolling upgrade a newer service may have stored a state, a phase or a kind of result that is not known here.
What is not understood is left out; a job whose state is not understood is told as running, for its end is not known.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from shared.contract.jobs import Clone, CloneState, Job, Snapshot, SnapshotState, Status
from shared.contract.reading import Model, understood
from shared.log import get

log = get(__name__)

INSTEAD: dict[type[BaseModel], dict[str, Any]] = {
    Job: {"status": Status.RUNNING},
    Clone: {"state": CloneState.ACTIVE},
    Snapshot: {"state": SnapshotState.ACTIVE},
}
"""What is told for a value that is not understood and that no answer can do without."""


def read_as(model: type[Model], data: bytes) -> Model | None:
    """The record; None when not even its outline is understood."""
    try:
        return understood(model, data, INSTEAD.get(model))
    except ValidationError:
        log.warning("a stored record can not be read", model=model.__name__)
        return None
