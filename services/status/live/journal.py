"""A job's story in lines a person reads: one per thing that happened, progress only where the step changed."""

from __future__ import annotations

from collections import deque
from typing import Any

from services.status.story import Entry
from shared.contract.events import CloneRequested, Discarded, Extended, JobEvent, Message, RestoreRequested, RolledBack
from shared.contract.jobs import CloneAction, RestoreAction
from shared.contract.subjects import EventType
from shared.contract.times import stamp

Line = dict[str, Any]

SAID = {
    EventType.RETRY: "Trying again",
    EventType.CANCEL: "Cancel was asked for",
    EventType.EXPIRE: "The clone's end was asked for",
    EventType.EXPIRED: "The clone is gone",
}


class Journal:
    """The newest lines of a story."""

    def __init__(self, limit: int) -> None:
        self.found = False
        self._lines: deque[Line] = deque(maxlen=limit)
        self._step: tuple[int, str | None] | None = None

    def add(self, entry: Entry) -> None:
        """Take in the next message of the story."""
        message = entry.message
        if message is None:
            return
        self.found = True
        line: Line = {"seq": entry.seq, "type": entry.event, "time": stamp(message.time), "message": _said(entry)}
        if isinstance(message, JobEvent):
            job = message.job
            line |= {"step": job.step, "attempt": job.attempt, "progress": round(job.progress, 1)}
            step = (job.attempt, job.step)
            if entry.event is EventType.PROGRESS and step == self._step:
                return
            self._step = step
        self._lines.append(line)

    def page(self, after: int) -> dict[str, Any]:
        """The lines behind a sequence."""
        return {"events": [line for line in self._lines if line["seq"] > after]}


def _said(entry: Entry) -> str:
    message: Message | None = entry.message
    if isinstance(message, JobEvent):
        return _step_title(message) or message.job.message
    if isinstance(message, CloneRequested):
        return _wanted(message)
    if isinstance(message, RestoreRequested):
        return _asked(message)
    if isinstance(message, RolledBack):
        how = "Rolled back by itself" if message.automatic else "Rolled back"
        return f"{how}: {message.reason}" if message.reason else how
    if isinstance(message, Discarded):
        return "The way back is gone"
    if isinstance(message, Extended):
        until = message.expires_at
        return (
            "The clone lives until it is deleted" if until is None else f"The clone lives until {until:%d %b %H:%M} UTC"
        )
    return SAID.get(entry.event, str(entry.event))


def _wanted(command: CloneRequested) -> str:
    if command.action is None:
        return f"Clone of {command.source_url} requested"
    if command.action is CloneAction.FORK:
        return f"Fork of {command.clone_id} requested"
    if command.action is CloneAction.REFRESH:
        return f"Refresh of {command.target_url} from {command.source_url} requested"
    state = (command.state or "").removeprefix("version-")
    what = f"Reset to {state}" if command.action is CloneAction.RESET else f"Version {state}"
    return f"{what} of {command.source_url} requested"


def _asked(command: RestoreRequested) -> str:
    if command.action is RestoreAction.ROLLBACK:
        return f"Roll-back of {command.target_url} requested"
    if command.action is RestoreAction.DISCARD:
        return f"Removal of the way back on {command.target_url} requested"
    what = "Comparison" if command.dry_run else "Restore"
    return f"{what} of {command.source_url} to {command.target_url} requested"


def _step_title(event: JobEvent) -> str | None:
    if event.type is not EventType.PROGRESS:
        return None
    return next((step.title for step in event.job.steps if step.name == event.job.step), None)
