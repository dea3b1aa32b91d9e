"""What a step sees of its job, wherever it runs: in a carrier, or (what reads nothing a site sent) in the worker."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from shared.contract.jobs import Note
from shared.engine.carriers.shelf import Shelf
from shared.engine.token import StopToken

Unit = Literal["bytes", "rows", "files", "pages"]


class StepContext(Protocol):
    """One job, seen from a step that runs in a carrier."""

    command: Any
    state: dict[str, Any]
    """JSON-able, the job's memory: as it was at the last `save` after a crash, without what the worker keeps back."""
    token: StopToken
    """Tells when to stop; asked at least once a second."""
    shelf: Shelf
    """Handed from one carrier of the job to the next."""
    job_id: str
    attempt: int

    def report(
        self,
        done: int | None = None,
        total: int | None = None,
        unit: Unit | None = None,
        message: str | None = None,
    ) -> None:
        """Say how far the running step is. Thread-safe and cheap."""

    def moved(self, count: int = 1) -> None:
        """Something new came from the site that no number of `report` shows: the job is not stuck."""

    def note(self, note: Note) -> None:
        """Something for the result's notes. A second one with the same code replaces the first. Thread-safe."""

    def called(self, what: str, began: float, ended: float, *, failed: bool = False) -> None:
        """A call of the connector that is over, for the trace: its operation, Unix seconds."""

    def save(self) -> None:
        """Make `state` durable; blocks until it is. Raises Cancelled, LeaseLost or Draining when the job must stop."""

    def scrub(self, text: str) -> str:
        """The text without the secrets this job has seen."""
