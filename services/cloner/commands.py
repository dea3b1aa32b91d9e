"""What a job of the cloner was asked for."""

from __future__ import annotations

from shared.contract.events import CloneRequested
from shared.engine.context import JobContext


def command_of(context: JobContext) -> CloneRequested:
    """The job's command: every job of this service has one of this kind."""
    assert isinstance(context.command, CloneRequested)
    return context.command
