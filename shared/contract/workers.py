"""What a worker says of itself again and again: the value in the bucket `workers`."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.contract.subjects import Kind
from shared.contract.times import Time


class WorkerState(BaseModel):
    """One worker, as it was a few seconds ago."""

    id: str
    """`<service>/<instance>`, new with each start."""
    kind: Kind
    slots: int
    """Jobs it runs at the same time."""
    jobs: list[str] = Field(default_factory=list)
    """Ids of those it runs now; may be more than `slots`, for tenants that have none running."""
    free_bytes: int | None = None
    """On the disk of the clones; None: it holds none."""
    started_at: Time
    said_at: Time
